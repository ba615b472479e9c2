"""Studies whose plan depends on results, through the installed command line."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import CommandLine

    GrowingStudy = Callable[[str, str], str]

TWO_STAGE = """
[factors.width]
path = "model.width"
levels = [2, 4]
[design]
seeds = { until_half_width = 0.001, pilot = 3, max = 4 }
[analysis]
response = "loss"
primary = { contrast = "4 - 2", over = "width" }
"""
SEQUENTIAL = """
[factors.epochs]
path = "phases.main.epochs"
levels = [1, 3]
[factors.rate]
path = "optimizer.lr"
levels = { small = 0.05, absurd = 1e30 }
[design]
kind = "sequential"
replicates = 2
[[design.stage]]
factor = "epochs"
[[design.stage]]
factor = "rate"
[analysis]
response = "loss"
"""


@pytest.fixture
def columns() -> int:
    return 200


def test_a_two_stage_study_runs_its_pilot_decides_and_says_what_it_could_not_promise(
    tmp_path: Path, run: CommandLine, growing_study: GrowingStudy
):
    (tmp_path / "study.toml").write_text(growing_study("two-stage", TWO_STAGE), "utf-8")

    planned = run("plan", "study.toml", cwd=tmp_path)
    first = run("study", "study.toml", cwd=tmp_path)

    assert "2 cells x 3 pilot replicates (paired seeds) = 6 trials" in planned.stdout
    assert "at most 4 replicates = 8 trials" in planned.stdout
    assert "6 to run now, 6 to 8 in all" in planned.stdout
    assert first.returncode == 0, first.stderr
    assert "The plan has grown from 6 to 8 trials." in first.stdout
    folder = tmp_path / "runs" / "two-stage"
    look = json.loads((folder / "report" / "findings.json").read_text("utf-8"))["look"]
    assert (look["pilot"], look["replicates"], look["capped"]) == ([0, 1, 2], 4, True)
    assert look["reached"] > look["aimed"] == 0.001
    page = (folder / "report" / "index.html").read_text("utf-8")
    assert "Look history of the two-stage rule" in page
    assert "the promised width is not reached" in page
    decided = (folder / "decisions.json").read_bytes()

    again = run("study", "study.toml", cwd=tmp_path)
    changed = run("study", "study.toml", "--set", "design.seeds.until_half_width=0.01", cwd=tmp_path)

    assert again.returncode == 0, again.stderr
    assert "decided on 3 pilot replicates" in again.stdout
    assert "Nothing to run: 8 are done." in again.stdout
    assert (folder / "decisions.json").read_bytes() == decided
    assert changed.returncode == 7
    assert "taken under another rule" in changed.stderr


def test_a_sequential_study_goes_stage_by_stage_and_confirms(
    tmp_path: Path, run: CommandLine, growing_study: GrowingStudy
):
    (tmp_path / "study.toml").write_text(growing_study("sequential", SEQUENTIAL), "utf-8")

    planned = run("plan", "study.toml", cwd=tmp_path)
    first = run("study", "study.toml", cwd=tmp_path)

    assert "epochs: 1, 3 at rate small" in planned.stdout
    assert "4 to run now, 10 to 12 in all" in planned.stdout
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "runs" / "sequential"
    findings = json.loads((folder / "report" / "findings.json").read_text("utf-8"))
    assert [stage["name"] for stage in findings["stages"]] == ["epochs", "rate", "confirm"]
    chosen = [stage["choice"]["level"] for stage in findings["stages"][:2]]
    assert chosen == [3, "small"]
    assert [one["failed"] for one in findings["stages"][1]["choice"]["standings"]] == [0, 2]
    assert findings["responses"][0]["effects"][0]["label"] == "selected - baseline"
    assert "Stage epochs. Chosen: epochs 3, which has the lowest mean of loss" in first.stdout
    assert "Not to be chosen, because trials have no result: absurd (2 of 2)." in first.stdout
    page = (folder / "report" / "index.html").read_text("utf-8")
    assert "Stage by stage" in page
    assert "cannot be chosen" in page
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}

    again = run("study", "study.toml", cwd=tmp_path)

    assert again.returncode == 0, again.stderr
    assert "Nothing to run: 10 are done, 2 failed before" in again.stdout
    assert {path for path, content in before.items() if path.read_bytes() != content} == set()
    table = run("analyse", "runs/sequential", cwd=tmp_path)
    assert table.stdout.count("Stage ") == 3
    assert run.imported("plan", "study.toml", cwd=tmp_path) & {"torch", "pandas", "statsmodels"} == set()


def test_a_sequential_study_that_is_stopped_goes_on_from_where_it_was(
    tmp_path: Path, run: CommandLine, growing_study: GrowingStudy
):
    (tmp_path / "study.toml").write_text(growing_study("sequential", SEQUENTIAL), "utf-8")
    decided = tmp_path / "runs" / "sequential" / "decisions.json"
    with run.started("study", "study.toml", "--workers", "1", cwd=tmp_path) as process:
        while not decided.exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    first = json.loads(decided.read_text("utf-8"))["decisions"]
    assert process.returncode == 130, errors
    assert "Traceback" not in errors

    resumed = run("study", "study.toml", cwd=tmp_path)

    assert resumed.returncode == 0, resumed.stderr
    decisions = json.loads(decided.read_text("utf-8"))["decisions"]
    assert decisions[: len(first)] == first
    assert len(decisions) == 2
