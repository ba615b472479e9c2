"""The plan in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cnnbench.execute.study import estimate_s, num_workers
from cnnbench.types import Choice, Look

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cnnbench.execute import RunOptions, Session
    from cnnbench.registry import Registry

_MOST_LINES = 8
_BUSY_LOAD = 0.5
"""Processes at once, on average over a minute, from which a machine is called busy."""


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
        *(_stages(session, paired) if plan.stages else [Text(f"{_size(session, cells, paired)}")]),
    ]
    lines += [Text(note) for note in session.notes]
    lines += _limited([f"left out ({one.kind}): {_cell(one.cell)}: {one.reason}" for one in plan.exclusions])
    lines += _limited([f"changed since the last run: {change}" for change in session.changes])
    if session.changes:
        lines.append(Text(f"{session.num_finished} of {len(plan.trials)} trials are reused."))
    lines += [Text(f"broken plugin: {one.plugin}: {one.error}", style="yellow") for one in registry.broken]
    lines.append(Text(_what_is_to_do(session, options)))
    return Group(*lines)


def busy_text(session: Session, load: float | None) -> Text | None:
    """Return a warning where times are compared and the machine was busy before this study began; else None."""
    if not session.exclusive or not session.pending or load is None or load < _BUSY_LOAD:
        return None
    return Text(
        f"This study compares times, and other programs were at work in the last minute (load average {load:.1f}). Its "
        "times will be less noisy on a machine that does nothing else.",
        style="yellow",
    )


def _size(session: Session, cells: int, paired: str) -> str:
    """Return cells, replicates and trials in a line; of a two-stage design what its pilot decides, or has decided."""
    plan, seeds = session.plan, session.study.spec.design.seeds
    num_trials = count(len(plan.trials), "trial")
    if seeds is None:
        return f"{count(cells, 'cell')} x {count(plan.replicates, 'replicate')} ({paired}) = {num_trials}"
    look = next((decision for decision in session.decisions if isinstance(decision, Look)), None)
    if look is None:
        return (
            f"{count(cells, 'cell')} x {seeds.pilot} pilot replicates ({paired}) = {num_trials}; their spread decides "
            f"how many follow, at most {seeds.max} replicates = {count(cells * seeds.max, 'trial')}."
        )
    cut = f", more than the maximum of {seeds.max}: the promised width is not reached" if look.capped else ""
    return (
        f"{count(cells, 'cell')} x {count(plan.replicates, 'replicate')} ({paired}) = {num_trials}, decided on "
        f"{len(look.pilot)} pilot replicates ({look.needed} needed{cut})"
    )


def _stages(session: Session, paired: str) -> list[Text]:
    """Return a line for each stage, planned or to come, with what was chosen in it."""
    design, plan = session.study.spec.design, session.plan
    chosen = {decision.factor: decision.level for decision in session.decisions if isinstance(decision, Choice)}
    lines = [Text(f"Stage by stage, {count(design.replicates, 'replicate')} of each level ({paired}):")]
    for stage in plan.stages:
        what = ", ".join(map(str, (cell[stage.factor] for cell in stage.cells))) if stage.factor else "new seeds"
        end = f" -> {chosen[stage.factor]}" if stage.factor in chosen else ""
        held = f" at {_cell(stage.held)}" if stage.held else ""
        lines.append(Text(f"  {stage.name}: {what}{held}{end}"))
    later = [stage.factor for stage in design.stage[len(plan.stages) :]]
    later += ["confirm"] if design.confirm and all(stage.factor for stage in plan.stages) else []
    lines += [Text(f"  {name}: to come") for name in later]
    return lines


def _what_is_to_do(session: Session, options: RunOptions) -> str:
    there = f"{session.num_finished} are done" if session.num_finished else ""
    failed = f"{session.num_failed} failed before (--retry-failed runs them again)" if session.num_failed else ""
    known = ", ".join(part for part in (there, failed) if part)
    least, most = session.to_come
    if not session.pending and not most:
        return f"Nothing to run: {known}."
    workers = count(num_workers(session, options), "worker")
    how = ", one at a time because a response depends on time" if session.exclusive else ""
    end = f"{how}{f'; {known}' if known else ''}."
    if not most:
        return f"{len(session.pending)} to run{_about(session, options, 0, 0)} on {workers}{end}"
    now = len(session.pending)
    whole = f"{now + least}" if least == most else f"{now + least} to {now + most}"
    about = _about(session, options, least, most)
    return f"{now} to run now, {whole} in all{about} on {workers}{end}"


def _about(session: Session, options: RunOptions, least: int, most: int) -> str:
    """Return the expected time, as a range where decisions may add trials."""
    low, high = (estimate_s(session, options, more) for more in (least, most))
    if low is None or high is None:
        return ""
    shortest, longest = duration(low), duration(high)
    return f" in about {shortest}" if shortest == longest else f" in about {shortest} to {longest}"


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where that is due."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _cell(cell: object) -> str:
    return ", ".join(f"{name} {level}" for name, level in dict(cell).items())  # type: ignore[call-overload]


def _limited(lines: list[str]) -> list[Text]:
    shown = [Text(line) for line in lines[:_MOST_LINES]]
    return shown + ([Text(f"... and {len(lines) - _MOST_LINES} more")] if len(lines) > _MOST_LINES else [])
