"""Datasets as a sample of a population."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from cnnbench.spec import Hypothesis, Reference
from cnnbench.stats import analyse
from cnnbench.stats.trials.cells import cell_data, over_levels
from cnnbench.types import Factor

if TYPE_CHECKING:
    from cnnbench.types import Effect, Findings
    from tests.stats.conftest import MakeStudy

REGIME = Factor("regime", ("none", "gradual"))
DEPTH = Factor("depth", (8, 16), "log2")
GAIN = Hypothesis(contrast="gradual - none", over="regime")


def datasets(number: int) -> Factor:
    return Factor("dataset", tuple(f"d{i}" for i in range(number)))


def trials(number: int, *, n: int = 3, gain: float = 0.02, seed: int = 1) -> pd.DataFrame:
    """Every dataset has a level and a gain of its own, and they differ more than replicates do."""
    rng = np.random.default_rng(seed)
    rows = []
    for dataset in datasets(number).levels:
        level, own = rng.normal(0.7, 0.05), rng.normal(gain, 0.01)
        rows += [
            {
                "dataset": dataset,
                "depth": depth,
                "regime": regime,
                "replicate": k,
                "accuracy": level + own * (regime == "gradual") + rng.normal(0, 0.002),
            }
            for depth in DEPTH.levels
            for regime in REGIME.levels
            for k in range(n)
        ]
    frame = pd.DataFrame(rows)
    frame["trial_id"] = [f"trial{i:03d}" for i in range(len(frame))]
    frame["concurrent_trials"] = 1
    frame["environment_key"] = "here"
    return frame


def found(study: MakeStudy, frame: pd.DataFrame, **changes: Any) -> Findings:
    factors = (Factor("dataset", tuple(frame["dataset"].unique())), DEPTH, REGIME)
    return analyse(study(frame, factors, **{"random": "dataset", "primary": GAIN} | changes))


def primary(findings: Findings) -> Effect:
    return findings.responses[0].effects[0]


@pytest.mark.parametrize("paired", [True, False])
def test_the_noise_of_an_effect_is_its_difference_between_datasets(study: MakeStudy, *, paired: bool):
    frame = trials(8)
    random = primary(found(study, frame, paired=paired))
    fixed = primary(found(study, frame, paired=paired, random=None))
    means = frame.groupby(["dataset", "depth", "regime"])["accuracy"].mean().reset_index()
    gains = means.pivot_table("accuracy", "dataset", "regime")
    per_dataset = gains["gradual"] - gains["none"]
    assert random.estimate == pytest.approx(per_dataset.mean(), rel=1e-10)
    assert random.se == pytest.approx(per_dataset.std() / 8**0.5, rel=1e-10)
    assert (random.n, random.df) == (8, 7)
    assert random.estimate == pytest.approx(fixed.estimate, rel=1e-10)
    assert random.se > 4 * fixed.se


def test_it_is_told_what_the_findings_speak_of(study: MakeStudy):
    (response,) = found(study, trials(6)).responses
    assert "over 6 datasets, one value each" in response.headline
    assert response.headline.endswith(
        "The findings speak of the population that these 6 datasets were drawn from: dataset is random, and effects "
        "are held against their differences between its levels."
    )
    assert response.audit.random == "dataset"
    assert response.audit.sentences[-1] == (
        "dataset is random: its 6 levels are blocks, each with the mean of its trials in every cell of the other "
        "factors; all are complete."
    )


def test_datasets_are_compared_by_nobody(study: MakeStudy):
    (response,) = found(study, trials(6)).responses
    assert not [effect.key for effect in response.effects if "dataset" in effect.key]
    assert not [row.term for table in response.tests for row in table.rows if "dataset" in row.term]
    assert [row.term for row in response.tests[0].rows] == ["depth", "regime", "depth:regime"]


def test_fewer_than_five_are_fixed_and_speak_of_themselves_only(study: MakeStudy):
    frame = trials(4)
    random, fixed = (found(study, frame, random=name).responses[0] for name in ("dataset", None))
    assert random.effects == fixed.effects
    assert random.tests == fixed.tests
    assert random.audit.random is None
    (note,) = [note for note in random.notes if note.startswith("The findings speak of these 4 datasets only")]
    assert random.headline.endswith(note)
    assert not [note for note in fixed.notes if "speak of" in note]


def test_no_hypothesis_may_name_the_random_factor(study: MakeStudy):
    asked = Hypothesis(interaction=("dataset", "regime"))
    (response,) = found(study, trials(6), primary=asked).responses
    assert [refusal.why for refusal in response.refusals if refusal.what == "dataset:regime"] == [
        "dataset is random: its levels stand for a population, and which of them is better is no finding."
    ]
    assert "was not tested" in response.headline


def test_a_dataset_that_lacks_a_cell_is_left_out_where_it_matters_and_named(study: MakeStudy):
    frame = trials(7)
    frame = frame[(frame["dataset"] != "d3") | (frame["regime"] != "gradual") | (frame["depth"] != 16)]
    (response,) = found(study, frame).responses
    effects = {effect.key: effect for effect in response.effects}
    assert effects["primary"].n == 6
    assert effects["primary"].method.endswith("; incomplete and left out: dataset d3")
    assert effects["simple:depth:8"].n == 7
    assert response.audit.sentences[-1].endswith("tests leave out d3 where a cell that they need is missing.")
    assert "6 datasets as blocks" in response.tests[0].method


def test_one_trial_per_cell_is_enough_where_datasets_are_the_noise(study: MakeStudy):
    (response,) = found(study, trials(6, n=1), paired=False).responses
    assert response.effects[0].df == 5
    assert {row.term for row in response.tests[0].rows} == {"depth", "regime", "depth:regime"}


def test_marginal_means_of_fixed_factors_run_over_datasets(study: MakeStudy):
    frame = trials(6)
    (response,) = found(study, frame).responses
    means = {tuple(cell.levels.values()): cell for cell in response.marginals}
    per_dataset = frame[frame["regime"] == "none"].groupby("dataset")["accuracy"].mean()
    half = 2.5705818366147395 * per_dataset.std() / 6**0.5
    assert means["none",].interval.high == pytest.approx(per_dataset.mean() + half, rel=1e-9)
    assert means["d0",].interval.high - means["d0",].interval.low < half / 5


def test_a_published_number_without_a_dataset_is_held_against_all_of_them(study: MakeStudy):
    cells = ({"regime": "none"}, {"regime": "none", "dataset": "d0"})
    references = tuple(Reference(source="x", response="accuracy", value=0.7, cell=cell) for cell in cells)
    frame = trials(6)
    over_all, of_one = found(study, frame, references=references).references
    per_dataset = frame[frame["regime"] == "none"].groupby("dataset")["accuracy"].mean()
    assert over_all.difference == pytest.approx(per_dataset.mean() - 0.7, rel=1e-9)
    assert over_all.interval.high - over_all.interval.low > 10 * (of_one.interval.high - of_one.interval.low)


def test_a_claim_about_each_dataset_is_tested_in_each(study: MakeStudy):
    """Overall by the datasets' own spread, within a dataset by its seeds."""
    reference = Reference(
        source="x", response="accuracy", claim=GAIN, expected="positive", each=("dataset",), quote="consistently"
    )
    (claim,) = found(study, trials(6, gain=0.05), references=(reference,)).claims
    assert claim.effect.n == 6
    assert "Asked of each level of dataset: 6 of 6 confirm it. As all must, the largest p counts: p " in claim.sentence
    assert claim.verdict == "confirmed"


def test_a_claim_about_one_dataset_is_tested_on_its_own_trials(study: MakeStudy):
    asked = GAIN.model_copy(update={"at": {"dataset": "d1"}})
    reference = Reference(source="x", response="accuracy", claim=asked, expected="positive")
    frame = trials(6)
    (claim,) = found(study, frame, references=(reference,)).claims
    means = frame[frame["dataset"] == "d1"].groupby("regime")["accuracy"].mean()
    assert claim.effect is not None
    assert claim.effect.estimate == pytest.approx(means["gradual"] - means["none"])
    assert claim.sentence.startswith("At dataset d1, with regime gradual, accuracy is")


def test_a_claim_about_the_datasets_themselves_cannot_be_tested(study: MakeStudy):
    asked = Hypothesis(contrast="d0 - d1", over="dataset")
    reference = Reference(source="x", response="accuracy", claim=asked, expected="positive")
    (claim,) = found(study, trials(6), references=(reference,)).claims
    assert claim.verdict == "undetermined"
    assert "The claim cannot be tested: dataset is random" in claim.sentence


def test_the_level_of_any_name_may_be_random(study: MakeStudy):
    frame = trials(6).rename(columns={"dataset": "site"})
    factors = (Factor("site", datasets(6).levels), DEPTH, REGIME)
    (response,) = analyse(study(frame, factors, random="site", primary=GAIN)).responses
    assert "over 6 levels of site, one value each" in response.headline


def test_rows_are_means_of_cells_however_many_trials_are_in_them():
    factors = (DEPTH, Factor("dataset", ("a", "b")), REGIME)
    cell_N = np.array([0, 0, 0, 1, 2, 3, 5, 6, 7])
    y_N = np.array([1.0, 2.0, 6.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
    full = cell_data(factors, cell_N, np.arange(9), y_N, paired=False)
    made = over_levels(full, 1)
    assert [factor.name for factor in made.factors] == ["depth", "regime"]
    assert (made.replicates, made.block, made.paired) == (("a", "b"), "dataset", True)
    expected = [[3.0, 4.0, np.nan, 7.0], [5.0, 6.0, 8.0, 9.0]]
    np.testing.assert_allclose(made.y_KM + made.offset, expected, rtol=1e-14)
