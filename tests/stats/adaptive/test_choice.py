from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scipy.stats import norm, ttest_ind, ttest_rel

from cnnbench.stats import choose
from cnnbench.stats.adaptive.choice import p_best
from cnnbench.types import Choice, Factor, Refusal, Stage

if TYPE_CHECKING:
    from tests.stats.conftest import MakeResponse, MakeStudy

LEVELS = ("a", "b", "c")


def made(
    study: MakeStudy, values: dict[str, list[float | None]], *, preferred: str = "a", **changes: object
) -> Choice | Refusal:
    """Choose among levels by their values, replicate by replicate; None where a trial failed."""
    factor = Factor("level", tuple(values))
    rows = [
        {"level": level, "replicate": 10 + k, "accuracy": value, "trial_id": f"{level}{k}"}
        for level, own in values.items()
        for k, value in enumerate(own)
        if value is not None
    ]
    columns = ["level", "replicate", "accuracy", "trial_id"]
    frame = pd.DataFrame(rows, columns=columns).assign(concurrent_trials=1, environment_key="here")
    size = max(len(own) for own in values.values())
    cells = tuple({"level": level} for level in values)
    stage = Stage("level", "level", {"other": 1}, cells, tuple(range(10, 10 + size)))
    return choose(study(frame, (factor,), **changes), stage, preferred, "now")


def test_the_best_mean_is_chosen(study: MakeStudy):
    found = made(study, {"a": [0.1, 0.2, 0.3], "b": [0.5, 0.4, 0.6], "c": [0.2, 0.3, 0.5]})

    assert (found.level, found.held, found.tied) == ("b", {"other": 1}, ())
    assert [one.mean for one in found.standings] == pytest.approx([0.2, 0.5, 1 / 3])
    assert [one.sd for one in found.standings] == pytest.approx([0.1, 0.1, np.std([0.2, 0.3, 0.5], ddof=1)])


def test_where_lower_is_better_the_lowest_mean_is_chosen(study: MakeStudy, response: MakeResponse):
    values = {"a": [0.1, 0.2, 0.3], "b": [0.5, 0.4, 0.6], "c": [0.2, 0.3, 0.5]}

    found = made(study, values, responses=(response(higher_is_better=False),))

    assert found.level == "a"
    assert found.standings[0].mean == pytest.approx(0.2)
    assert found.optimism >= 0


@pytest.mark.parametrize(("preferred", "level", "tied"), [("a", "b", ("c",)), ("c", "c", ("b",)), ("b", "b", ("c",))])
def test_of_equal_means_the_baseline_s_level_is_kept_or_else_the_first(
    study: MakeStudy, preferred: str, level: str, tied: tuple[str, ...]
):
    values = {"a": [0.1, 0.2, 0.3], "b": [0.5, 0.4, 0.6], "c": [0.6, 0.5, 0.4]}

    found = made(study, values, preferred=preferred)

    assert (found.level, found.tied) == (level, tied)


def test_a_level_that_lacks_a_result_is_not_chosen_and_counts_for_nothing(study: MakeStudy):
    full = {"a": [0.1, 0.2, 0.3], "b": [0.2, 0.3, 0.1]}

    found = made(study, {**full, "c": [0.9, None, 0.9]})

    assert found.level == "a"
    assert [(one.n, one.failed, one.p_best) for one in found.standings][2] == (2, 1, None)
    assert [one.share for one in found.standings[:2]] == [one.share for one in made(study, full).standings]


def test_without_a_complete_level_nothing_is_chosen(study: MakeStudy):
    found = made(study, {"a": [0.1, None], "b": [None, 0.2]})

    assert isinstance(found, Refusal)
    assert "No level of level has a result from all of its 2 trials" in found.why


def test_a_stage_without_a_single_result_is_refused(study: MakeStudy):
    assert isinstance(made(study, {"a": [None, None], "b": [None, None]}), Refusal)


def test_one_seed_says_nothing_about_the_choice(study: MakeStudy):
    found = made(study, {"a": [0.1], "b": [0.3], "c": [0.2]})

    assert (found.level, found.optimism) == ("b", None)
    assert [(one.share, one.p_best, one.among_best) for one in found.standings] == [(None, None, True)] * 3


def test_a_single_level_is_taken(study: MakeStudy):
    found = made(study, {"a": [0.1, 0.2]})

    assert (found.level, found.standings[0].share, found.standings[0].p_best) == ("a", 1.0, 1.0)


@pytest.mark.parametrize("paired", [True, False])
def test_each_level_is_held_against_every_other_with_bonferroni(*, paired: bool):
    y_KL = np.random.default_rng(4).normal([0.0, 0.5, 0.2, -1.0], [1.0, 0.2, 2.0, 0.5], (8, 4))
    test = ttest_rel if paired else lambda x, y, alternative: ttest_ind(x, y, equal_var=False, alternative=alternative)

    expected = [
        min(1.0, *(3 * test(y_KL[:, j], y_KL[:, i], alternative="greater").pvalue for j in range(4) if j != i))
        for i in range(4)
    ]

    assert p_best(y_KL, 1e-14, paired=paired) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("paired", "expected"), [(True, [0.05719096, 1.0, 0.1884973]), (False, [0.0273453, 1.0, 0.2329814])]
)
def test_it_agrees_with_r(expected: list[float], *, paired: bool):
    """``t.test(x, y, paired = ..., alternative = "greater")`` of R 4.2, the smallest p of each level times 2."""
    y_KL = np.array([[0.1, 0.5, 0.2], [0.25, 0.4, 0.35], [0.3, 0.6, 0.5]])

    assert p_best(y_KL, 1e-14, paired=paired) == pytest.approx(expected, rel=1e-6)


def test_the_share_of_two_levels_is_that_of_their_difference(study: MakeStudy):
    """For two levels it is close to the normal probability that the mean difference keeps its sign."""
    rng = np.random.default_rng(1)
    seed, noise = rng.normal(0, 1, 30), rng.normal(0.02, 0.1, 30)

    found = made(study, {"a": list(0.5 + seed), "b": list(0.5 + seed + noise)})

    z = noise.mean() / (noise.std(ddof=1) / 30**0.5)
    assert found.standings[1].share == pytest.approx(norm.cdf(z), abs=0.02)
    assert sum(one.share for one in found.standings) == pytest.approx(1)


def test_independent_trials_do_not_share_their_draws(study: MakeStudy):
    """With a spread common to all levels, drawing seeds together leaves no doubt, drawing them apart leaves much."""
    common = [-1.0, -0.5, 0.0, 0.5, 1.0]
    values = {"a": common, "b": [value + 0.1 for value in common]}

    together, apart = made(study, values), made(study, values, paired=False)

    assert together.standings[1].share == 1.0
    assert 0.5 < apart.standings[1].share < 0.7
    # A difference that never varies tells nothing of its noise, so it is not tested.
    assert together.standings[0].among_best
    assert apart.standings[0].among_best


@example(values=[[0.0, 0.0], [0.0, 4.1e-132]], paired=False)  # the square of its variance is zero
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    values=st.integers(2, 4).flatmap(
        lambda n: st.lists(st.lists(st.floats(0, 1), min_size=n, max_size=n), min_size=2, max_size=4)
    ),
    paired=st.booleans(),
)
def test_no_data_makes_a_choice_fail_or_contradict_itself(study: MakeStudy, values: list[list[float]], *, paired: bool):
    named = {f"l{index}": own for index, own in enumerate(values)}

    found = made(study, named, preferred="l1", paired=paired)

    means = {one.level: one.mean for one in found.standings}
    assert means[found.level] == pytest.approx(max(means.values()))
    assert sum(one.share for one in found.standings) == pytest.approx(1)
    chosen = next(one for one in found.standings if one.level == found.level)
    assert chosen.among_best
    assert all(0 <= one.p_best <= 1 for one in found.standings)
    assert np.isfinite(found.optimism)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(order=st.permutations(LEVELS))
def test_the_order_of_levels_changes_nothing_but_ties(study: MakeStudy, order: list[str]):
    values = {"a": [0.1, 0.25, 0.3], "b": [0.5, 0.4, 0.6], "c": [0.2, 0.35, 0.5]}

    found, known = made(study, {level: values[level] for level in order}), made(study, values)

    assert found.level == known.level
    ours = {one.level: one for one in found.standings}
    for one in known.standings:
        assert (ours[one.level].mean, ours[one.level].p_best) == pytest.approx((one.mean, one.p_best))


@pytest.mark.slow
@pytest.mark.parametrize(("paired", "spread"), list(product([True, False], [1.0, 6.0])))
def test_the_truly_best_level_is_rarely_ruled_out_and_its_optimism_is_seen(*, paired: bool, spread: float):
    """2,000 stages of 5 levels with nothing between them: the first is (weakly) best, whatever the spreads."""
    rng = np.random.default_rng(7)
    sd_L = np.geomspace(1, spread, 5)
    lost = 0
    for _ in range(2000):
        y_KL = rng.normal(0, sd_L, (5, 5)) + paired * rng.normal(0, 3, (5, 1))
        p_L = p_best(y_KL, 1e-14, paired=paired)
        lost += p_L[0] < 0.05
    assert lost / 2000 <= 0.05 + 0.01
