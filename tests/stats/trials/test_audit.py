"""The design audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnbench.stats import analyse
from cnnbench.types import Exclusion, Factor, Trial, TrialFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from cnnbench.stats import AnalysisInput
    from cnnbench.types import DesignAudit
    from tests.stats.conftest import MakeStudy, Simulate

FACTORS = (Factor("depth", (8, 18), "log2"), Factor("regime", ("none", "gradual")))


def failure(cell: dict[str, object], kind: str = "Diverged") -> TrialFailure:
    trial = Trial("x", "demo", cell, 0, {}, {}, "", 0.0, ())
    return TrialFailure(trial, kind, "", "", None)


def audit_of(data: AnalysisInput) -> DesignAudit:
    return analyse(data).responses[0].audit


def test_a_complete_design_is_described(study: MakeStudy, simulate: Simulate):
    audit = audit_of(study(simulate(FACTORS, lambda _: 0.5), FACTORS))
    assert (audit.num_cells, audit.num_trials, audit.min_n, audit.max_n, audit.rank) == (4, 20, 5, 5, 4)
    assert (audit.missing, audit.failed, audit.connected) == ((), 0, True)
    assert audit.complete_replicates == (0, 1, 2, 3, 4)
    assert audit.sentences == (
        "20 trials in 4 of 4 cells, 5 each.",
        "Replicates share their seeds over all cells, so that each replicate is a block; all 5 are complete.",
    )


def test_independent_trials_are_called_so(study: MakeStudy, simulate: Simulate):
    audit = audit_of(study(simulate(FACTORS, lambda _: 0.5), FACTORS, paired=False))
    assert audit.sentences[-1] == "Every trial has seeds of its own, so trials are independent."


def test_failed_and_pending_trials_are_counted_and_the_worst_cell_named(study: MakeStudy, simulate: Simulate):
    failures = (failure({"depth": 8, "regime": "none"}), failure({"depth": 8, "regime": "none"}, "OutOfMemory"))
    frame = simulate(FACTORS, lambda _: 0.5).drop(index=[0, 1])
    audit = audit_of(study(frame, FACTORS, failures=failures, pending=3))
    assert audit.failed == 2
    assert "2 trials failed (1 Diverged, 1 OutOfMemory); the most in one cell is 2 (8/none)." in audit.sentences
    assert "3 planned trials not run yet: these are interim results." in audit.sentences
    assert audit.complete_replicates == (2, 3, 4)
    assert "Tests leave out replicate 0, 1 where it lacks a cell that they need." in audit.sentences
    assert audit.sentences[0].startswith("18 trials in 4 of 4 cells, 3 to 5 each; means are unweighted")


def test_missing_cells_say_why_they_are_missing(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda _: 0.5)
    frame = frame[~((frame["depth"] == 18) & (frame["regime"] == "gradual"))]
    exclusion = Exclusion({"depth": 18, "regime": "gradual"}, "infeasible", "The image vanishes.")
    audit = audit_of(study(frame, FACTORS, exclusions=(exclusion,)))
    assert audit.missing == ({"depth": 18, "regime": "gradual"},)
    assert "1 cell missing (1 infeasible): 18/gradual." in audit.sentences
    assert audit.complete_replicates == (0, 1, 2, 3, 4)
    assert (audit.rank, audit.connected) == (3, True)


def test_a_disconnected_grid_is_announced(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda _: 0.5)
    frame = frame[(frame["depth"] == 18) == (frame["regime"] == "gradual")]
    audit = audit_of(study(frame, FACTORS))
    assert not audit.connected
    assert any(sentence.startswith("The grid is disconnected") for sentence in audit.sentences)


def test_a_level_without_trials_is_announced(study: MakeStudy, simulate: Simulate):
    factors = (Factor("depth", (8, 18, 34)),)
    frame = simulate(factors, lambda _: 0.5)
    audit = audit_of(study(frame[frame["depth"] != 34], factors))
    assert "No trial has depth 34; everything below is about the other levels." in audit.sentences


def test_an_empty_table_has_an_audit_too(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda _: 0.5).iloc[:0]
    audit = audit_of(study(frame, FACTORS))
    assert (audit.num_cells, audit.num_trials, audit.min_n, audit.rank) == (4, 0, 0, 0)
    assert audit.sentences[0] == "No trial of the 4 cells can be analysed."


def pooled(frame: pd.DataFrame, study: MakeStudy, place: Callable[[Any], str], **more: Any) -> str:
    """The audit's last sentence on trials of several places."""
    frame = frame.assign(environment_key=[place(row) for row in frame.itertuples()])
    return audit_of(study(frame, FACTORS, pool_environments=True, **more)).sentences[-1]


def test_pooled_environments_are_told(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda _: 0.5)
    by_replicate = pooled(frame, study, lambda row: "old" if row.replicate < 2 else "new")
    assert by_replicate == (
        "Trials of 2 environments are put together as the analysis asks (12 in new, 8 in old); each replicate ran in "
        "one of them, so that no comparison within replicates is affected."
    )
    independent = pooled(frame, study, lambda row: "old" if row.replicate < 2 else "new", paired=False)
    assert independent.endswith("(12 in new, 8 in old); every cell has the same share of each.")


def test_an_environment_for_each_level_cannot_be_told_from_the_factor(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda _: 0.5)
    by_depth = pooled(frame, study, lambda row: "gpu" if row.depth == 18 else "cpu")
    assert "no environment has more than one level of depth: what looks like an effect of it may be one" in by_depth
    # Two environments with the same level of one factor, a third with the other: still each has one level.
    by_both = pooled(frame, study, lambda row: "gpu" if row.depth == 18 else f"cpu {row.regime}")
    assert "no environment has more than one level of depth:" in by_both
    assert "regime" not in by_both
    by_cell = pooled(frame, study, lambda row: f"{row.depth} {row.regime}")
    assert "more than one level of depth and of regime" in by_cell


def test_plots_in_environments_of_their_own_are_told_apart_by_nothing(study: MakeStudy, simulate: Simulate):
    """Replicates are nested in the factor, so that each ran in one environment: that does not help."""
    frame = simulate(FACTORS, lambda _: 0.5)
    frame["replicate"] += 10 * (frame["depth"] == 18)
    nested = pooled(frame, study, lambda row: "gpu" if row.depth == 18 else "cpu", nested_in=("depth",))
    assert "no environment has more than one level of depth" in nested


def test_incomplete_replicates_in_environments_of_their_own_are_not_said_to_be_safe(
    study: MakeStudy, simulate: Simulate
):
    frame = simulate(FACTORS, lambda _: 0.5)
    frame = frame[(frame["replicate"] > 1) | (frame["depth"] == 8)]
    uneven = pooled(frame, study, lambda row: "old" if row.replicate < 2 else "new")
    assert uneven.endswith("differences between cells may be partly theirs.")


def test_unequal_shares_of_environments_are_told(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda _: 0.5)
    uneven = pooled(frame, study, lambda row: "gpu" if row.depth == 18 and row.replicate > 1 else "cpu")
    assert uneven.endswith("differences between cells may be partly theirs.")


def test_one_environment_is_nothing_to_tell(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda _: 0.5)
    assert not any("environment" in one for one in audit_of(study(frame, FACTORS, pool_environments=True)).sentences)


def test_trials_of_earlier_settings_in_the_same_folder_are_counted(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda _: 0.5)
    told = audit_of(study(frame, FACTORS, unplanned=36)).sentences
    assert any(one.startswith("36 finished trials of other settings, levels or seeds lie in the same") for one in told)
    assert any(one.startswith("1 finished trial of") for one in audit_of(study(frame, FACTORS, unplanned=1)).sentences)
    assert not any("same folder" in one for one in audit_of(study(frame, FACTORS)).sentences)
