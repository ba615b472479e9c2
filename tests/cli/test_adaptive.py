"""Studies whose plan depends on results, through the installed command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [str(Path(sys.executable).with_name("cnnbench"))]
TIMEOUT_S = 300

RECIPE = """
format = 1
question = "What next?"
[trial]
model = { use = "resnet-small", depth = 8, width = 2 }
dataset = { use = "digits", limit_per_class = 12 }
split = { validation = 0.25 }
optimizer = { use = "sgd", lr = 0.05 }
batch_size = 16
[[trial.phases]]
name = "main"
epochs = 1
size_px = 8
"""
TWO_STAGE = f"""name = "two-stage"
{RECIPE}
[factors.width]
path = "model.width"
levels = [2, 4]
[design]
seeds = {{ until_half_width = 0.001, pilot = 3, max = 4 }}
[analysis]
response = "loss"
primary = {{ contrast = "4 - 2", over = "width" }}
"""
SEQUENTIAL = f"""name = "sequential"
{RECIPE}
[factors.epochs]
path = "phases.main.epochs"
levels = [1, 3]
[factors.rate]
path = "optimizer.lr"
levels = {{ small = 0.05, absurd = 1e30 }}
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
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "COLUMNS": "200", "CNNBENCH_CACHE": os.environ["CNNBENCH_CACHE"], "HOME": str(tmp_path)}


def run(arguments: list[str], cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def imported(arguments: list[str], cwd: Path, environment: dict[str, str]) -> set[str]:
    """Return the modules that a command imports."""
    command = [sys.executable, "-X", "importtime", *COMMAND, *arguments]
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    )
    return {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def test_a_two_stage_study_runs_its_pilot_decides_and_says_what_it_could_not_promise(tmp_path: Path, environment):
    (tmp_path / "study.toml").write_text(TWO_STAGE, "utf-8")

    planned = run(["plan", "study.toml"], tmp_path, environment)
    first = run(["study", "study.toml"], tmp_path, environment)

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

    again = run(["study", "study.toml"], tmp_path, environment)
    changed = run(["study", "study.toml", "--set", "design.seeds.until_half_width=0.01"], tmp_path, environment)

    assert again.returncode == 0, again.stderr
    assert "decided on 3 pilot replicates" in again.stdout
    assert "Nothing to run: 8 are done." in again.stdout
    assert (folder / "decisions.json").read_bytes() == decided
    assert changed.returncode == 7
    assert "taken under another rule" in changed.stderr


def test_a_sequential_study_goes_stage_by_stage_and_confirms(tmp_path: Path, environment):
    (tmp_path / "study.toml").write_text(SEQUENTIAL, "utf-8")

    planned = run(["plan", "study.toml"], tmp_path, environment)
    first = run(["study", "study.toml"], tmp_path, environment)

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

    again = run(["study", "study.toml"], tmp_path, environment)

    assert again.returncode == 0, again.stderr
    assert "Nothing to run: 10 are done, 2 failed before" in again.stdout
    assert {path for path, content in before.items() if path.read_bytes() != content} == set()
    table = run(["analyse", "runs/sequential"], tmp_path, environment)
    assert table.stdout.count("Stage ") == 3
    assert imported(["plan", "study.toml"], tmp_path, environment) & {"torch", "pandas", "statsmodels"} == set()


def test_a_sequential_study_that_is_stopped_goes_on_from_where_it_was(tmp_path: Path, environment):
    (tmp_path / "study.toml").write_text(SEQUENTIAL, "utf-8")
    command = [*COMMAND, "study", "study.toml", "--workers", "1"]
    decided = tmp_path / "runs" / "sequential" / "decisions.json"
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        while not decided.exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT_S)
    first = json.loads(decided.read_text("utf-8"))["decisions"]
    assert process.returncode == 130, errors
    assert "Traceback" not in errors

    resumed = run(["study", "study.toml"], tmp_path, environment)

    assert resumed.returncode == 0, resumed.stderr
    decisions = json.loads(decided.read_text("utf-8"))["decisions"]
    assert decisions[: len(first)] == first
    assert len(decisions) == 2
