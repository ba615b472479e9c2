"""From a study's plan and its noise to seeds.

Shapes: M cells of the grid, R degrees of freedom of an interaction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from cnnbench.stats.effects.answers import Setting
from cnnbench.stats.interface import Pilot
from cnnbench.stats.planning.asked import Asked, asked, planned_grid
from cnnbench.stats.planning.pilot import Observed, analysis_input, observed
from cnnbench.stats.power.interaction import (
    IndependentSeeds,
    Shape,
    SharedSeeds,
    largest_difference,
    smallest_pattern,
)
from cnnbench.stats.power.noise import assumed_noise
from cnnbench.stats.power.seeds import (
    MOST_SEEDS,
    RANGE_LEVEL,
    detectable_effect,
    seed_range,
    seeds_for_equivalence,
    seeds_to_detect,
)
from cnnbench.stats.power.t_test import OneSampleT, WelchT, t_test
from cnnbench.stats.trials.cells import NO_NOISE_REMEDY, level_text
from cnnbench.stats.trials.prepare import margin_for, scale_for
from cnnbench.stats.words.seeds import seed_notes, seed_sentences
from cnnbench.types import DesignPower, NoiseSource, PowerPoint, Refusal, SeedCount, SeedPlan, SeedRange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from cnnbench.spec import Hypothesis
    from cnnbench.stats.interface import SeedQuestion
    from cnnbench.stats.power.noise import Noise
    from cnnbench.stats.power.seeds import PowerTest
    from cnnbench.types import ResponseInfo

_CURVE_ROWS = 24
Source = Literal["given", "margin", "pilot"]


@dataclass(frozen=True, slots=True)
class _Goal:
    """What the seeds are for."""

    effect: float
    source: Source
    observed: float | None
    margin: float | None
    power: float
    replicates: int


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """All that the two kinds of seeds have in common."""

    hypothesis: Asked
    known: Observed
    goal: _Goal
    setting: Setting
    seconds_per_seed: float | None


def plan_seeds(question: SeedQuestion) -> SeedPlan | Refusal:
    """Return the seeds that a study's primary hypothesis needs, with shared and with independent seeds.

    Raises:
        AnalysisError: The pilot's table cannot be used at all.
    """
    primary = question.analysis.primary
    if primary is None:
        return Refusal(
            question.study,
            "The study declares no primary hypothesis, so there is nothing to plan seeds for.",
            'Declare one in `[analysis]`, e.g. `primary = { contrast = "a - b", over = "factor" }`.',
        )
    info, setting, note = _setting(question, primary)
    hypothesis = asked(planned_grid(question.factors, question.cells), primary, setting)
    if isinstance(hypothesis, Refusal):
        return hypothesis
    known = _known(question, hypothesis, info, setting)
    if isinstance(known, Refusal):
        return known
    goal = _goal(question, hypothesis, known, setting)
    if isinstance(goal, Refusal):
        return goal
    seconds = _seconds_per_seed(question)
    case = _Case(hypothesis, known, goal, setting, seconds)
    designs = _designs(case)
    if isinstance(designs, Refusal):
        return designs
    plan = SeedPlan(
        study=question.study,
        hypothesis=hypothesis.label,
        kind=hypothesis.kind,
        response=info.response.name,
        scale=setting.scale,
        unit=info.unit,
        alpha=setting.alpha,
        power=question.power,
        effect=goal.effect,
        effect_source=goal.source,
        margin=goal.margin,
        observed_effect=goal.observed,
        replicates=question.replicates,
        num_cells=len(question.cells),
        noise=known.source,
        designs=designs,
        sentences=(),
        notes=(*([note] if note else []), *known.notes),
    )
    notes = (*plan.notes, *seed_notes(plan, num_contrasts=hypothesis.basis_MR.shape[1]))
    return replace(plan, sentences=seed_sentences(plan, setting), notes=notes)


def _setting(question: SeedQuestion, primary: Hypothesis) -> tuple[ResponseInfo, Setting, str]:
    """Return the response of the hypothesis, and how it is analysed."""
    name = primary.response or question.analysis.response
    info = next(info for info in question.responses if info.response.name == name)
    plan = analysis_input(question, pd.DataFrame(), question.factors, paired=question.paired)
    scale, note = scale_for(plan, info)
    margin = margin_for(plan, info, scale)
    setting = Setting(info, scale, question.analysis.alpha, margin, question.paired, True, question.factors)
    return info, setting, note


def _known(question: SeedQuestion, hypothesis: Asked, info: ResponseInfo, setting: Setting) -> Observed | Refusal:
    if isinstance(question.noise, Pilot):
        return observed(question, question.noise, hypothesis, info, setting.scale)
    assumed = question.noise
    noise = assumed_noise(len(hypothesis.grid.n_M), assumed.sd, assumed.correlation)
    return Observed(noise, NoiseSource("assumed", None, None, assumed.sd, assumed.correlation), None, (), 0.0)


def _goal(question: SeedQuestion, hypothesis: Asked, known: Observed, setting: Setting) -> _Goal | Refusal:
    """Return the effect to be detected: as given, else the smallest of interest, else the pilot's own."""
    seen: float | None = None
    if known.mean_M is not None:
        weights = hypothesis.contrasts_PM if hypothesis.weights_M is None else hypothesis.weights_M[None]
        seen = float(np.abs(weights @ known.mean_M).max())
    choices: list[tuple[float | None, Source]] = [
        (question.effect, "given"),
        (setting.margin, "margin"),
        (seen, "pilot"),
    ]
    chosen = next(((effect, source) for effect, source in choices if effect), None)
    if chosen is None:
        return Refusal(
            hypothesis.label,
            "Nothing says which effect is to be detected: the study names no smallest effect of interest.",
            "Give `--effect`, or declare `equivalence_margin` in `[analysis]`.",
        )
    return _Goal(*chosen, seen, setting.margin, question.power, question.replicates)


def _test(case: _Case, source: Source, *, paired: bool) -> PowerTest:
    """Return the test that decides in a design with shared or independent seeds."""
    hypothesis, known, alpha = case.hypothesis, case.known, case.setting.alpha
    noise = known.noise
    if hypothesis.weights_M is not None:
        return t_test(noise, hypothesis.weights_M, paired=paired, alpha=alpha)
    seen_M = hypothesis.grid.seen_M
    covariance_MM = (noise.covariance_MM if paired else np.diag(noise.variance_M))[np.ix_(seen_M, seen_M)]
    basis_MR, contrasts_PM = hypothesis.basis_MR[seen_M], hypothesis.contrasts_PM[:, seen_M]
    shape = Shape(basis_MR, contrasts_PM, np.zeros(len(basis_MR)))
    if source == "pilot" and known.mean_M is not None:
        mean_M = basis_MR @ (basis_MR.T @ known.mean_M[seen_M])
        pattern_M = mean_M / largest_difference(shape, mean_M)
    else:
        pattern_M = smallest_pattern(shape, covariance_MM)
    shape = replace(shape, pattern_M=pattern_M)
    part_M = (hypothesis.basis_MR**2).sum(axis=1) * noise.variance_M
    if paired:
        scores_RR, known_df = _scores(basis_MR, covariance_MM, noise)
        return SharedSeeds(shape, scores_RR, alpha, noise.df_of(part_M) if noise.paired_df is None else known_df)
    return IndependentSeeds(shape, noise.variance_M[seen_M], alpha, noise.df_of(part_M), hypothesis.grid.complete)


def _scores(
    basis_MR: NDArray[np.float64], covariance_MM: NDArray[np.float64], noise: Noise
) -> tuple[NDArray[np.float64], float | None]:
    """Return the covariance of a seed's scores on the interaction, and the degrees of freedom behind its trace.

    Fewer seeds than scores leave it singular; the scores are then taken as uncorrelated and alike, with the same sum of
    variances.
    """
    scores_RR = basis_MR.T @ covariance_MM @ basis_MR
    if noise.paired_df is None or not isinstance(noise.variance_df_M, np.ndarray):
        return scores_RR, noise.paired_df
    trace = float(np.trace(scores_RR))
    known_df = trace**2 / float((scores_RR**2).sum()) * noise.paired_df
    if noise.paired_df < len(scores_RR):
        scores_RR = trace / len(scores_RR) * np.eye(len(scores_RR))
    return scores_RR, known_df


def _designs(case: _Case) -> tuple[DesignPower, ...] | Refusal:
    """Return what the study's own kind of seeds needs, and the other kind, with curves over the same seeds."""
    own = case.setting.paired
    tests = {paired: _test(case, case.goal.source, paired=paired) for paired in (own, not own)}
    rounding = max(case.known.tiny, 1e-7 * case.known.source.sd)  # a variance of rounding errors, and its root
    if not all(test.unit > rounding for test in tests.values()):
        why = "Every seed gives the same value of it, so there is no noise to plan with."
        return Refusal(case.hypothesis.label, why, NO_NOISE_REMEDY)
    designs = [_design(case, test, paired=paired) for paired, test in tests.items()]
    points = _curve_seeds([design.seeds for design in designs], case.goal.replicates)
    return tuple(
        replace(design, curve=_curve(test, case.goal, points))
        for design, test in zip(designs, tests.values(), strict=True)
    )


def _design(case: _Case, test: PowerTest, *, paired: bool) -> DesignPower:
    """Return what one kind of seeds needs, without its curve."""
    hypothesis, goal = case.hypothesis, case.goal
    detect = _count(test, lambda louder: seeds_to_detect(louder, goal.effect, goal.power))
    equivalence = None
    if goal.margin is not None:
        margin = goal.margin
        equivalence = _count(test, lambda louder: seeds_for_equivalence(louder, margin, goal.power))
    needed = [count.seeds for count in (detect, equivalence) if count is not None]
    seeds = None if None in needed else max(each for each in needed if each is not None)
    repeated = goal.replicates > 1
    num_cells = int(hypothesis.grid.seen_M.sum())
    return DesignPower(
        pairing="shared" if paired else "independent",
        planned=paired == case.setting.paired,
        test=_test_name(hypothesis, paired=paired),
        monte_carlo_se=test.monte_carlo_se(detect.seeds or MOST_SEEDS, goal.effect),
        sd=test.sd if isinstance(test, OneSampleT | WelchT) else None,
        df=test.known_df,
        seeds=seeds,
        detect=detect,
        equivalence=equivalence,
        observed=_observed(case, paired=paired),
        power=test.detect(goal.replicates, goal.effect) if repeated else None,
        equivalence_power=test.equivalence(goal.replicates, goal.margin) if repeated and goal.margin else None,
        detectable=detectable_effect(test, goal.replicates, goal.power),
        trials=None if seeds is None else seeds * num_cells,
        seconds=None if seeds is None or case.seconds_per_seed is None else seeds * case.seconds_per_seed,
        curve=(),
    )


def _count(test: PowerTest, seeds_with: Callable[[PowerTest], int | None]) -> SeedCount:
    ends = seed_range(test, seeds_with)
    return SeedCount(seeds_with(test), None if ends is None else SeedRange(*ends, RANGE_LEVEL))


def _observed(case: _Case, *, paired: bool) -> SeedCount | None:
    """Return the seeds that detect the pilot's own effect, where another one is asked for."""
    effect = case.goal.observed
    if effect is None or case.goal.source == "pilot":
        return None
    test = _test(case, "pilot", paired=paired)
    return _count(test, lambda louder: seeds_to_detect(louder, effect, case.goal.power))


def _test_name(hypothesis: Asked, *, paired: bool) -> str:
    if hypothesis.weights_M is not None:
        return "one-sample t test over the per-seed values" if paired else "Welch-Satterthwaite t test"
    if paired:
        return "repeated-measures F with the Greenhouse-Geisser correction"
    return "ANOVA-type statistic" if hypothesis.grid.complete else "classical F by comparison of models"


def _curve_seeds(needed: Sequence[int | None], replicates: int) -> list[int]:
    """Return where the curve is drawn: one by one up to 12, then in growing steps, to half as many again as needed."""
    known = [seeds for seeds in needed if seeds is not None]
    last = min(MOST_SEEDS, max(12, replicates, *(MOST_SEEDS if n is None else n + (n + 1) // 2 for n in needed)))
    steps = np.geomspace(12, last, _CURVE_ROWS - 10).round().astype(int).tolist()
    return sorted({*range(2, 13), *steps, *known, *([replicates] if replicates > 1 else [])})


def _curve(test: PowerTest, goal: _Goal, points: Sequence[int]) -> tuple[PowerPoint, ...]:
    return tuple(
        PowerPoint(
            seeds,
            test.detect(seeds, goal.effect),
            None if goal.margin is None else test.equivalence(seeds, goal.margin),
            test.classical(seeds, goal.effect) if isinstance(test, IndependentSeeds) else None,
        )
        for seeds in points
    )


def _seconds_per_seed(question: SeedQuestion) -> float | None:
    """Return what one trial in every planned cell takes, one after the other, at the pilot's times.

    A cell that the pilot has not takes the mean of those that it has.
    """
    if not isinstance(question.noise, Pilot) or "total_s" not in question.noise.trials.columns:
        return None
    trials = question.noise.trials[question.noise.trials["total_s"].notna()]
    if not len(trials):
        return None
    names = [factor.name for factor in question.factors]
    names = [factor.name for factor in question.factors]
    total_N = trials["total_s"].tolist()
    mean_s = sum(total_N) / len(total_N)
    by_cell: dict[tuple[str, ...], list[float]] = {}
    if set(names) <= set(trials.columns):
        levels_N = zip(*(trials[name].tolist() for name in names), strict=True) if names else [()] * len(total_N)
        for levels, total_s in zip(levels_N, total_N, strict=True):
            by_cell.setdefault(tuple(map(level_text, levels)), []).append(total_s)
    cells = (by_cell.get(tuple(level_text(cell[name]) for name in names), [mean_s]) for cell in question.cells)
    return sum(sum(cell) / len(cell) for cell in cells)
