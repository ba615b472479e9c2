"""Comparisons from end to end, on answers that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cnnbench.compare import Options, compare
from cnnbench.errors import AnalysisError
from cnnbench.stats.examples.compare import ABOUT_EXAMPLES, compare_pair

if TYPE_CHECKING:
    from tests.compare.conftest import MakeRun

DEFAULT = Options()


def drawn(*shares: float, replicates: int = 4, num: int = 60, seed: int = 1) -> dict[tuple[str, int], str]:
    """Answers of models a, b, ... that are right with these shares."""
    rng = np.random.default_rng(seed)
    return {
        (name, replicate): "".join("1" if right else "0" for right in rng.random(num) < share)
        for name, share in zip("abcd", shares, strict=False)
        for replicate in range(replicates)
    }


def bits(right: str) -> np.ndarray:
    return np.array([digit == "1" for digit in right])


def test_every_pair_of_trials_is_a_test_of_its_own_on_its_own_examples(make_run: MakeRun):
    one, two = drawn(0.6, 0.7), drawn(0.8, 0.7, seed=2)
    found = compare([make_run("one", one), make_run("two", two)], DEFAULT)
    assert [(group.cell["model"], group.replicate) for group in found.groups] == list(one)
    for group, key in zip(found.groups, one, strict=True):
        expected = compare_pair("A", "B", bits(one[key]), bits(two[key]), 0.05)
        (pair,) = group.found.pairs
        assert (pair.n10, pair.n01, pair.p_exact) == (expected.n10, expected.n01, expected.p_exact)
        assert pair.interval == expected.interval
        assert group.found.num_examples == 60
        assert (group.split, group.view) == ("test", "plain")
    assert ABOUT_EXAMPLES in found.notes
    assert not found.refusals


def test_p_values_are_adjusted_over_all_trials_and_the_family_says_so(make_run: MakeRun):
    found = compare([make_run("one", drawn(0.5)), make_run("two", drawn(0.9, seed=2))], DEFAULT)
    p = sorted((group.found.pairs[0].p_exact, group.found.pairs[0].p_exact_holm) for group in found.groups)
    assert p[0][1] == pytest.approx(4 * p[0][0])
    assert p[-1][1] >= p[-1][0]
    assert {group.found.family for group in found.groups} == {"all pairs of trials (4 tests, Holm)"}


def test_three_models_of_one_run_get_cochran_s_q_and_three_pairs(make_run: MakeRun):
    run = make_run("one", drawn(0.5, 0.6, 0.9))
    found = compare([f"{run}:model={model}" for model in "abc"], DEFAULT)
    for group in found.groups:
        assert group.found.cochran_df == 2
        assert group.found.cochran_q is not None
        assert [(pair.first, pair.second) for pair in group.found.pairs] == [("A", "B"), ("A", "C"), ("B", "C")]
    assert [(each.first, each.second) for each in found.retraining] == [("A", "B"), ("A", "C"), ("B", "C")]
    assert all(each.plan == () and each.environment == () for each in found.retraining)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"fingerprint": "e" * 64}, "trained and evaluated on different data"),
        ({"first_example": 5}, "evaluated on different test examples: their splits differ"),
        ({"split": "validation"}, "Not every trial has stored predictions of a part that all have"),
    ],
)
def test_other_examples_are_refused_and_the_rest_goes_on(make_run: MakeRun, changes: dict[str, object], sentence: str):
    runs = [make_run("one", drawn(0.5)), make_run("two", drawn(0.6, seed=2), **changes)]
    found = compare(runs, DEFAULT)
    assert found.groups == ()
    (refusal,) = found.refusals
    assert sentence in refusal.why
    assert refusal.what.endswith("model a, replicate 2; and 1 more")
    assert ABOUT_EXAMPLES not in found.notes
    assert found.retraining[0].overall is not None


def test_other_labels_of_the_same_examples_are_refused(make_run: MakeRun):
    longer = {key: right + "1" for key, right in drawn(0.5).items()}
    found = compare([make_run("one", drawn(0.5)), make_run("two", longer)], DEFAULT)
    assert found.groups == ()


@pytest.mark.parametrize(("split", "view"), [("validation", "plain"), (None, "tta")])
def test_predictions_that_are_not_stored_are_refused(make_run: MakeRun, split, view):
    found = compare([make_run("one", drawn(0.5)), make_run("two", drawn(0.6, seed=2))], Options(split=split, view=view))
    assert found.groups == ()
    assert "Name another part with --split or another view with --view" in found.refusals[0].remedy


def test_shared_seeds_are_compared_seed_by_seed(make_run: MakeRun):
    one, two = drawn(0.5, replicates=6), drawn(0.8, replicates=6, seed=2)
    (found,) = compare([make_run("one", one), make_run("two", two)], DEFAULT).retraining
    differences = [bits(one[key]).mean() - bits(two[key]).mean() for key in one]
    assert found.paired
    assert found.overall is not None
    assert found.overall.estimate == pytest.approx(np.mean(differences))
    assert found.overall.se == pytest.approx(np.std(differences, ddof=1) / 6**0.5)
    assert (found.overall.df, found.overall.n, found.overall.role) == (5, 6, "family")
    assert "paired over 6 seeds" in found.overall.sentence
    assert found.cells == ()


def test_other_seeds_are_compared_as_independent_trials(make_run: MakeRun):
    one, two = drawn(0.5, replicates=6), drawn(0.8, replicates=4, seed=2)
    runs = [make_run("one", one), make_run("two", two, base_seed=100)]
    comparison = compare(runs, DEFAULT)
    (found,) = comparison.retraining
    assert not found.paired
    assert found.overall is not None
    assert found.overall.n == 10
    assert found.overall.method.startswith("Welch-Satterthwaite")
    assert "A: 2 of 6 trials have no counterpart in every source." in comparison.notes


def test_cells_are_compared_one_by_one_and_adjusted(make_run: MakeRun):
    runs = [make_run("one", drawn(0.5, 0.6)), make_run("two", drawn(0.7, 0.6, seed=2))]
    (found,) = compare(runs, DEFAULT).retraining
    assert [effect.label for effect in found.cells] == ["model a", "model b"]
    assert found.overall is not None
    assert found.overall.estimate == pytest.approx(np.mean([effect.estimate for effect in found.cells]))
    assert all(effect.p_adjusted is not None and effect.p_adjusted >= effect.p for effect in found.cells)


def test_one_trial_each_cannot_speak_of_training_again(make_run: MakeRun):
    runs = [make_run("one", drawn(0.5, replicates=1)), make_run("two", drawn(0.7, replicates=1, seed=2))]
    comparison = compare(runs, DEFAULT)
    (found,) = comparison.retraining
    assert found.overall is None
    assert [refusal.what for refusal in found.refusals] == ["A - B over trials"]
    assert len(comparison.groups) == 1


def test_what_differs_between_plans_and_environments_is_named(make_run: MakeRun):
    runs = [make_run("one", drawn(0.5)), make_run("two", drawn(0.7, seed=2), torch="9.10", batch_size=32)]
    (found,) = compare(runs, DEFAULT).retraining
    assert [(each.path, each.first, each.second) for each in found.plan] == [("trial.batch_size", 16, 32)]
    assert [(each.path, each.first, each.second) for each in found.environment] == [
        ("trials.torch", "9.9", "9.10"),
        ("packages.torch", "9.9", "9.10"),
    ]
    assert found.overall is not None, "another environment is told, not refused"


def test_the_same_trials_run_again_do_not_differ(make_run: MakeRun):
    runs = [make_run("one", drawn(0.5)), make_run("two", drawn(0.5))]
    comparison = compare(runs, DEFAULT)
    assert {group.found.pairs[0].p_exact for group in comparison.groups} == {1.0}
    assert comparison.retraining[0].overall is None
    assert "so there is no noise to test against" in comparison.retraining[0].refusals[0].why


def test_runs_without_a_common_cell_are_told(make_run: MakeRun):
    comparison = compare([make_run("one", {("a", 0): "11"}), make_run("two", {("b", 0): "10"})], DEFAULT)
    assert comparison.refusals[0].why == "No cell and replicate has a finished trial in every source."
    assert comparison.retraining == ()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (Options(response="acuracy"), "`acuracy` is no response that both runs record; did you mean `accuracy`?"),
        (Options(alpha=0.7), "--alpha must lie between 0 and 0.5; got 0.7."),
    ],
)
def test_an_option_that_does_not_fit_is_told(make_run: MakeRun, options: Options, sentence: str):
    with pytest.raises(AnalysisError) as error:
        compare([make_run("one", drawn(0.5)), make_run("two", drawn(0.6))], options)
    assert sentence in str(error.value)


def test_the_spread_over_trials_stands_beside_that_of_the_examples(make_run: MakeRun):
    one, two = drawn(0.5), drawn(0.8, seed=2)
    comparison = compare([make_run("one", one), make_run("two", two)], DEFAULT)
    points = [100 * (bits(one[key]).mean() - bits(two[key]).mean()) for key in one]
    note = next(note for note in comparison.notes if note.startswith("A - B over 4 comparisons"))
    assert f"{min(points):+.3g} to {max(points):+.3g} percentage points" in note
    assert f"SD {np.std(points, ddof=1):.3g};" in note
