from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from cnnbench.spec import Hypothesis, Reference
from cnnbench.stats import analyse, choose, flat_rows
from cnnbench.stats.adaptive.stages import Course, analyse_stages, stage_input
from cnnbench.types import Exclusion, Factor, Stage, Trial, TrialFailure

if TYPE_CHECKING:
    from cnnbench.stats import AnalysisInput
    from tests.stats.conftest import MakeStudy

EPOCHS, BATCH = Factor("epochs", (1, 2, 4), "log2"), Factor("batch", (8, 16))
BASELINE = {"epochs": 1, "batch": 8}
FIRST = Stage("epochs", "epochs", {"batch": 8}, ({"epochs": 1, "batch": 8}, {"epochs": 2, "batch": 8}), (0, 1, 2, 3))
SECOND = Stage("batch", "batch", {"epochs": 2}, ({"epochs": 2, "batch": 8}, {"epochs": 2, "batch": 16}), (4, 5, 6, 7))
LAST = Stage("confirm", None, {"epochs": 2, "batch": 16}, (BASELINE, {"epochs": 2, "batch": 16}), (8, 9, 10, 11))
STAGES = (FIRST, SECOND, LAST)


def trials(*stages: Stage) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows: list[dict[str, Any]] = []
    for stage in stages:
        for cell in stage.cells:
            value = 0.5 + 0.05 * (cell["epochs"] == 2) + 0.02 * (cell["batch"] == 16)
            rows += [{**cell, "replicate": k, "accuracy": value + rng.normal(0, 0.005)} for k in stage.replicates]
    frame = pd.DataFrame(rows).assign(concurrent_trials=1, environment_key="here")
    return frame.assign(trial_id=[f"trial{i:02d}" for i in range(len(frame))])


@pytest.fixture
def whole(study: MakeStudy) -> AnalysisInput:
    further = (Hypothesis(slope=("epochs",)), Hypothesis(contrast="16 - 8", over="batch"))
    return study(trials(*STAGES), (EPOCHS, BATCH), further=further, replicates=4)


def course(data: AnalysisInput, *stages: Stage, confirms: bool = True) -> Course:
    choices = tuple(
        choose(stage_input(data, stage, BASELINE), stage, BASELINE[stage.factor], "now")
        for stage in stages
        if stage.factor is not None
    )
    return Course(stages, choices, BASELINE, confirms)


def test_a_stage_is_analysed_as_a_design_of_its_factor(whole: AnalysisInput, study: MakeStudy):
    findings = analyse_stages(whole, course(whole, *STAGES))

    own = whole.trials[whole.trials["replicate"] < 4]
    alone = analyse(study(own, (EPOCHS,), further=(Hypothesis(slope=("epochs",)),), replicates=4))
    assert findings.stages[0].responses == alone.responses
    assert [stage.name for stage in findings.stages] == ["epochs", "batch", "confirm"]
    assert [stage.choice.level if stage.choice else None for stage in findings.stages] == [2, 16, None]
    asked = [[effect.label for effect in s.responses[0].effects if effect.role != "family"] for s in findings.stages]
    assert asked == [["slope of epochs (per doubling)"], ["16 - 8"], ["selected - baseline"]]


def test_the_findings_lead_with_new_seeds_for_baseline_and_selection(whole: AnalysisInput):
    findings = analyse_stages(whole, course(whole, *STAGES))

    lead = findings.responses[0]
    rows = whole.trials[whole.trials["replicate"] >= 8]
    means = rows.groupby("epochs")["accuracy"].mean()
    assert lead.effects[0].role == "primary"
    assert lead.effects[0].estimate == pytest.approx(means[2] - means[1])
    assert lead.effects[0].n == 4
    assert lead.headline.startswith("Selected: epochs 2, batch 16. Baseline: epochs 1, batch 8. Both were run again")


def test_without_confirmation_the_headline_calls_the_mean_optimistic(whole: AnalysisInput):
    own = replace(whole, trials=trials(FIRST, SECOND))

    findings = analyse_stages(own, course(own, FIRST, SECOND, confirms=False))

    headline = findings.responses[0].headline
    assert headline.startswith("Chosen: batch 16, which has the highest mean of accuracy (4 seeds).")
    assert "is optimistic" in headline
    assert "does not measure it again" in headline


def test_a_selected_baseline_has_nothing_to_be_compared_with(whole: AnalysisInput):
    alone = replace(LAST, held=BASELINE, cells=(BASELINE,))
    own = replace(whole, trials=trials(FIRST, SECOND, alone))

    findings = analyse_stages(own, replace(course(own, FIRST, SECOND), stages=(FIRST, SECOND, alone)))

    lead = findings.responses[0]
    assert lead.headline.startswith("The stages selected the baseline (epochs 1, batch 8).")
    assert lead.effects == ()
    assert lead.cells[0].n == 4


def test_a_stage_that_has_not_run_is_there_and_empty(whole: AnalysisInput):
    own = replace(whole, trials=trials(FIRST))

    findings = analyse_stages(own, replace(course(own, FIRST), stages=(FIRST, SECOND)))

    assert findings.stages[1].responses == ()
    assert findings.stages[1].sentences == ("Nothing is chosen yet: the stage has not finished.",)
    assert findings.responses[0].audit.factors == (EPOCHS,)


def test_failures_exclusions_and_what_is_pending_belong_to_their_stage(whole: AnalysisInput):
    trial = Trial("x", "demo", {"epochs": 2, "batch": 16}, 5, {}, {}, "f", 1.0, ())
    failure = TrialFailure(trial, "Diverged", "nan", "", 0)
    frame = whole.trials
    kept = frame[~((frame["replicate"] == 5) & (frame["batch"] == 16)) & (frame["replicate"] != 7)]
    excluded = Exclusion({"epochs": 4, "batch": 8}, "excluded", "too long")
    own = replace(whole, trials=kept, failures=(failure,), exclusions=(excluded,))

    first, second = (stage_input(own, stage, BASELINE) for stage in (FIRST, SECOND))

    assert (first.failures, first.pending) == ((), 0)
    assert [one.cell for one in first.exclusions] == [{"epochs": 4}]
    assert (second.exclusions, second.pending) == ((), 2)
    assert [one.trial.cell for one in second.failures] == [{"batch": 16}]


def test_published_numbers_and_claims_go_to_the_stage_that_varies_their_factor(whole: AnalysisInput):
    def published(**cell: int) -> Reference:
        return Reference(source="paper", response="accuracy", cell=cell, value=0.5)

    claim = Reference(
        source="paper",
        response="accuracy",
        claim=Hypothesis(contrast="16 - 8", over="batch"),
        expected="positive",
    )
    references = (published(epochs=2, batch=16), claim, published(epochs=2, batch=8), published(epochs=1, batch=16))
    own = replace(whole, references=references)

    findings = analyse_stages(own, course(own, *STAGES))

    frame = whole.trials
    second = frame[frame["replicate"].between(4, 7)].groupby("batch")["accuracy"].mean()
    ours = [check.ours.mean if check.ours else None for check in findings.references]
    # Both stages have epochs 2 with batch 8; the later one is where a reader of the paper would look.
    assert ours == [pytest.approx(second[16]), pytest.approx(second[8]), None]
    assert [dict(check.cell) for check in findings.references] == [dict(one.cell) for one in references if one.value]
    assert "no stage of this study has run such a cell" in findings.references[2].sentence
    assert [one.verdict for one in findings.claims] == ["confirmed"]


def test_the_flat_table_has_every_stage(whole: AnalysisInput):
    rows = list(flat_rows(analyse_stages(whole, course(whole, *STAGES))))

    assert {row["stage"] for row in rows} == {"epochs", "batch", "confirm"}
    assert {row["stage"] for row in flat_rows(analyse(replace(whole, trials=trials(FIRST))))} == {None}


def test_a_claim_whose_stage_has_not_run_is_undetermined(whole: AnalysisInput):
    claim = Reference(
        source="paper", response="accuracy", claim=Hypothesis(contrast="16 - 8", over="batch"), expected="positive"
    )
    own = replace(whole, trials=trials(FIRST), references=(claim,))

    findings = analyse_stages(own, course(own, FIRST))

    assert [(one.verdict, one.effect) for one in findings.claims] == [("undetermined", None)]


def test_new_seeds_on_the_same_examples_do_not_undo_what_was_fitted_to_them(whole: AnalysisInput):
    how = replace(course(whole, *STAGES), same_examples=True)

    findings = analyse_stages(whole, how)

    assert "no optimism" not in findings.responses[0].headline
    assert "evaluated on the examples that the stages chose by" in findings.responses[0].headline
    assert "on new seeds, not on new examples" in " ".join(findings.stages[0].sentences)
    alone = replace(LAST, held=BASELINE, cells=(BASELINE,))
    own = replace(whole, trials=trials(FIRST, SECOND, alone))
    same = replace(course(own, FIRST, SECOND), stages=(FIRST, SECOND, alone), same_examples=True)
    assert "no optimism" not in analyse_stages(own, same).responses[0].headline
