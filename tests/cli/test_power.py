"""`cnnbench power`, as somebody meets it who is about to spend machine time."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING

import pytest

from cnnbench.cli.power import Wanted
from cnnbench.errors import AnalysisError

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

Power = Callable[..., CompletedProcess[str]]
SMOKE = str(Path(__file__).parents[2] / "studies" / "smoke.toml")
PRIMARY = ["--set", 'analysis.primary={ contrast = "4 - 2", over = "width" }']
MARGIN = ["--set", "analysis.equivalence_margin=0.1"]


@pytest.fixture
def power(run: CommandLine) -> Power:
    return functools.partial(run, "power")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the one run of this module lies, once it has been made."""
    return tmp_path_factory.mktemp("pilot") / "runs"


@pytest.fixture
def folder(study_path: Path, runs: Path, run: CommandLine) -> Path:
    """A folder with a tiny study and its run of three seeds."""
    if not runs.exists():
        seeds = ["--set", "design.replicates=3", "--runs-dir", str(runs)]
        done = run("study", "tiny.toml", "--quiet", "--workers", "0", *seeds, cwd=study_path.parent)
        assert done.returncode == 0, done.stderr
    shutil.copytree(runs, study_path.parent / "runs")
    return study_path.parent


def test_an_assumed_sd_is_enough(run: CommandLine):
    done = run.cold("power", SMOKE, "--sd", "0.05", "--correlation", "0.5")

    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "Noise as assumed: SD 0.05 within a cell, correlation 0.50 between cells of one seed." in text
    assert "seeds per cell detect an effect of 5 percentage points, the smallest of interest, with 80 % power." in text
    assert "Power, shared seeds" in text
    assert "With independent seeds it would take" in text
    assert max(map(len, done.stdout.splitlines()[:-1])) <= 80
    assert done.stdout.splitlines()[-1].startswith(f"Next     cnnbench study {SMOKE} --set design.replicates=")


def test_neither_torch_nor_the_data_is_needed(tmp_path: Path, run: CommandLine):
    """Where torch cannot be imported and no image has been decoded."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('not here')\n", "utf-8")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    cache = tmp_path / "cache"

    done = run.cold("power", SMOKE, "--sd", "0.05", "--json", PYTHONPATH=path, CNNBENCH_CACHE=str(cache))

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["study"] == "smoke"
    assert not cache.exists()


def test_a_pilot_brings_noise_costs_and_its_own_effect(folder: Path, power: Power):
    done = power("tiny.toml", "--from", "runs/tiny", *PRIMARY, *MARGIN, "--json", cwd=folder)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["format"], found["profile"], found["study"]) == (1, None, "tiny")
    assert (found["hypothesis"], found["response"], found["effect"]) == ("4 - 2", "accuracy", 0.1)
    assert (found["noise"]["kind"], found["noise"]["pilot"], found["noise"]["seeds"]) == ("pilot", "runs/tiny", 3)
    assert found["observed_effect"] is not None
    own, other = found["designs"]
    assert (own["pairing"], own["planned"], own["df"]) == ("shared", True, 2)
    assert own["seeds"] == max(own["detect"]["seeds"], own["equivalence"]["seeds"])
    assert own["seconds"] > 0
    assert own["detect"]["range"]["level"] == 0.8
    assert [point["seeds"] for point in own["curve"]] == [point["seeds"] for point in other["curve"]]
    assert not any("recipe or levels are not those" in note for note in found["notes"])

    text = " ".join(power("tiny.toml", "--from", "runs/tiny", *PRIMARY, *MARGIN, cwd=folder).stdout.split())
    assert "Noise of runs/tiny, 3 seeds per cell" in text
    assert "one after the other at the pilot's times." in text


def test_a_report_that_is_undetermined_asks_for_the_same_seeds(folder: Path, power: Power, run: CommandLine):
    """The sentence of the report and this command share one engine."""
    hypothesis = 'analysis={ primary = { contrast = "4 - 2", over = "width" }, equivalence_margin = 0.02 }'
    again = run("study", "tiny.toml", "--quiet", "--set", "design.replicates=3", "--set", hypothesis, cwd=folder)
    assert again.returncode == 0, again.stderr
    (found,) = json.loads((folder / "runs/tiny/report/findings.json").read_text("utf-8"))["responses"]
    planned = power("tiny.toml", "--from", "runs/tiny", "--set", hypothesis, "--json", cwd=folder)

    assert found["effects"][0]["verdict"] == "undetermined"
    seeds = json.loads(planned.stdout)["designs"][0]["seeds"]
    assert (f"({seeds} in all)" if seeds else "more than 1,000 seeds") in found["headline"]


def test_a_pilot_that_ran_something_else_is_said(folder: Path, power: Power):
    done = power(
        "tiny.toml", "--from", "runs/tiny", *PRIMARY, *MARGIN, "--set", "trial.batch_size=8", "--json", cwd=folder
    )

    assert "recipe or levels are not those of this study" in json.loads(done.stdout)["notes"][0]


def test_a_cell_that_the_pilot_could_not_build_is_left_out(folder: Path, power: Power):
    plan = folder / "runs/tiny/plan.json"
    document = json.loads(plan.read_text("utf-8"))
    document["exclusions"] = [{"cell": {"width": 8}, "kind": "infeasible", "reason": "too wide."}]
    plan.write_text(json.dumps(document), "utf-8")

    wider = ["--set", "factors.width.levels=[2, 4, 8]"]
    done = power("tiny.toml", "--from", "runs/tiny", *PRIMARY, *MARGIN, *wider, "--json", cwd=folder)

    found = json.loads(done.stdout)
    assert found["num_cells"] == 2
    assert "1 cell that the pilot could not build is left out." in found["notes"]


def test_the_curve_is_drawn(tmp_path: Path, power: Power):
    for name, start in (("curve.svg", b"<svg"), ("curve.pdf", b"%PDF")):
        done = power(SMOKE, "--sd", "0.05", "--figure", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
        assert (tmp_path / name).read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (["--figure", "curve.png", "--sd", "1"], "--figure takes a file that ends in .svg or .pdf", 10),
        (["--figure", "no/such/curve.svg", "--sd", "1"], "no/such/curve.svg cannot be written", 10),
        (["--from", "nowhere"], "nowhere is no run folder of cnnbench", 7),
        (["--sd", "1", "--set", "analysis.primary={}"], "exactly one of", 3),
    ],
)
def test_a_mistake_is_one_sentence_and_an_exit_code(
    tmp_path: Path, arguments: list[str], sentence: str, code: int, power: Power
):
    done = power(SMOKE, *arguments, cwd=tmp_path)

    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert done.stderr.startswith("error: ")


def test_a_study_without_a_primary_hypothesis_is_told_what_to_declare(study_path: Path, power: Power):
    done = power("tiny.toml", "--sd", "0.05", cwd=study_path.parent)

    assert done.returncode == 10
    assert done.stderr.startswith("error: tiny: The study declares no primary hypothesis")
    assert "primary = { contrast" in done.stderr


def test_a_pilot_without_repeated_or_finished_trials_is_refused(folder: Path, power: Power):
    rows = json.loads((folder / "runs/tiny/plan.json").read_text("utf-8"))["trials"]
    for row in rows:
        if row["replicate"] > 0:
            (folder / "runs/tiny/trials" / f"{row['id']}.h5").unlink()
    one = power("tiny.toml", "--from", "runs/tiny", *PRIMARY, *MARGIN, cwd=folder)
    shutil.rmtree(folder / "runs/tiny/trials")
    none = power("tiny.toml", "--from", "runs/tiny", *PRIMARY, *MARGIN, cwd=folder)

    assert (one.returncode, none.returncode) == (10, 10)
    assert "runs/tiny: It has one seed per cell, which tells nothing of the spread between seeds." in one.stderr
    assert "runs/tiny holds no finished trial yet; run the pilot first." in none.stderr


GOOD = Wanted(None, 0.1, 0.0, None, 0.8)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (Wanted(None, None, 0.0, None, 0.8), "one of them is needed"),
        (Wanted(Path("runs/x"), 0.1, 0.0, None, 0.8), "not both"),
        (Wanted(None, 0.0, 0.0, None, 0.8), "--sd must be above 0; got 0"),
        (Wanted(None, float("nan"), 0.0, None, 0.8), "--sd must be above 0; got nan"),
        (Wanted(None, 0.1, 0.0, -1.0, 0.8), "--effect must be above 0; got -1"),
        (Wanted(None, 0.1, 1.0, None, 0.8), "--correlation must be at least 0 and below 1; got 1"),
        (Wanted(None, 0.1, -0.1, None, 0.8), "--correlation must be at least 0 and below 1; got -0.1"),
        (Wanted(Path("runs/x"), None, 0.5, None, 0.8), "--correlation belongs to --sd"),
        (Wanted(None, 0.1, 0.0, None, 1.0), "--power must lie between 0.5 and 0.99; got 1"),
    ],
)
def test_options_that_make_no_sense_are_told(wanted: Wanted, sentence: str):
    GOOD.check()
    with pytest.raises(AnalysisError) as error:
        wanted.check()
    assert sentence in str(error.value)
