from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
from math import ceil
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pytest
from scipy.stats import t as student_t

from cnnbench.errors import SpecError, StoreError
from cnnbench.execute import RunOptions, Session
from cnnbench.execute.rounds import check_direction
from cnnbench.execute.study import estimate_s
from cnnbench.plugin import hookimpl
from cnnbench.store import Study, read_decisions
from cnnbench.types import Choice, Look, Plan, Trial

if TYPE_CHECKING:
    from tests.execute.conftest import MakeSession, Run

TWO_STAGE = """
[factors.width]
path = "model.width"
levels = [2, 4]
[design]
seeds = { until_half_width = 0.01, pilot = 4, max = 12 }
[analysis]
primary = { contrast = "4 - 2", over = "width" }
"""
SEQUENTIAL = """
[factors.epochs]
path = "phases.main.epochs"
levels = [1, 2, 3]
[factors.batch]
path = "batch_size"
levels = [8, 16]
[design]
kind = "sequential"
replicates = 3
stage = [{ factor = "epochs" }, { factor = "batch" }]
"""

EFFECTS = [0.10, 0.13, 0.11, 0.12, *(0.10, 0.12) * 4]
"""Made-up effects by replicate; the pilot's are the first four."""


def two_stage(trial: Trial) -> float:
    return 0.5 + (EFFECTS[trial.replicate] if trial.cell["width"] == 4 else 0.0)


def sequential(trial: Trial) -> float:
    """2 epochs and a batch of 8 are best; the noise is the seed's alone but for a little of the cell's."""
    cell = trial.cell
    little = 0.001 * ((trial.replicate * (3 + cell["epochs"]) + cell["batch"]) % 5)
    return 0.5 + {1: 0.0, 2: 0.1, 3: 0.05}[cell["epochs"]] + (0.02 if cell["batch"] == 8 else 0) + little


def contents(session: Session) -> dict[str, bytes]:
    folder = session.folder.path
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------------ two stages


def test_the_pilot_decides_how_many_seeds_are_run(session_of: MakeSession, run: Run):
    first = session_of(TWO_STAGE)
    assert (len(first.plan.trials), first.to_come) == (8, (0, 16))

    summary = run(first, two_stage)

    (stored,) = read_decisions(first.folder)
    look = stored.decision
    assert isinstance(look, Look)
    sd = float(np.std(EFFECTS[:4], ddof=1))
    assert look.sd == pytest.approx(sd)
    assert look.needed == ceil((student_t.isf(0.025, 3) * sd / 0.01) ** 2) == 17
    assert (look.pilot, look.replicates, look.capped) == ((0, 1, 2, 3), 12, True)
    assert (summary.num_finished, summary.num_pending, summary.num_planned) == (24, 0, 24)
    assert session_of(TWO_STAGE).to_come == (0, 0)


def test_a_wide_promise_takes_no_more_than_the_pilot(session_of: MakeSession, run: Run):
    summary = run(session_of(TWO_STAGE, "design.seeds.until_half_width=0.5"), two_stage)

    assert (summary.num_finished, summary.num_planned) == (8, 8)


def test_replicates_that_the_pilot_lost_are_made_up_for(session_of: MakeSession, run: Run):
    session = session_of(TWO_STAGE, "design.seeds.until_half_width=0.04")

    summary = run(session, lambda trial: None if trial.replicate == 1 else two_stage(trial))

    look = read_decisions(session.folder)[0].decision
    sd = float(np.std([EFFECTS[0], EFFECTS[2], EFFECTS[3]], ddof=1))
    needed = max(3, ceil((student_t.isf(0.025, 2) * sd / 0.04) ** 2))
    assert (look.pilot, look.needed, look.replicates) == ((0, 2, 3), needed, needed + 1)
    assert summary.num_finished == 2 * needed


def test_a_pilot_without_two_complete_replicates_decides_nothing(
    session_of: MakeSession, run: Run, options: RunOptions
):
    session = session_of(TWO_STAGE)

    summary = run(session, lambda trial: two_stage(trial) if trial.replicate == 1 else None)

    assert "Only 1 of the pilot's 4 replicates" in summary.undecided
    assert "--retry-failed" in summary.undecided
    assert read_decisions(session.folder) == ()
    retry = dataclasses.replace(options, retry_failed=True)
    again = run(session_of(TWO_STAGE, options=retry), two_stage, options=retry)
    assert (again.undecided, again.num_finished) == (None, 24)


def test_a_pilot_without_spread_decides_nothing(session_of: MakeSession, run: Run):
    summary = run(session_of(TWO_STAGE), lambda trial: 0.5 if trial.cell["width"] == 2 else 0.6)

    assert "no spread to go by" in summary.undecided


def test_a_study_that_was_stopped_between_pilot_and_decision_takes_it_when_it_goes_on(
    session_of: MakeSession, run: Run
):
    stopped = run(session_of(TWO_STAGE), two_stage, most=8)
    # Ctrl-C came with the first trial of the second round: the decision is on disk, its trials are not.
    assert (stopped.interrupted, stopped.num_finished, stopped.num_planned) == (True, 8, 24)
    session = session_of(TWO_STAGE)
    (session.folder.path / "decisions.json").unlink()

    undecided = session_of(TWO_STAGE)
    assert (undecided.pending, undecided.to_come) == ((), (0, 16))
    summary = run(undecided, two_stage)

    assert (summary.num_finished, summary.interrupted) == (24, False)


def test_ctrl_c_while_a_library_plans_the_next_round_is_no_fault_of_it(
    session_of: MakeSession, run: Run, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*_: object) -> NoReturn:
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        raise RuntimeError("what the library made of it")

    with monkeypatch.context() as patch:
        patch.setattr("cnnbench.execute.study.open_session", interrupted)
        stopped = run(session_of(TWO_STAGE), two_stage)
    assert (stopped.interrupted, stopped.num_finished) == (True, 8)

    summary = run(session_of(TWO_STAGE), two_stage)

    assert (summary.num_finished, summary.interrupted) == (24, False)


def test_going_on_does_not_decide_again(session_of: MakeSession, run: Run):
    run(session_of(TWO_STAGE), two_stage, most=13)
    before = (session_of(TWO_STAGE).folder.path / "decisions.json").read_bytes()

    summary = run(session_of(TWO_STAGE), lambda trial: two_stage(trial) + 5 * trial.replicate)

    assert summary.num_finished == 24
    assert (session_of(TWO_STAGE).folder.path / "decisions.json").read_bytes() == before


@pytest.mark.parametrize(
    "assignment",
    [
        "design.seeds.until_half_width=0.005",
        "design.seeds.max=20",
        "analysis.alpha=0.1",
        "analysis.scale=log",
        "analysis.primary={contrast='2 - 4', over='width'}",
    ],
)
def test_a_rule_that_is_changed_after_the_decision_is_refused(session_of: MakeSession, run: Run, assignment: str):
    run(session_of(TWO_STAGE), two_stage)

    with pytest.raises(StoreError, match="decision on the number of seeds, taken under another rule") as caught:
        session_of(TWO_STAGE, assignment)

    assert "--fresh" in str(caught.value)


@pytest.mark.parametrize("assignment", ["trial.batch_size=8", "factors.width.levels=[2, 4, 8]", "design.base_seed=1"])
def test_a_decision_on_other_trials_is_refused(session_of: MakeSession, run: Run, assignment: str):
    run(session_of(TWO_STAGE), two_stage)

    with pytest.raises(StoreError, match="taken on other trials"):
        session_of(TWO_STAGE, assignment)


def test_a_rule_that_is_changed_before_the_decision_makes_all_exploratory(session_of: MakeSession, run: Run):
    from cnnbench.report import build_view

    run(session_of(TWO_STAGE), two_stage, most=5)
    session = session_of(TWO_STAGE, "design.seeds.until_half_width=0.02")
    run(session, two_stage)

    assert not build_view(session.folder.path).findings.confirmatory


def test_fresh_decides_anew(session_of: MakeSession, run: Run, options: RunOptions):
    run(session_of(TWO_STAGE), two_stage)
    fresh = dataclasses.replace(options, fresh=True)

    session = session_of(TWO_STAGE, "design.seeds.until_half_width=0.5", options=fresh)
    assert len(session.pending) == 8
    summary = run(session, two_stage, options=fresh)

    assert summary.num_finished == 8
    assert read_decisions(session.folder)[0].decision.aimed == 0.5


def test_a_decision_that_another_process_took_meanwhile_is_not_taken_twice(session_of: MakeSession, run: Run):
    late = session_of(TWO_STAGE)
    run(session_of(TWO_STAGE), two_stage)

    run(dataclasses.replace(late, pending=()), two_stage)

    assert len(read_decisions(late.folder)) == 1


def test_the_expected_time_grows_with_what_may_come(session_of: MakeSession, options: RunOptions):
    session = session_of(TWO_STAGE)

    least, most = (estimate_s(session, options, more) for more in session.to_come)

    assert most == pytest.approx(3 * least)


# ------------------------------------------------------------------------------------------------ stages


class Watcher:
    def __init__(self) -> None:
        self.sizes: list[tuple[str, int, int]] = []

    @hookimpl
    def cnnbench_study_started(self, plan: Plan, num_finished: int) -> None:
        self.sizes.append(("started", len(plan.trials), num_finished))

    @hookimpl
    def cnnbench_plan_extended(self, plan: Plan, num_finished: int) -> None:
        self.sizes.append(("extended", len(plan.trials), num_finished))

    @hookimpl
    def cnnbench_study_finished(self, plan: Plan, num_finished: int) -> None:
        self.sizes.append(("finished", len(plan.trials), num_finished))


def test_each_stage_keeps_the_level_that_the_one_before_chose(session_of: MakeSession, run: Run):
    watcher = Watcher()
    session = session_of(SEQUENTIAL)
    assert (len(session.plan.trials), session.to_come) == (9, (9, 12))

    summary = run(session, sequential, watcher)

    chosen = [stored.decision for stored in read_decisions(session.folder)]
    assert all(isinstance(one, Choice) for one in chosen)
    assert [(one.factor, one.level, one.held) for one in chosen] == [
        ("epochs", 2, {"batch": 8}),
        ("batch", 8, {"epochs": 2}),
    ]
    assert summary.num_finished == 9 + 6 + 6
    assert watcher.sizes == [
        ("started", 9, 0),
        ("extended", 15, 9),
        ("extended", 21, 15),
        ("finished", 21, 21),
    ]
    table = Study.open(session.folder.path).trials
    counted = table.groupby("stage", sort=False)["replicate"].agg(["min", "max", "size"])
    assert counted.to_dict("index") == {
        "epochs": {"min": 0, "max": 2, "size": 9},
        "batch": {"min": 3, "max": 5, "size": 6},
        "confirm": {"min": 6, "max": 8, "size": 6},
    }


def test_without_confirmation_the_last_stage_is_the_end(session_of: MakeSession, run: Run):
    session = session_of(SEQUENTIAL, "design.confirm=false")
    assert session.to_come == (6, 6)

    assert run(session, sequential).num_finished == 15
    assert len(read_decisions(session.folder)) == 2


def test_a_level_with_a_failed_trial_is_not_chosen_however_good(session_of: MakeSession, run: Run):
    session = session_of(SEQUENTIAL)

    run(session, lambda trial: None if trial.cell["epochs"] == 2 and trial.replicate == 0 else sequential(trial))

    choice = read_decisions(session.folder)[0].decision
    assert choice.level == 3
    assert [(one.level, one.n, one.failed) for one in choice.standings] == [(1, 3, 0), (2, 2, 1), (3, 3, 0)]


def test_a_stage_in_which_every_level_fails_stops_the_study_with_a_reason(session_of: MakeSession, run: Run):
    summary = run(session_of(SEQUENTIAL), lambda trial: None if trial.replicate == 1 else sequential(trial))

    assert summary.undecided == (
        "the choice of epochs cannot be settled, so the study stops here: No level of epochs has a result from all of "
        "its 3 trials. See why they failed, and run them again (`--retry-failed`)."
    )
    assert (summary.num_finished, summary.num_failed, summary.num_planned) == (6, 3, 9)


@pytest.mark.parametrize("most", [0, 4, 9, 11, 15, 20])
def test_a_stopped_study_goes_on_to_the_same_end(session_of: MakeSession, run: Run, most: int):
    stopped = run(session_of(SEQUENTIAL), sequential, most=most)
    assert (stopped.interrupted, stopped.num_finished) == (True, most)

    summary = run(session_of(SEQUENTIAL), sequential)

    assert (summary.interrupted, summary.num_finished, summary.num_planned) == (False, 21, 21)
    chosen = [stored.decision.level for stored in read_decisions(session_of(SEQUENTIAL).folder)]
    assert chosen == [2, 8]


def test_a_finished_study_that_is_run_again_changes_nothing(session_of: MakeSession, run: Run):
    run(session_of(SEQUENTIAL), sequential)
    again = session_of(SEQUENTIAL)
    before = contents(again)
    assert (again.pending, again.num_finished, again.changes) == ((), 21, ())

    summary = run(again, sequential)

    assert summary.num_finished == 21
    after = contents(again)
    assert {name for name in after if after[name] != before.get(name)} <= {"environment.json"}


def test_a_stage_that_is_added_later_leaves_earlier_choices_standing(session_of: MakeSession, run: Run):
    shorter = SEQUENTIAL.replace(', { factor = "batch" }', "").replace(
        '[factors.batch]\npath = "batch_size"\nlevels = [8, 16]\n', ""
    )
    run(session_of(shorter), lambda trial: 0.5 + 0.01 * trial.replicate + 0.1 * (trial.cell["epochs"] == 3))

    with pytest.raises(StoreError, match="on the level of `epochs`, taken on other trials"):
        session_of(SEQUENTIAL)  # the new factor is part of every cell


def test_a_level_that_cannot_be_built_is_no_candidate(session_of: MakeSession, run: Run):
    excluded = f'{SEQUENTIAL}\n[[design.exclude]]\ncell = {{ epochs = 2 }}\nreason = "known"\n'
    session = session_of(excluded)
    assert [one.cell for one in session.plan.exclusions] == [{"epochs": 2, "batch": 8}]

    run(session, sequential)

    choice = read_decisions(session.folder)[0].decision
    assert (choice.level, [one.level for one in choice.standings]) == (3, [1, 3])


def test_decisions_that_were_changed_by_hand_are_refused(session_of: MakeSession, run: Run):
    session = session_of(SEQUENTIAL)
    run(session, sequential)
    path = session.folder.path / "decisions.json"
    document = json.loads(path.read_text("utf-8"))
    document["decisions"][0]["decision"]["level"] = 3
    path.write_text(json.dumps(document), "utf-8")

    with pytest.raises(StoreError, match="is not as it was written"):
        session_of(SEQUENTIAL)


def test_a_response_without_a_better_direction_can_choose_nothing(session_of: MakeSession):
    session = session_of(SEQUENTIAL)
    undirected = tuple(dataclasses.replace(info, higher_is_better=None) for info in session.responses)

    with pytest.raises(SpecError, match="`accuracy` does not say whether higher is better") as caught:
        check_direction(session.study.spec, undirected, "study.toml")
    assert caught.value.problems[0].key == "analysis.response"
