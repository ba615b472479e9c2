"""What must not matter does not, to ten digits; what must, does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnbench.spec import Hypothesis
from cnnbench.stats import analyse
from cnnbench.types import Factor

if TYPE_CHECKING:
    import pandas as pd

    from cnnbench.types import Effect, ResponseFindings, TestRow
    from tests.stats.conftest import MakeStudy, Simulate

DEPTH = Factor("depth", (8, 16, 32), "log2")
REGIME = Factor("regime", ("none", "gradual"))
FACTORS = (DEPTH, REGIME)
HYPOTHESES: dict[str, Any] = {
    "primary": Hypothesis(contrast="gradual - none", over="regime"),
    "further": (Hypothesis(slope=("depth",)), Hypothesis(interaction=("depth", "regime"))),
}
UNEVEN = [2, 3, 11, 17, 29]
QUICK = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

designs = st.fixed_dictionaries(
    {"paired": st.booleans(), "uneven": st.booleans(), "corner": st.booleans(), "seed": st.integers(0, 10**6)}
)


def trials(simulate: Simulate, design: dict[str, Any]) -> pd.DataFrame:
    def mean(cell: dict[str, Any]) -> float:
        return 0.6 + 0.01 * np.log2(cell["depth"]) + 0.01 * (cell["regime"] == "gradual")

    frame = simulate(FACTORS, mean, n=6, sd=0.01, seed_sd=0.02, seed=design["seed"])
    if design["corner"]:
        frame = frame[~((frame["depth"] == 32) & (frame["regime"] == "gradual"))]
    return frame.drop(index=UNEVEN) if design["uneven"] else frame


def effect_figures(effect: Effect, unit: float = 1.0) -> dict[str, float]:
    """Return the numbers of an effect, those in response units divided by ``unit``; -1 stands for none."""
    low, high = (None, None) if effect.interval is None else (effect.interval.low, effect.interval.high)
    scaled = {"estimate": effect.estimate, "se": effect.se, "low": low, "high": high}
    figures = {key: -unit if value is None else value for key, value in scaled.items()}
    plain = {key: getattr(effect, key) for key in ("statistic", "df", "p", "p_adjusted", "robust_p", "equivalence_p")}
    return {key: value / unit for key, value in figures.items()} | {
        key: -1.0 if value is None else value for key, value in plain.items()
    }


def row_figures(row: TestRow) -> list[float]:
    figures = [row.statistic, row.df1, row.df2, row.p, row.partial_eta_sq, row.epsilon]
    return [-1.0 if figure is None else figure for figure in figures]


def assert_same(one: ResponseFindings, other: ResponseFindings, unit: float = 1.0) -> None:
    """Equal effects by key, equal test rows by the set of their factors, equal verdicts."""
    close = {"rel": 1e-10, "abs": 1e-10}
    ours, theirs = ({effect.key: effect for effect in found.effects} for found in (one, other))
    assert set(ours) == set(theirs)
    for key, effect in ours.items():
        assert effect_figures(theirs[key], unit) == pytest.approx(effect_figures(effect), **close)
        assert theirs[key].verdict == effect.verdict
    for first, second in zip(one.tests, other.tests, strict=True):
        rows = {frozenset(row.term.split(":")): row_figures(row) for row in second.rows}
        assert len(rows) == len(first.rows)
        for row in first.rows:
            assert rows[frozenset(row.term.split(":"))] == pytest.approx(row_figures(row), **close)


@QUICK
@given(design=designs)
def test_the_order_of_the_rows_does_not_matter(study: MakeStudy, simulate: Simulate, design: dict[str, Any]):
    frame = trials(simulate, design)
    shuffled = frame.sample(frac=1, random_state=design["seed"] % 1000)
    one, other = (analyse(study(f, FACTORS, paired=design["paired"], **HYPOTHESES)) for f in (frame, shuffled))
    assert_same(one.responses[0], other.responses[0])


@QUICK
@given(design=designs)
def test_the_order_of_the_factors_does_not_matter(study: MakeStudy, simulate: Simulate, design: dict[str, Any]):
    frame = trials(simulate, design)
    one, other = (analyse(study(frame, f, paired=design["paired"], **HYPOTHESES)) for f in (FACTORS, FACTORS[::-1]))
    assert_same(one.responses[0], other.responses[0])


@QUICK
@given(design=designs, constant=st.floats(-5, 5))
def test_an_added_constant_does_not_matter(
    study: MakeStudy, simulate: Simulate, design: dict[str, Any], constant: float
):
    frame = trials(simulate, design)
    moved = frame.assign(accuracy=frame["accuracy"] + constant)
    one, other = (analyse(study(f, FACTORS, paired=design["paired"], **HYPOTHESES)) for f in (frame, moved))
    assert_same(one.responses[0], other.responses[0])


@QUICK
@given(design=designs)
def test_percent_instead_of_fractions_changes_the_unit_alone(
    study: MakeStudy, simulate: Simulate, design: dict[str, Any]
):
    frame = trials(simulate, design)
    percent = frame.assign(accuracy=100 * frame["accuracy"])
    one = analyse(study(frame, FACTORS, paired=design["paired"], equivalence_margin=0.02, **HYPOTHESES))
    other = analyse(study(percent, FACTORS, paired=design["paired"], equivalence_margin=2, **HYPOTHESES))
    assert_same(one.responses[0], other.responses[0], unit=100)


@QUICK
@given(design=designs)
def test_names_of_levels_do_not_matter(study: MakeStudy, simulate: Simulate, design: dict[str, Any]):
    frame = trials(simulate, design)
    renamed = frame.assign(regime=frame["regime"].map({"none": "zero", "gradual": "a b"}))
    factors = (DEPTH, Factor("regime", ("zero", "a b")))
    hypotheses = HYPOTHESES | {"primary": Hypothesis(contrast="a b - zero", over="regime")}
    one = analyse(study(frame, FACTORS, paired=design["paired"], **HYPOTHESES)).responses[0]
    other = analyse(study(renamed, factors, paired=design["paired"], **hypotheses)).responses[0]
    assert [effect_figures(effect) for effect in one.effects] == [effect_figures(effect) for effect in other.effects]


@QUICK
@given(design=designs)
def test_levels_as_text_are_the_same_levels(study: MakeStudy, simulate: Simulate, design: dict[str, Any]):
    frame = trials(simulate, design)
    text = frame.assign(depth=frame["depth"].astype(str))
    one, other = (analyse(study(f, FACTORS, paired=design["paired"], **HYPOTHESES)) for f in (frame, text))
    assert_same(one.responses[0], other.responses[0])


@QUICK
@given(seed=st.integers(0, 10**6))
def test_permuting_seeds_within_cells_changes_a_paired_analysis(study: MakeStudy, simulate: Simulate, seed: int):
    frame = trials(simulate, {"seed": seed, "corner": False, "uneven": False})
    permuted = frame.copy()
    permuted.loc[frame["regime"] == "none", "replicate"] = [(k + 1) % 6 for k in range(6)] * 3
    results = [
        analyse(study(f, FACTORS, paired=paired, **HYPOTHESES)).responses[0].effects[0].p
        for paired in (True, False)
        for f in (frame, permuted)
    ]
    assert abs(results[0] / results[1] - 1) > 1e-6
    assert results[2] == pytest.approx(results[3], rel=1e-10)
