"""The display of a running study: live on a terminal, plain lines elsewhere.

Both are observers, like any plugin's. Nothing here runs in a thread of its own, so that workers can be forked at any
time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cnnbench.cli.plan_text import count, duration
from cnnbench.plugin import hookimpl
from cnnbench.types import TrialFailure

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console, RenderableType

    from cnnbench.execute import Forecast
    from cnnbench.types import EpochRecord, Plan, Trial, TrialOutcome

_REFRESH_S = 0.1


@dataclass
class _Running:
    device: str
    total_epochs: int
    record: EpochRecord | None = None


@dataclass
class _Display:
    """What is known of the running study."""

    console: Console
    total: int = 0
    done: int = 0
    failed: int = 0
    """Given for trials that failed before and are not run again."""
    forecast: Forecast | None = None
    """Observes the same study, before this display."""
    running: dict[str, tuple[Trial, _Running]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def tick(self) -> None:
        """Called about twice a second while trials run."""

    @hookimpl
    def cnnbench_study_started(self, plan: Plan, num_finished: int) -> None:
        """Take the size of the study down."""
        self.total, self.done = len(plan.trials), num_finished

    @hookimpl
    def cnnbench_plan_extended(self, plan: Plan, num_finished: int) -> None:
        """Say that a round is over, and what it has decided that there is to do."""
        self.console.print(Text(f"The plan has grown from {self.total} to {count(len(plan.trials), 'trial')}."))
        self.cnnbench_study_started(plan, num_finished)

    @hookimpl
    def cnnbench_trial_started(self, trial: Trial, device: str) -> None:
        """Show a trial."""
        epochs = sum(phase["epochs"] for phase in trial.recipe["phases"])
        self.running[trial.id] = (trial, _Running(device, epochs))

    @hookimpl
    def cnnbench_epoch_finished(self, trial: Trial, record: EpochRecord) -> None:
        """Show how a trial goes on."""
        if trial.id in self.running:
            self.running[trial.id][1].record = record

    @hookimpl
    def cnnbench_trial_finished(self, trial: Trial, outcome: TrialOutcome) -> None:
        """Count a trial."""
        self.running.pop(trial.id, None)
        if isinstance(outcome, TrialFailure):
            self.failed += 1
        else:
            self.done += 1

    def time_left(self) -> str:
        """Return the expected time to the end in words; nothing where there is no ground for an expectation."""
        left_s = self.forecast.left_s() if self.forecast is not None else None
        return f"about {duration(left_s)} left" if left_s is not None else ""


class PlainDisplay(_Display):
    """One line for each trial, for files, pipes and logs."""

    @hookimpl
    def cnnbench_trial_finished(self, trial: Trial, outcome: TrialOutcome) -> None:
        """Print a line."""
        super().cnnbench_trial_finished(trial, outcome)
        what = f"[{self.done + self.failed}/{self.total}] {describe_trial(trial)}: {describe_outcome(outcome)}"
        left = self.time_left() if self.done + self.failed < self.total else ""
        self.console.print(Text(f"{what}{f' ({left})' if left else ''}"), soft_wrap=True)


class LiveDisplay(_Display):
    """A bar with the time left, and a line for each running trial."""

    def __enter__(self) -> Self:
        self._live = Live(console=self.console, auto_refresh=False, transient=True)
        self._live.start()
        self._drawn_at = 0.0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        if self.failed:
            self.console.print(Text(f"{count(self.failed, 'trial')} failed.", style="yellow"))

    def tick(self) -> None:
        """Draw."""
        if time.monotonic() - self._drawn_at >= _REFRESH_S:
            self._drawn_at = time.monotonic()
            self._live.update(self._picture(), refresh=True)

    @hookimpl
    def cnnbench_trial_finished(self, trial: Trial, outcome: TrialOutcome) -> None:
        """Print a line where a trial failed, above the display."""
        super().cnnbench_trial_finished(trial, outcome)
        if isinstance(outcome, TrialFailure):
            self._live.console.print(Text(f"{describe_trial(trial)}: {describe_outcome(outcome)}", style="yellow"))

    def _picture(self) -> RenderableType:
        bar = Table.grid(padding=(0, 2))
        finished = self.done + self.failed
        bar.add_row(
            Text(f"{finished}/{self.total} trials"),
            ProgressBar(total=max(1, self.total), completed=finished, width=36),
            Text(self.time_left(), style="dim"),
        )
        trials = Table.grid(padding=(0, 2))
        for trial, state in list(self.running.values()):
            trials.add_row(
                Text(f"  {describe_trial(trial)}"), Text(_progress(state), style="dim"), Text(_values(state.record))
            )
        return Group(bar, trials)


def describe_trial(trial: Trial) -> str:
    """Return cell and replicate of a trial in words, as the results name them."""
    cell = ", ".join(f"{name} {level}" for name, level in trial.cell.items())
    return f"{cell}{', ' if cell else ''}replicate {trial.replicate}"


def describe_outcome(outcome: TrialOutcome) -> str:
    """Return a trial's outcome in words."""
    if isinstance(outcome, TrialFailure):
        line = outcome.message.partition("\n")[0]
        return f"FAILED ({outcome.error_class}: {line})"
    return f"{_values(outcome.epochs[-1])}, {outcome.cost.total_s:.1f} s"


def _progress(state: _Running) -> str:
    if state.record is None:
        return f"epoch 0/{state.total_epochs}"
    return f"epoch {state.record.epoch + 1}/{state.total_epochs} ({state.record.phase}, {state.record.size_px} px)"


def _values(record: EpochRecord | None) -> str:
    if record is None:
        return ""
    parts = [f"loss {float(record.values['train_loss']):.3f}"]
    if "validation_accuracy" in record.values:
        parts.append(f"accuracy {float(record.values['validation_accuracy']):.3f}")
    return ", ".join(parts)
