"""The measured null rate of a design."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cnnbench.spec import Hypothesis
from cnnbench.stats import analyse, prove
from cnnbench.stats.proof import null_rate as room
from cnnbench.stats.proof.null_rate import clopper_pearson, null_rate
from cnnbench.types import Factor, NullRate, Refusal

if TYPE_CHECKING:
    from cnnbench.stats import AnalysisInput
    from tests.stats.conftest import MakeStudy, Simulate

DEPTH = Factor("depth", (8, 16, 32), "log2")
SIZE = Factor("size", (32, 64, 128), "log2")
SLOPE = Hypothesis(slope=("depth", "size"))
INTERACTION = Hypothesis(interaction=("depth", "size"))


def mean(cell: dict[str, Any]) -> float:
    return 0.5 + 0.03 * np.log2(cell["depth"]) * np.log2(cell["size"])


@pytest.fixture
def paired(study: MakeStudy, simulate: Simulate) -> AnalysisInput:
    return study(simulate((DEPTH, SIZE), mean, seed_sd=0.03), (DEPTH, SIZE), primary=SLOPE)


def measured(data: AnalysisInput) -> NullRate:
    found = null_rate(data)
    assert isinstance(found, NullRate), found
    return found


def test_the_per_seed_t_holds_its_level_however_large_the_effect_is(paired: AnalysisInput):
    found = measured(paired)
    assert found.studies == 20_000
    assert found.rate == pytest.approx(0.05, abs=0.006)
    assert found.coverage == pytest.approx(1 - found.rate)
    assert found.interval.low < found.rate < found.interval.high
    assert found.verdict == "as declared"
    assert found.sentence.startswith("In 20,000 simulated studies of this design without an effect, the primary test")


def test_welch_with_two_trials_in_each_cell_is_called_conservative(study: MakeStudy, simulate: Simulate):
    data = study(simulate((DEPTH, SIZE), mean, n=2), (DEPTH, SIZE), primary=SLOPE, paired=False)
    found = measured(data)
    assert found.rate < 0.03
    assert found.verdict == "conservative"
    assert "overlook effects" in found.sentence
    assert found.robust_rate == pytest.approx(0.05, abs=0.006)


@pytest.mark.parametrize("correction", ["holm", "none"])
def test_a_slope_that_shares_alpha_is_measured_with_its_omnibus_test(
    study: MakeStudy, simulate: Simulate, correction: str
):
    """Uncorrected, the two reject too often together; Holm's correction holds them to alpha."""
    frame = simulate((DEPTH, SIZE), mean, n=12)
    data = study(frame, (DEPTH, SIZE), primary=SLOPE, paired=False, correction=correction)
    found = measured(data)
    assert found.rate == pytest.approx(0.05, abs=0.008)
    assert found.coverage == pytest.approx(1 - found.rate)
    assert found.pair_rate is not None
    assert found.pair_method == analyse(data).responses[0].effects[1].method
    assert f"as the study corrects them, rejected in {100 * found.pair_rate:.1f} %" in found.sentence
    assert "the primary test, before any correction, rejected in" in found.sentence
    if correction == "holm":
        assert 0.03 < found.pair_rate < 0.055
        assert found.verdict == "as declared"
    else:
        assert found.pair_rate > 0.065
        assert found.verdict == "liberal"
        assert "The two are liberal here" in found.sentence


def test_a_pair_is_simulated_without_any_interaction_even_where_cells_are_missing(study: MakeStudy, simulate: Simulate):
    def saddle(cell: dict[str, Any]) -> float:
        return mean(cell) + (0.3 if cell["depth"] == 8 and cell["size"] == 128 else 0.0)

    frame = simulate((DEPTH, SIZE), saddle, n=10)
    frame = frame[(frame["depth"] != 32) | (frame["size"] != 32)]
    found = measured(study(frame, (DEPTH, SIZE), primary=SLOPE, paired=False))
    assert found.pair_rate is not None
    assert found.pair_rate < 0.06
    assert found.rate == pytest.approx(0.05, abs=0.008)


def test_a_pair_is_simulated_without_its_slope_where_a_third_factor_bends_it_and_cells_are_unequal(
    study: MakeStudy, simulate: Simulate
):
    """With unequal n a slope's weights are not orthogonal to the interaction of all three."""
    regime = Factor("regime", ("none", "gradual"))
    factors = (DEPTH, SIZE, regime)

    def bent(cell: dict[str, Any]) -> float:
        return 0.02 * (cell["regime"] == "none") * np.log2(cell["depth"]) * np.log2(cell["size"])

    frame = simulate(factors, bent, n=8, sd=0.01)
    cell_N = frame.groupby(["depth", "size", "regime"]).ngroup().to_numpy()
    frame = frame[(frame["replicate"].to_numpy() < 3 + cell_N % 6) & (cell_N != 4)]
    found = measured(study(frame, factors, primary=SLOPE, paired=False))
    assert found.rate == pytest.approx(0.05, abs=0.02)
    assert found.pair_rate is not None
    assert found.pair_rate < 0.075


def test_a_slope_over_shared_seeds_stands_alone(paired: AnalysisInput):
    assert measured(paired).pair_rate is None
    assert measured(paired).pair_method == ""


def test_a_classical_f_whose_small_cells_are_noisy_is_called_liberal(study: MakeStudy, simulate: Simulate):
    """Beside the ANOVA-type statistic, which holds its level there."""
    factors = (Factor("depth", (8, 16, 32, 64)), Factor("size", (32, 64, 128, 256)))
    frame = simulate(factors, lambda _: 0.0, n=10, sd=1.0)
    frame["accuracy"] *= np.repeat(np.geomspace(1, 6, 16), 10)
    frame = frame[frame["replicate"].to_numpy() < np.repeat(np.linspace(10, 3, 16).round(), 10)]
    found = measured(study(frame, factors, primary=INTERACTION, paired=False))
    assert found.rate < 0.06
    assert found.robust_rate is not None
    assert found.robust_rate > 0.2
    single = frame.drop(index=frame.index[-2:])
    alone = measured(study(single, factors, primary=INTERACTION, paired=False))
    assert alone.method.startswith("classical F")
    assert alone.verdict == "liberal"
    assert "more often than declared" in alone.sentence


def test_greenhouse_and_geisser_are_conservative_with_few_seeds(study: MakeStudy, simulate: Simulate):
    data = study(simulate((DEPTH, SIZE), mean, seed_sd=0.03), (DEPTH, SIZE), primary=INTERACTION)
    found = measured(data)
    assert found.verdict == "conservative"
    assert found.coverage is None


def test_one_trial_per_cell_is_simulated_without_interaction(study: MakeStudy, simulate: Simulate):
    data = study(simulate((DEPTH, SIZE), mean, n=1), (DEPTH, SIZE), primary=SLOPE)
    assert measured(data).rate == pytest.approx(0.05, abs=0.006)


def test_the_same_design_gives_the_same_rate_from_the_cache(paired: AnalysisInput, tmp_path: Path, monkeypatch):
    first = null_rate(paired, tmp_path)
    (file,) = tmp_path.iterdir()
    monkeypatch.setattr(room, "_counted", lambda *_: pytest.fail("simulated again"))
    assert null_rate(paired, tmp_path) == first
    counts = json.loads(file.read_text())
    file.write_text(json.dumps(counts | {"rejected": 0}))
    assert measured_from(paired, tmp_path).rate == 0


def measured_from(data: AnalysisInput, cache: Path) -> NullRate:
    found = null_rate(data, cache)
    assert isinstance(found, NullRate)
    return found


def test_another_design_is_simulated_anew(study: MakeStudy, simulate: Simulate, tmp_path: Path):
    frame = simulate((DEPTH, SIZE), mean, seed_sd=0.03)
    for part in (frame, frame[frame["replicate"] < 4], frame.assign(accuracy=frame["accuracy"] ** 2)):
        null_rate(study(part, (DEPTH, SIZE), primary=SLOPE), tmp_path)
    null_rate(study(frame, (DEPTH, SIZE), primary=SLOPE, alpha=0.01), tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_broken_cache_costs_nothing_but_time(paired: AnalysisInput, tmp_path: Path):
    first = null_rate(paired, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text("{")
    assert null_rate(paired, tmp_path) == first
    (tmp_path / "file").write_text("")
    assert null_rate(paired, tmp_path / "file") == first


def test_studies_are_counted_whole_however_they_are_drawn(paired: AnalysisInput, monkeypatch):
    sizes: list[int] = []
    draw = room._Simulation.draw

    def counted(self, rng, num_studies):
        sizes.append(num_studies)
        return draw(self, rng, num_studies)

    monkeypatch.setattr(room, "AT_ONCE", 5 * 3000)
    monkeypatch.setattr(room._Simulation, "draw", counted)
    assert measured(paired).rate == pytest.approx(0.05, abs=0.006)
    assert sizes == [3000] * 6 + [2000]


def test_without_a_primary_test_the_findings_have_a_refusal(study: MakeStudy, simulate: Simulate, tmp_path: Path):
    frame = simulate((DEPTH, SIZE), mean)
    data = study(frame, (DEPTH, SIZE))
    proved = prove(data, analyse(data), tmp_path)
    assert proved.null_rate is None
    assert proved.self_check is not None
    refusal = proved.responses[0].refusals[-1]
    assert refusal.what == "null rate of the primary test"
    assert "no primary hypothesis" in refusal.why


def test_a_primary_test_that_was_refused_has_no_null_rate(study: MakeStudy, simulate: Simulate):
    frame = simulate((DEPTH, SIZE), mean, n=1)
    found = null_rate(study(frame, (DEPTH, SIZE), primary=INTERACTION))
    assert isinstance(found, Refusal)
    assert "one trial per cell" in found.why
    apart = frame.assign(environment_key=[f"place {i % 2}" for i in range(len(frame))])
    elsewhere = null_rate(study(apart, (DEPTH, SIZE), primary=SLOPE))
    assert isinstance(elsewhere, Refusal)
    assert "environments" in elsewhere.why


def test_a_test_that_is_not_the_one_of_the_analysis_is_not_measured(paired: AnalysisInput, monkeypatch):
    """Whatever test a later version chooses: the simulated one has to give the p of the study's own trials."""
    honest = room.null_tests.per_seed_t

    def other(scores_SK, alpha):
        return honest(scores_SK[:, 1:], alpha)

    monkeypatch.setattr(room.null_tests, "per_seed_t", other)
    found = null_rate(paired)
    assert isinstance(found, Refusal)
    assert "no form for many studies" in found.why


def test_the_interval_of_a_proportion_is_the_exact_one():
    """R: binom.test(98, 2000)$conf.int and binom.test(0, 2000)$conf.int."""
    found = clopper_pearson(98, 2000)
    assert (found.low, found.high) == pytest.approx((0.0399567569, 0.0593926451), abs=1e-10)
    none = clopper_pearson(0, 2000)
    assert (none.low, none.high) == pytest.approx((0.0, 0.00184273979), abs=1e-11)


def test_a_large_design_is_simulated_at_least_two_thousand_times():
    class Large:
        size = 10**9

    assert room._num_studies(Large()) == 2000


@pytest.mark.parametrize("n", [5, 6, 10])
def test_two_levels_are_no_matter_of_rounding(study: MakeStudy, simulate: Simulate, monkeypatch, n: int):
    """Without the effect both means are zero but for their last digits, which are no effect."""
    monkeypatch.setattr(room, "MOST", 2_000)
    two = Factor("size", (16, 32))
    primary = Hypothesis(contrast="32 - 16", over="size")
    for seed in range(12):
        frame = simulate((two,), lambda cell: 0.5 + cell["size"] / 100, n=n, seed=seed)
        assert measured(study(frame, (two,), primary=primary)).studies == 2_000
