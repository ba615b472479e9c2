"""The plan in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cnnbench.execute.study import estimate_s, worker_devices

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cnnbench.execute import RunOptions, Session
    from cnnbench.registry import Registry

_MOST_LINES = 8


def duration(seconds: float) -> str:
    """Return a time as people say it: ``40 s``, ``6 min``, ``3.2 h``."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def plan_text(session: Session, options: RunOptions, registry: Registry) -> RenderableType:
    """Return question, factors, cells, trials, what is left out and why, and the expected time."""
    plan, spec = session.plan, session.study.spec
    table = Table.grid(padding=(0, 2))
    for factor in plan.factors:
        table.add_row(Text(f"  {factor.name}"), Text(", ".join(map(str, factor.levels))))
    cells = len({tuple(trial.cell.items()) for trial in plan.trials})
    paired = "paired seeds" if spec.design.pairing == "shared" else "independent seeds"
    lines: list[RenderableType] = [
        Text(f"{plan.study}: {spec.question}", style="bold"),
        table,
        Text(
            f"{count(cells, 'cell')} x {count(plan.replicates, 'replicate')} ({paired}) = "
            f"{count(len(plan.trials), 'trial')}"
        ),
    ]
    lines += [Text(note) for note in session.notes]
    lines += _limited([f"left out ({one.kind}): {_cell(one.cell)}: {one.reason}" for one in plan.exclusions])
    lines += _limited([f"changed since the last run: {change}" for change in session.changes])
    if session.changes:
        lines.append(Text(f"{session.num_finished} of {len(plan.trials)} trials are reused."))
    lines += [Text(f"broken plugin: {one.plugin}: {one.error}", style="yellow") for one in registry.broken]
    lines.append(Text(_what_is_to_do(session, options)))
    return Group(*lines)


def _what_is_to_do(session: Session, options: RunOptions) -> str:
    there = f"{session.num_finished} are done" if session.num_finished else ""
    failed = f"{session.num_failed} failed before (--retry-failed runs them again)" if session.num_failed else ""
    known = ", ".join(part for part in (there, failed) if part)
    if not session.pending:
        return f"Nothing to run: {known}."
    seconds = estimate_s(session, options)
    about = f" in about {duration(seconds)}" if seconds is not None else ""
    num_workers = 1 if options.workers == 0 else len(worker_devices(session, options))
    how = ", one at a time because a response depends on time" if session.exclusive else ""
    return (
        f"{len(session.pending)} to run{about} on {count(num_workers, 'worker')}{how}{f'; {known}' if known else ''}."
    )


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where that is due."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _cell(cell: object) -> str:
    return ", ".join(f"{name} {level}" for name, level in dict(cell).items())  # type: ignore[call-overload]


def _limited(lines: list[str]) -> list[Text]:
    shown = [Text(line) for line in lines[:_MOST_LINES]]
    return shown + ([Text(f"... and {len(lines) - _MOST_LINES} more")] if len(lines) > _MOST_LINES else [])
