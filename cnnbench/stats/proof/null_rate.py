"""How often the primary test of a study would reject if there were nothing to find: measured, not assumed.

Shapes: S studies, M cells.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta

from cnnbench.stats.effects.answers import question_of
from cnnbench.stats.engine import PrimaryTest, primary_test
from cnnbench.stats.omnibus.additive import additive_error
from cnnbench.stats.omnibus.heteroscedastic import ats_obstacle
from cnnbench.stats.proof import null_tests
from cnnbench.stats.proof.cache import keep, kept
from cnnbench.stats.proof.null_model import NullModel, null_model
from cnnbench.stats.trials.models import term_basis
from cnnbench.types import Interval, NullRate, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from cnnbench.stats.interface import AnalysisInput
    from cnnbench.stats.proof.null_tests import Outcomes
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.models import Term

FEWEST, MOST = 2_000, 20_000
"""Simulated studies; with 20,000 a rate of 5 % is known to +-0.3 percentage points."""
AFFORDABLE = 20_000_000
"""Numbers drawn in all, beyond the fewest studies: seconds."""
AT_ONCE = 2_000_000
"""Numbers drawn at once: tens of megabytes."""
CONSERVATIVE, LIBERAL = 0.6, 1.2
"""Parts of alpha: at 5 % a rate outside 3 to 6 % is called so."""
LAYOUT = 3
"""Version of what is simulated and kept; raised when either changes."""
_SHARED = {"holm": 2, "none": 1}
"""What Holm's correction multiplies the smaller of two p values with: at least one of them rejects by it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Simulation:
    """A test, and the noise to try it on."""

    data: CellData
    model: NullModel
    alpha: float
    weights_M: NDArray[np.float64] | None
    """Of effects with one degree of freedom."""
    product_M: NDArray[np.float64] | None
    term: Term
    """Of omnibus tests, that of the pair included."""
    pair: float | None = None
    """Where a slope and the omnibus test of ``term`` decide together: what the smaller p is multiplied with."""

    def observed(self) -> Outcomes:
        """Test the study's own trials."""
        if self._paired:
            return self._of_scores((np.nan_to_num(self._complete_rows()) @ self._basis())[None])
        return self._of_moments(self.data.mean_M[None], self.data.var_M[None])

    def observed_partner(self) -> float:
        """Test the study's own trials by the omnibus test of the pair."""
        return float(self._omnibus(self.data.mean_M[None], self.data.var_M[None]).p_S[0])

    def draw(self, rng: np.random.Generator, num_studies: int) -> Outcomes:
        """Test simulated studies."""
        if self._paired:
            num_replicates = len(self._complete_rows())
            return self._of_scores(self.model.scores(rng, num_studies, num_replicates, self._basis()))
        return self._of_moments(*self.model.moments(rng, num_studies, self.data.n_M))

    @property
    def size(self) -> int:
        """Numbers drawn for one study, about."""
        return len(self._complete_rows()) * self._basis().shape[1] if self._paired else 2 * len(self.data.n_M)

    @property
    def _paired(self) -> bool:
        return self.data.paired and self.data.replicated

    def _complete_rows(self) -> NDArray[np.float64]:
        """Return the replicates that the test uses; the gaps of the others are the design's."""
        needed_M = self.data.seen_M if self.weights_M is None else np.abs(self.weights_M) > 1e-12
        return self.data.y_KM[self.data.complete_rows(needed_M)]

    def _basis(self) -> NDArray[np.float64]:
        """Return the weights of cells that make a seed's scores, M x R."""
        if self.weights_M is not None:
            return np.where(np.abs(self.weights_M) > 1e-12, self.weights_M, 0.0)[:, None]
        own = term_basis(self.data, self.term)
        basis_MR = np.zeros((len(self.data.n_M), own.shape[1]))
        basis_MR[self.data.seen_M] = own
        return basis_MR

    def _of_scores(self, scores_SKR: NDArray[np.float64]) -> Outcomes:
        if self.weights_M is None:
            return null_tests.greenhouse_geisser(scores_SKR)
        return null_tests.per_seed_t(scores_SKR[:, :, 0], self.alpha)

    def _of_moments(self, mean_SM: NDArray[np.float64], var_SM: NDArray[np.float64]) -> Outcomes:
        if self.weights_M is None:
            return self._omnibus(mean_SM, var_SM)
        if not self.data.replicated:
            return null_tests.additive_t(self.data, mean_SM, self.weights_M, self.product_M, self.alpha)
        outcomes = null_tests.welch_t(self.data, mean_SM, var_SM, self.weights_M, self.alpha)
        if self.pair is None:
            return outcomes
        partner_p_S = self._omnibus(mean_SM, var_SM).p_S
        return replace(outcomes, pair_p_S=self.pair * np.minimum(outcomes.p_S, partner_p_S))

    def _omnibus(self, mean_SM: NDArray[np.float64], var_SM: NDArray[np.float64]) -> Outcomes:
        robust = not ats_obstacle(self.data)
        return null_tests.between_interaction(self.data, mean_SM, var_SM, self.term, robust=robust)


def null_rate(data: AnalysisInput, cache: Path | None = None) -> NullRate | Refusal:
    """Simulate studies with this one's cells, gaps, pairing and variances but without its primary effect.

    Each gets the primary test alone; where a slope shares alpha with the omnibus interaction, that one, too, and the
    means are without any interaction of its factors. The noise is normal, with the shrunk variances and correlations of
    `cnnbench.stats.proof.null_model`; the means are the observed ones less the tested effect. The same design gives the
    same answer (fixed seed), which is kept in the folder ``cache``.

    Raises:
        AnalysisError: As `cnnbench.stats.analyse`.
    """
    if data.two_stage:
        why = "The pilot's spread decides the number of seeds, and the simulation takes that number as given."
        remedy = "The interval's coverage is exact for normal noise (docs/statistics.md has it measured)."
        return Refusal("null rate of the primary test", why, remedy)
    found = primary_test(data)
    if isinstance(found, Refusal):
        return found
    simulation = _simulation(found)
    if isinstance(simulation, Refusal):
        return simulation
    num_studies = _num_studies(simulation)
    name = f"null-rate-{_key(simulation, found, num_studies)}.json"
    counts = kept(cache, name)
    if counts is None:
        counts = _counted(simulation, num_studies)
        keep(cache, name, counts)
    return _described(found, counts, num_studies)


def _num_studies(simulation: _Simulation) -> int:
    return int(np.clip(AFFORDABLE // max(1, simulation.size), FEWEST, MOST))


def _simulation(found: PrimaryTest) -> _Simulation | Refusal:
    data, effect = found.cells, found.draft.effect
    weights_M, product_M = found.draft.weights_M, None
    term: Term = ()
    pair = None if found.partner is None else float(_SHARED[found.correction])
    by_name = {factor.name: i for i, factor in enumerate(data.factors)}
    if weights_M is None or pair is not None:
        asked = found.hypothesis.interaction or found.hypothesis.slope or ()
        term = tuple(sorted(by_name[name] for name in asked))
        mean_M = null_tests.without_term(data, term, above=pair is not None)
    else:
        question = question_of(data, found.hypothesis, found.setting)
        product_M = None if isinstance(question, Refusal) else question.product_M
        mean_M = data.mean_M.copy()
        mean_M[data.seen_M] = _without(mean_M[data.seen_M], weights_M[data.seen_M], weights_M[data.seen_M])
    model = null_model(data, mean_M) if data.replicated else _additive_model(data, weights_M, product_M)
    simulation = _Simulation(data, model, found.setting.alpha, weights_M, product_M, term, pair)
    tested = [(float(simulation.observed().p_S[0]), effect.p)]
    if found.partner is not None:
        tested.append((simulation.observed_partner(), found.partner.effect.p))
    same = all(of_study is not None and np.isclose(p, of_study, rtol=1e-6, atol=1e-12) for p, of_study in tested)
    if not same or not _is_null(mean_M, weights_M, data.mean_M):
        why = f"Its test ({effect.method}) has no form for many studies at once."
        return Refusal("null rate of the primary test", why, "Read the rates in docs/statistics.md instead.")
    return simulation


def _additive_model(
    data: CellData, weights_M: NDArray[np.float64] | None, product_M: NDArray[np.float64] | None
) -> NullModel:
    """Return main effects without the tested one, and the residual's variance: with one trial per cell all there is."""
    seen_M, basis_MP = data.seen_M, null_tests.additive_basis(data, product_M)
    mean_M = np.full(len(data.n_M), np.nan)
    mean_M[seen_M] = basis_MP @ (basis_MP.T @ data.mean_M[seen_M])
    if weights_M is not None:
        along_M = basis_MP @ (basis_MP.T @ weights_M[seen_M])
        mean_M[seen_M] = _without(mean_M[seen_M], weights_M[seen_M], along_M)
    ss, df = additive_error(data, None if product_M is None else [product_M])
    sd_M = np.where(data.seen_M, np.sqrt(ss / df), np.nan)
    return NullModel(mean_M, sd_M, 0.0, 1.0, np.empty((0, len(sd_M))))


def _without(
    mean_M: NDArray[np.float64], weights_M: NDArray[np.float64], along_M: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return means whose weighted sum is 0, moved along a direction; cells with trials only."""
    length = float(weights_M @ along_M)
    return mean_M if length <= 0 else mean_M - along_M * float(weights_M @ mean_M) / length


def _is_null(mean_M: NDArray[np.float64], weights_M: NDArray[np.float64] | None, seen_M: NDArray[np.float64]) -> bool:
    """Return whether no effect is left in the means, to the digits of those that were seen."""
    if weights_M is None:
        return True
    used_M = np.abs(weights_M) > 1e-12
    left = float(weights_M[used_M] @ mean_M[used_M])
    return bool(abs(left) <= 1e-9 * float(np.abs(weights_M[used_M] * seen_M[used_M]).sum()) + 1e-300)


def _counted(simulation: _Simulation, num_studies: int) -> dict[str, int | None]:
    rng = np.random.default_rng(_seed(simulation))
    alpha = simulation.alpha
    rejected, beside, covered, either = 0, 0, 0, 0
    has_beside = has_interval = True
    for size in _chunks(num_studies, max(1, AT_ONCE // max(1, simulation.size))):
        outcome = simulation.draw(rng, size)
        rejected += int((outcome.p_S < alpha).sum())
        if outcome.beside_p_S is None:
            has_beside = False
        else:
            beside += int((outcome.beside_p_S < alpha).sum())
        if outcome.pair_p_S is not None:
            either += int((outcome.pair_p_S < alpha).sum())
        if outcome.estimate_S is None or outcome.half_width_S is None:
            has_interval = False
        else:
            covered += int((np.abs(outcome.estimate_S) <= outcome.half_width_S).sum())
    return {
        "rejected": rejected,
        "beside": beside if has_beside else None,
        "covered": covered if has_interval else None,
        "either": either if simulation.pair is not None else None,
    }


def _chunks(total: int, size: int) -> Iterator[int]:
    for done in range(0, total, size):
        yield min(size, total - done)


def _seed(simulation: _Simulation) -> int:
    """Return a seed that the layout of the design decides, so that no seed is chosen and none is unlucky for all."""
    data = simulation.data
    layout = repr((data.shape, data.paired, simulation.term)).encode() + np.isfinite(data.y_KM).tobytes()
    return int.from_bytes(hashlib.sha256(layout).digest()[:8], "little")


def _key(simulation: _Simulation, found: PrimaryTest, num_studies: int) -> str:
    """Name everything that decides the answer."""
    data, model = simulation.data, simulation.model
    digest = hashlib.sha256()
    for array in (
        np.isfinite(data.y_KM),
        data.n_M,
        *(part for part in (simulation.weights_M, simulation.product_M) if part is not None),
        model.mean_M,
        model.sd_M,
        model.scores_JM,
        np.array([simulation.alpha, model.common, model.shrinkage]),
    ):
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    methods = (found.draft.effect.method, found.partner and found.partner.effect.method, simulation.pair)
    parts = (LAYOUT, num_studies, data.shape, data.paired, simulation.term, methods)
    libraries = [version(name) for name in ("cnnbench", "numpy", "scipy")]
    digest.update(repr((parts, libraries)).encode())
    return digest.hexdigest()


def _described(found: PrimaryTest, counts: dict[str, int | None], num_studies: int) -> NullRate:
    alpha, effect = found.setting.alpha, found.draft.effect
    rejected = counts["rejected"] or 0
    rate, interval = rejected / num_studies, clopper_pearson(rejected, num_studies)
    beside, covered, either = counts["beside"], counts["covered"], counts["either"]
    decided = rate if either is None else either / num_studies
    made = NullRate(
        response=found.setting.info.response.name,
        effect=effect.label,
        method=effect.method,
        alpha=alpha,
        studies=num_studies,
        rejected=rejected,
        rate=rate,
        interval=interval,
        verdict="conservative"
        if decided < CONSERVATIVE * alpha
        else "liberal"
        if decided > LIBERAL * alpha
        else "as declared",
        coverage=None if covered is None else covered / num_studies,
        robust_rate=None if beside is None else beside / num_studies,
        robust_method="" if beside is None else effect.robust_method,
        pair_rate=None if either is None else either / num_studies,
        pair_method="" if either is None or found.partner is None else found.partner.effect.method,
        sentence="",
    )
    return replace(made, sentence=sentence(made))


def sentence(rate: NullRate) -> str:
    """Return the measured rate in words, with a warning where it is not what alpha promises."""
    low, high = (f"{100 * limit:.1f}" for limit in (rate.interval.low, rate.interval.high))
    before = "" if rate.pair_rate is None else ", before any correction,"
    measured = (
        f"In {rate.studies:,} simulated studies of this design without an effect, the primary test{before} rejected in "
        f"{100 * rate.rate:.1f} % ({100 * rate.interval.level:.3g} % interval {low} to {high}) at alpha "
        f"{100 * rate.alpha:.3g} %."
    )
    parts = [measured]
    if rate.coverage is not None:
        parts.append(f"Its {100 * (1 - rate.alpha):.3g} % interval held the truth in {100 * rate.coverage:.1f} %.")
    if rate.robust_rate is not None:
        parts.append(f"The test beside it ({rate.robust_method}) rejected in {100 * rate.robust_rate:.1f} %.")
    who, finds = ("The test is", "it finds") if rate.pair_rate is None else ("The two are", "they find")
    overlooks = "it overlooks" if rate.pair_rate is None else "they overlook"
    if rate.pair_rate is not None:
        parts.append(
            "It decides together with the omnibus test of the interaction: at least one of the two, as the study "
            f"corrects them, rejected in {100 * rate.pair_rate:.1f} %."
        )
    if rate.verdict == "liberal":
        parts.append(f"{who} liberal here: {finds} effects that are not there more often than declared.")
    if rate.verdict == "conservative":
        parts.append(f"{who} conservative here: {overlooks} effects that a sharper test would find.")
    return " ".join(parts)


def clopper_pearson(count: int, total: int, level: float = 0.95) -> Interval:
    """Return the exact interval of a proportion (Clopper & Pearson 1934, Biometrika 26, 404-413)."""
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, count, total - count + 1)) if count else 0.0
    high = float(beta.isf(tail, count + 1, total - count)) if count < total else 1.0
    return Interval(low, high, level)
