from __future__ import annotations

import dataclasses
import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from cnnbench.cli import commands
from cnnbench.cli.catalogue import list_plugins
from cnnbench.cli.display import PlainDisplay
from cnnbench.cli.plan_text import busy_text
from cnnbench.errors import AnalysisError
from cnnbench.execute import RunOptions, RunSummary, Session, open_session, run_session
from cnnbench.plugin import Dataset, hookimpl
from cnnbench.registry import Registry
from cnnbench.spec import StudyFile
from cnnbench.types import TrialFailure


@pytest.mark.parametrize(
    ("begun", "command"),
    [
        (True, "cnnbench study 'my study.toml' --workers 2"),
        (False, "cnnbench study 'my study.toml' --fresh --workers 2 --retry-failed"),
    ],
)
def test_the_command_that_goes_on_repeats_nothing_that_was_done(
    monkeypatch: pytest.MonkeyPatch, *, begun: bool, command: str
):
    monkeypatch.setattr(sys, "argv", ["x", "study", "my study.toml", "--fresh", "--workers", "2", "--retry-failed"])

    assert commands._command(begun=begun) == command


@pytest.mark.parametrize(
    ("message", "sentence"),
    [("no such layer", "no such layer."), ("It is nan.", "It is nan."), ("shape\nframe 0", "shape.")],
)
def test_anybodys_message_becomes_a_sentence(message: str, sentence: str):
    assert commands._sentence(message) == sentence


def test_a_study_of_times_on_a_busy_machine_is_warned_before_it_begins(
    study: StudyFile, registry: Registry, options: RunOptions
):
    session = open_session(study, registry, options)
    timed = dataclasses.replace(session, exclusive=True)

    assert "load average 1.8" in str(busy_text(timed, 1.8))
    assert busy_text(timed, 0.1) is None
    assert busy_text(timed, None) is None
    assert busy_text(session, 1.8) is None
    assert busy_text(dataclasses.replace(timed, pending=()), 1.8) is None


def test_paths_are_printed_whole(
    study: StudyFile,
    registry: Registry,
    options: RunOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    options = dataclasses.replace(options, runs_dir=tmp_path / ("long " * 20).strip() / "größer")
    session = open_session(study, registry, options)
    run_session(session, registry, options, registry.observers())
    page = session.folder.report_dir / "index.html"
    monkeypatch.setattr("cnnbench.report.write_report", lambda *_, **__: page)

    commands.write_and_print(session.folder.path, None, quiet=False)

    lines = capsys.readouterr().out.splitlines()
    assert f"Report   {page}" in lines
    assert f"Results  {session.folder.path}/trials (one HDF5 file for each trial)" in lines
    assert f'open_study("{session.folder.path}").trials' in lines[-1]


class Wordless(Dataset):
    key = "wordless"


class Plugin:
    @hookimpl
    def cnnbench_datasets(self):
        return [Wordless]


def test_a_component_without_a_docstring_is_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    registry = Registry.discover()
    registry.register(Plugin(), "mine")
    monkeypatch.setattr(Registry, "discover", lambda: registry)

    list_plugins()

    assert "  wordless" in capsys.readouterr().out


def test_a_study_that_cannot_go_on_writes_its_report_and_then_says_why(
    study_path: Path, options: RunOptions, monkeypatch: pytest.MonkeyPatch
):
    summary = RunSummary(3, 1, 0, interrupted=False, num_planned=4, undecided="Nothing to choose from.")
    written = []
    monkeypatch.setattr(commands, "run_session", lambda *_: summary)
    monkeypatch.setattr(commands, "write_and_print", lambda run, *_, **__: written.append(run.name))

    with pytest.raises(AnalysisError, match=r"^Nothing to choose from\.$"):
        commands.run_study(commands.Invocation(study_path, None, (), quiet=True), options)

    assert written == ["tiny"]


def test_the_display_counts_on_when_the_plan_grows(session: Session):
    display = PlainDisplay(Console(file=io.StringIO()))
    display.cnnbench_study_started(dataclasses.replace(session.plan, trials=session.plan.trials[:2]), 0)
    for trial in session.plan.trials[:2]:
        display.cnnbench_trial_finished(trial, TrialFailure(trial, "Diverged", "nan.", "", 0))

    display.cnnbench_plan_extended(session.plan, 0)
    display.cnnbench_trial_finished(session.plan.trials[2], TrialFailure(trial, "Diverged", "nan.", "", 0))

    lines = display.console.file.getvalue().splitlines()
    assert lines[2] == "The plan has grown from 2 to 4 trials."
    assert lines[3].startswith("[3/4] width 2, replicate 1: FAILED")


def test_preparing_says_what_it_goes_on_with_what_it_waits_for_and_that_it_is_done():
    console = Console(file=io.StringIO(), width=120)
    progress = commands.prepare_progress(console)

    progress("big: another process is doing it; waiting until it is done", 0, 0)
    progress("big (20 GB in here), going on", 96, 2000)
    for done in (128, 160, 2000):
        progress("big (20 GB in here), going on", done, 2000)

    assert console.file.getvalue().splitlines() == [
        "Preparing big: another process is doing it; waiting until it is done.",
        "Preparing big (20 GB in here), going on: 96 of 2000 images",
        "Preparing big (20 GB in here), going on: 2000 of 2000 images",
    ]
