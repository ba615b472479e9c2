"""The installed command line, as a user meets it."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import pytest

from cnnbench.store import read_trial

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

TIMELESS = {"train_s", "train_cpu_s"}


@pytest.fixture
def columns() -> int:
    return 100


def contents(folder: Path) -> dict[str, dict[str, bytes]]:
    """Every array of every trial, but for measured seconds."""
    found = {}
    for path in sorted((folder / "trials").glob("*.h5")):
        with h5py.File(path) as file:
            found[path.name] = {
                name: str(data[()].tolist()).encode() for name, data in file.items() if name not in TIMELESS
            }
    return found


def written(checkpoints: Path) -> set[tuple[str, int]]:
    """Names and times of the checkpoints that are there."""
    found = set()
    for path in checkpoints.glob("*.pt"):
        with contextlib.suppress(FileNotFoundError):  # its trial has just ended
            found.add((path.name, path.stat().st_mtime_ns))
    return found


def test_a_study_runs_to_its_report_and_again_in_no_time(study_path: Path, tmp_path: Path, run: CommandLine):
    first = run.cold("study", str(study_path), cwd=tmp_path)

    assert first.returncode == 0, first.stderr
    assert "tiny: Is it quick?" in first.stdout
    assert "2 cells x 2 replicates (paired seeds) = 4 trials" in first.stdout
    assert "[4/4]" in first.stdout
    page = tmp_path / "runs" / "tiny" / "report" / "index.html"
    assert "Is it quick?" in page.read_text("utf-8")
    assert len(list((tmp_path / "runs" / "tiny" / "trials").glob("*.h5"))) == 4

    again = run("study", str(study_path), cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "Nothing to run: 4 are done." in again.stdout
    assert "/4]" not in again.stdout

    report = run.cold("report", "runs/tiny", "--quiet", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    assert report.stdout.strip() != ""


def test_the_ways_to_train_are_measured_and_nothing_is_left_behind(study_path: Path, tmp_path: Path, run: CommandLine):
    done = run("speed", str(study_path), cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "precision = bf16" in done.stdout
    assert "images/s" in done.stdout
    assert "without evaluation and files" in done.stdout
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="relies on the death signal of Linux to end the workers")
def test_a_killed_study_goes_on_and_ends_bit_for_bit_like_an_uninterrupted_one(
    study_path: Path, tmp_path: Path, run: CommandLine
):
    slow = (
        study_path.read_text("utf-8")
        .replace("epochs = 2", "epochs = 6")
        .replace("limit_per_class = 8", "limit_per_class = 40")
    )
    study_path.write_text(slow, "utf-8")
    whole = run("study", str(study_path), "--runs-dir", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr

    command = ["study", str(study_path), "--runs-dir", "killed", "--checkpoint-every", "0", "--workers", "1"]
    checkpoints = tmp_path / "killed" / "tiny" / "checkpoints"
    for _ in range(2):
        before = written(checkpoints)
        with run.started(*command, cwd=tmp_path) as process:
            while written(checkpoints) <= before:
                assert process.poll() is None
                time.sleep(0.01)
            process.kill()
    assert any(checkpoints.glob("*.pt"))
    done_before = len(list((tmp_path / "killed" / "tiny" / "trials").glob("[!.]*.h5")))
    assert done_before < 4

    resumed = run("study", str(study_path), "--runs-dir", "killed", "--checkpoint-every", "0", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    costs = [read_trial(path).cost for path in (tmp_path / "killed" / "tiny" / "trials").glob("*.h5")]
    assert any(cost.resumed for cost in costs)
    assert contents(tmp_path / "killed" / "tiny") == contents(tmp_path / "whole" / "tiny")


def test_ctrl_c_says_what_is_saved_and_how_to_continue(study_path: Path, tmp_path: Path, run: CommandLine):
    long = study_path.read_text("utf-8").replace("epochs = 2", "epochs = 500")
    study_path.write_text(long, "utf-8")
    with run.started("study", str(study_path), "--checkpoint-every", "0", cwd=tmp_path) as process:
        while not any((tmp_path / "runs" / "tiny" / "checkpoints").glob("*.pt")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=300)

    assert process.returncode == 130, errors
    assert "[" not in output
    assert "0 of 4 trials are saved in runs/tiny" in errors
    assert f"cnnbench study {study_path} --checkpoint-every 0" in errors
    assert "Traceback" not in errors


def test_a_second_process_on_the_same_folder_is_told_so(study_path: Path, tmp_path: Path, run: CommandLine):
    from cnnbench.store import RunFolder

    folder = RunFolder(tmp_path / "runs" / "tiny")
    folder.create()
    with folder.locked():
        second = run("study", str(study_path), cwd=tmp_path)

    assert second.returncode == 8
    assert "another process is running in runs/tiny" in second.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["study", "nowhere.toml"], 3, "nowhere.toml: there is no such study file"),
        (["study", "broken.toml"], 3, "broken.toml:2:8: this is not valid TOML"),
        (["study", "tiny.toml", "--set", "trial.model.depht=9"], 3, "did you mean `depth`?"),
        (["study", "tiny.toml", "--set", "trial.model.use=resnet-smal"], 3, "did you mean `resnet-small`?"),
        (["study", "tiny.toml", "--profile", "papr"], 3, "no profile `papr`"),
        (["study", "tiny.toml", "--device", "cuda:7"], 9, "there is no device `cuda:7`"),
        (["report", "nowhere"], 7, "no run folder"),
        (["study", "tiny.toml", "--runs-dir", "tiny.toml"], 7, "--runs-dir"),
    ],
)
def test_a_mistake_is_one_sentence_and_an_exit_code(
    study_path: Path, tmp_path: Path, run: CommandLine, arguments: list[str], status: int, sentence: str
):
    (tmp_path / "broken.toml").write_text("a = 1\nb = [1,, 2]\n", "utf-8")
    assert study_path.name == "tiny.toml"

    done = run(*arguments, cwd=tmp_path)

    assert done.returncode == status, done.stderr
    assert sentence in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_all_problems_of_a_study_are_told_at_once(study_path: Path, tmp_path: Path, run: CommandLine):
    text = (
        study_path.read_text("utf-8")
        .replace("batch_size = 16", 'batch_size = "many"')
        .replace("epochs = 1", "epoch = 1")
    )
    study_path.write_text(text, "utf-8")

    done = run("plan", str(study_path), cwd=tmp_path)

    assert done.returncode == 3
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert "did you mean `epochs`?" in done.stderr
    assert 'got "many"' in done.stderr
    assert all(f"{study_path}:" in line for line in lines)


def test_a_study_whose_trials_all_fail_says_why(study_path: Path, tmp_path: Path, run: CommandLine):
    done = run.cold("study", str(study_path), "--set", "trial.optimizer.lr=1e30", cwd=tmp_path)

    assert done.returncode == 11
    assert "all trials failed; the first: Diverged" in done.stderr
    assert "--retry-failed" in done.stderr


def test_the_list_of_plugins_names_every_component(tmp_path: Path, run: CommandLine, registry):
    done = run("plugins", "list", cwd=tmp_path)

    assert done.returncode == 0
    assert all(f"  {entry.component.key} " in done.stdout for entry in registry.entries())


def test_the_schema_describes_components(tmp_path: Path, run: CommandLine):
    import json

    done = run.cold("schema", cwd=tmp_path)

    schema = json.loads(done.stdout)
    assert any(
        variant.get("properties", {}).get("use") == {"const": "resnet-small"}
        for variant in schema["$defs"]["Component_model"]["anyOf"]
    )


@pytest.mark.parametrize(
    ("arguments", "forbidden"),
    [
        (["--help"], {"torch", "numpy", "pandas", "statsmodels"}),
        (["plugins", "list"], {"torch", "pandas", "statsmodels"}),
        (["plan", "{study}"], {"torch", "pandas", "statsmodels"}),
    ],
)
def test_quick_commands_import_nothing_heavy(
    study_path: Path, tmp_path: Path, run: CommandLine, arguments: list[str], forbidden: set[str]
):
    arguments = [argument.format(study=study_path) for argument in arguments]
    run(*arguments, cwd=tmp_path)  # the first plan tries the networks, which takes torch; it is cached then

    assert run.imported(*arguments, cwd=tmp_path) & forbidden == set()


def test_the_version_is_that_of_the_package(tmp_path: Path, run: CommandLine):
    import cnnbench

    assert run.cold("--version", cwd=tmp_path).stdout == f"cnnbench {cnnbench.__version__}\n"
