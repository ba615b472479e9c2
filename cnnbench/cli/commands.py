"""What the commands do."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from cnnbench.cli.display import LiveDisplay, PlainDisplay
from cnnbench.cli.plan_text import plan_text
from cnnbench.execute import RunOptions, open_session, run_session
from cnnbench.registry import Registry
from cnnbench.spec import load_study

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import FrameType

    from cnnbench.execute import RunSummary, Session
    from cnnbench.spec import StudyFile

EXIT_INTERRUPTED = 130
EXIT_ALL_FAILED = 11
_TELL_AFTER_S = 5.0


@dataclass(frozen=True, slots=True)
class Invocation:
    """The study that a command is about."""

    study: Path
    profile: str | None
    assignments: Sequence[str]
    quiet: bool

    def load(self, registry: Registry) -> StudyFile:
        """Read and validate the study."""
        return load_study(
            self.study, check_component=registry.check, profile=self.profile, assignments=self.assignments
        )


def run_study(invocation: Invocation, options: RunOptions) -> int:
    """Run a study to its report; return the exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    console = _console(quiet=invocation.quiet)
    registry = Registry.discover()
    study = invocation.load(registry)
    try:
        session = open_session(study, registry, options, _prepare_progress(console))
        console.print(plan_text(session, options, registry))
        display = LiveDisplay(console) if console.is_terminal else PlainDisplay(console)
        with display:
            summary = run_session(session, registry, options, registry.observers(display), display.tick)
    except KeyboardInterrupt:
        console.print("Stopped before the first trial; nothing is lost.")
        return EXIT_INTERRUPTED
    if summary.interrupted:
        _print_interrupted(console, session, summary)
        return EXIT_INTERRUPTED
    if summary.num_finished == 0:
        _print_all_failed(session)
        return EXIT_ALL_FAILED
    rewrite_report(session.folder.path, None, quiet=invocation.quiet)
    return 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Treat a request to terminate like Ctrl-C."""
    raise KeyboardInterrupt


def _console(*, quiet: bool) -> Console:
    # rich's guess of 80 columns is right for files and pipes, too; highlighting would colour every number.
    return Console(quiet=quiet, highlight=False, soft_wrap=False)


def _prepare_progress(console: Console) -> Callable[[str, int, int], None]:
    """Return what tells of decoding: one line for each dataset, when it takes long enough to be noticed."""
    started: dict[str, float] = {}

    def progress(name: str, done: int, total: int) -> None:
        first = started.setdefault(name, time.monotonic())
        if done == total or time.monotonic() - first > _TELL_AFTER_S:
            started[name] = time.monotonic()
            console.print(Text(f"Preparing {name}: {done} of {total} images", style="dim"))

    return progress


def _command(session: Session) -> str:
    """Return the command line that goes on with this study."""
    return shlex.join(["cnnbench", *sys.argv[1:]]).replace(" --fresh", "").replace(" --retry-failed", "") or str(
        session.study.path
    )


def _print_interrupted(console: Console, session: Session, summary: RunSummary) -> None:
    total = len(session.plan.trials)
    console.print(
        Text(
            f"Stopped. {summary.num_finished} of {total} trials are saved in {session.folder.path}; "
            f"trials that were running go on from their last checkpoint. To continue:\n  {_command(session)}"
        )
    )


def _print_all_failed(session: Session) -> None:
    failure = session.folder.failures()[0]
    sys.stderr.write(
        f"error: all trials failed; the first: {failure.error_class}: {failure.message} Details are in "
        f"{session.folder.path / 'failures'}; mend the cause and run again with --retry-failed.\n"
    )


def show_plan(invocation: Invocation, runs_dir: Path) -> None:
    """Print the plan of a study."""
    registry = Registry.discover()
    options = RunOptions(runs_dir)
    console = _console(quiet=False)
    session = open_session(invocation.load(registry), registry, options, _prepare_progress(console))
    console.print(plan_text(session, options, registry))


def rewrite_report(run: Path, output: Path | None, *, quiet: bool) -> None:
    """Analyse a run folder, write its report, and print the finding."""
    from cnnbench.report import build_view, terminal_summary, write_report  # noqa: PLC0415 - pandas, statsmodels, altair

    registry = Registry.discover()
    view = build_view(run)
    sections = [section.render(view) for section in registry.report_sections()]
    page = write_report(view, sections, output or run / "report")
    console = Console(highlight=False)
    for part in terminal_summary(view):
        console.print(part)
    if quiet:
        return
    console.print(Text(f"\nReport   {page}\nResults  {run / 'trials'} (one HDF5 file for each trial)"))
    console.print(Text(f'Next     open the report; load the trials with cnnbench.open_study("{run}").trials'))
