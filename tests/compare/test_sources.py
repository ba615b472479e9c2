"""What the command line names, and which trials belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cnnbench.compare.sources import matched, open_sources
from cnnbench.errors import AnalysisError, StoreError

if TYPE_CHECKING:
    from tests.compare.conftest import MakeRun

ANSWERS = {("a", 0): "1100", ("a", 1): "1010", ("b", 0): "0110", ("b", 1): "1111"}


def test_two_runs_are_matched_cell_by_cell_and_replicate_by_replicate(make_run: MakeRun):
    first, second = make_run("one", ANSWERS), make_run("two", dict(reversed(ANSWERS.items())))
    sides = open_sources([first, second])
    groups = matched(sides)
    assert [group.label for group in groups] == [f"model {m}, replicate {k}" for m in "ab" for k in (0, 1)]
    for group in groups:
        assert {(trial.cell["model"], trial.replicate) for trial in group.trials} == {
            (group.cell["model"], group.replicate)
        }
    assert [side.source.name for side in sides] == ["A", "B"]
    assert [side.source.num_trials for side in sides] == [4, 4]


def test_parts_of_one_run_are_matched_by_what_they_leave_open(make_run: MakeRun):
    run = make_run("one", ANSWERS)
    groups = matched(open_sources([f"{run}:model=a", f"{run}:model=b"]))
    assert [(group.cell, group.replicate) for group in groups] == [({}, 0), ({}, 1)]
    assert [trial.cell["model"] for trial in groups[0].trials] == ["a", "b"]


def test_a_replicate_is_chosen_like_a_factor(make_run: MakeRun):
    run = make_run("one", ANSWERS)
    one = matched(open_sources([f"{run}:model=a,replicate=1", f"{run}:model=b"]))
    crossed = matched(open_sources([f"{run}:model=a,replicate=1", f"{run}:model=b, replicate = 0"]))
    assert [group.replicate for group in one] == [1]
    assert [[trial.replicate for trial in group.trials] for group in crossed] == [[1, 0]]


def test_several_levels_of_a_factor_leave_it_open(make_run: MakeRun):
    first, second = make_run("one", ANSWERS | {("c", 0): "1111"}), make_run("two", ANSWERS | {("c", 0): "0000"})
    groups = matched(open_sources([f"{first}:model=a,model=c", second]))
    assert [group.label for group in groups] == ["model a, replicate 0", "model a, replicate 1", "model c, replicate 0"]


def test_a_run_without_the_factor_is_matched_with_a_level_of_the_other(make_run: MakeRun):
    first = make_run("one", ANSWERS)
    second = make_run("two", {(None, 0): "1111", (None, 1): "1111"}, factor=None)
    assert len(matched(open_sources([f"{first}:model=b", second]))) == 2


def test_a_folder_with_a_colon_in_its_name_is_a_folder(make_run: MakeRun):
    first, second = make_run("one:x=1", ANSWERS), make_run("two", ANSWERS)
    assert len(matched(open_sources([first, second]))) == 4


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["{one}"], "name 2 to 26 runs"),
        (["{one}", "{one}"], "share trials; choose levels that keep them apart"),
        (["{one}:model=a", "{one}"], "share trials"),
        (["{one}:model=a", "{two}"], "leaves `model` open and"),
        (["{one}:modle=a", "{two}"], "has no factor `modle`; did you mean `model`?"),
        (["{one}:model=z", "{two}"], "`model` has no level `z` in"),
        (["{one}:replicate=7", "{two}"], "`replicate` has no level `7` in"),
        (["{one}:model=", "{two}"], "is not FACTOR=LEVEL"),
        (["{one}:model=a,b", "{two}"], "`b` in"),
    ],
)
def test_a_mistake_is_told(make_run: MakeRun, given: list[str], sentence: str):
    runs = {"one": make_run("one", ANSWERS), "two": make_run("two", ANSWERS)}
    with pytest.raises(AnalysisError) as error:
        open_sources([text.format(**runs) for text in given])
    assert sentence in str(error.value)


def test_a_part_without_a_finished_trial_is_told(make_run: MakeRun):
    run = make_run("one", ANSWERS)
    with pytest.raises(AnalysisError, match="no finished trial belongs to"):
        open_sources([f"{run}:model=a", f"{make_run('two', {('a', 1): '1111'})}:replicate=0"])


def test_a_folder_that_is_no_run_is_told(make_run: MakeRun, tmp_path):
    with pytest.raises(StoreError, match="no run folder"):
        open_sources([make_run("one", ANSWERS), str(tmp_path / "nowhere")])
