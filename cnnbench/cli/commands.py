"""What the commands do."""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from cnnbench.cli.display import LiveDisplay, PlainDisplay
from cnnbench.cli.plan_text import busy_text, plan_text
from cnnbench.cores import load_average
from cnnbench.errors import AnalysisError
from cnnbench.execute import Forecast, RunOptions, open_session, run_session
from cnnbench.interruption import interruptible
from cnnbench.registry import Registry
from cnnbench.spec import load_study

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cnnbench.execute import RunSummary, Session
    from cnnbench.spec import StudyFile
    from cnnbench.types import Section, StudyView

EXIT_INTERRUPTED = 130
EXIT_ALL_FAILED = 11
EXIT_FAULT_FOUND = 12
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
    console = _console(quiet=invocation.quiet)
    registry = Registry.discover()
    study = invocation.load(registry)
    begun = False
    try:
        with interruptible():
            load = load_average()  # before this study's own preparations
            session = open_session(study, registry, options, prepare_progress(console))
            console.print(plan_text(session, options, registry))
            if (busy := busy_text(session, load)) is not None:
                console.print(busy)
            kind = LiveDisplay if console.is_terminal else PlainDisplay
            begun = True
            forecast = Forecast(session, options)
            with kind(console, failed=session.num_failed, forecast=forecast) as display:
                observers = registry.observers(forecast, display)
                summary = run_session(session, registry, options, observers, display.tick)
            if summary.interrupted:
                _print_interrupted(session, summary)
                return EXIT_INTERRUPTED
            if summary.num_finished == 0:
                _print_all_failed(session)
                return EXIT_ALL_FAILED
            write_and_print(session.folder.path, None, quiet=invocation.quiet, reuse=True)
            if summary.undecided is not None:
                raise AnalysisError(summary.undecided)
    except KeyboardInterrupt:  # before the first trial, or while the report is written
        sys.stderr.write(f"Stopped; no result is lost. To continue:\n  {_command(begun=begun)}\n")
        return EXIT_INTERRUPTED
    return 0


def _console(*, quiet: bool) -> Console:
    # rich's guess of 80 columns is right for files and pipes, too; highlighting would colour every number.
    return Console(quiet=quiet, highlight=False, soft_wrap=False)


def prepare_progress(console: Console) -> Callable[[str, int, int], None]:
    """Return what tells of decoding: a line at the end, and before it some where it takes long enough to be noticed."""
    started: dict[str, float] = {}

    def progress(name: str, done: int, total: int) -> None:
        if name not in started or done == total or time.monotonic() - started[name] > _TELL_AFTER_S:
            started[name] = time.monotonic()
            count = f": {done} of {total} images" if total else "."
            console.print(Text(f"Preparing {name}{count}", style="dim"))

    return progress


def _command(*, begun: bool) -> str:
    """Return the command line that goes on with what this one began; options that act at the beginning act once."""
    once = {"--fresh", "--retry-failed"} if begun else set()
    return shlex.join(["cnnbench", *(word for word in sys.argv[1:] if word not in once)])


def _print_interrupted(session: Session, summary: RunSummary) -> None:
    folder = session.folder.path
    sys.stderr.write(
        f"Stopped. {summary.num_finished} of {summary.num_planned} trials are saved in {folder}; what was running "
        f"goes on from its last checkpoint. To continue:\n  {_command(begun=True)}\n"
    )
    if summary.num_finished:
        sys.stderr.write(f"To see what is there so far:\n  cnnbench report {shlex.quote(str(folder))}\n")


def _print_all_failed(session: Session) -> None:
    planned = {trial.id for trial in session.plan.trials}
    failure = next(failure for failure in session.folder.failures() if failure.trial.id in planned)
    sys.stderr.write(
        f"error: all trials failed; the first: {failure.error_class}: {_sentence(failure.message)} Details are in "
        f"{session.folder.path / 'failures'}; mend the cause and run again with --retry-failed.\n"
    )


def _sentence(message: str) -> str:
    """Return the first line of a message, which may be anybody's, with a full stop."""
    line = message.partition("\n")[0]
    return line if line.endswith((".", "!", "?")) else f"{line}."


def show_plan(invocation: Invocation, runs_dir: Path) -> None:
    """Print the plan of a study."""
    registry = Registry.discover()
    options = RunOptions(runs_dir)
    console = _console(quiet=False)
    session = open_session(invocation.load(registry), registry, options, prepare_progress(console))
    console.print(plan_text(session, options, registry))


def write_and_print(
    run: Path, output: Path | None, *, quiet: bool, reuse: bool = False, markdown: Path | None = None
) -> None:
    """Analyse a run folder, write its report, and print the finding.

    ``reuse`` keeps a report that is up to date; ``markdown`` is a folder for the page of Markdown, if it is wanted.
    """
    from cnnbench import report  # noqa: PLC0415 - pandas, statsmodels, altair

    registry = Registry.discover()
    view = report.build_view(run)
    sections = _sections(registry, view)
    page = report.write_report(view, sections, output or run / "report", reuse=reuse)
    if markdown is not None:
        page = report.write_markdown(view, sections, markdown)
    console = Console(highlight=False)
    for part in report.terminal_summary(view):
        console.print(part)
    if quiet:
        return
    opened = f"cnnbench.open_study({json.dumps(str(run), ensure_ascii=False)})"
    console.print(
        Text(f"\nReport   {page}\nResults  {run / 'trials'} (one HDF5 file for each trial)\n"),
        Text(f"Next     open the report; load the trials with {opened}.trials"),
        sep="",
        soft_wrap=True,  # paths are there to be copied
    )


def _sections(registry: Registry, view: StudyView) -> list[Section]:
    """Return what plugins add to the report; one that raises is left out, and said so."""
    sections = []
    for component in registry.report_sections():
        try:
            sections.append(component.render(view))
        except Exception as error:  # noqa: BLE001 - a plugin's fault is not the report's
            sys.stderr.write(f"warning: the report section `{component.key}` is left out: {error!r}\n")
    return sections
