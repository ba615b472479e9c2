"""`cnnbench speed`: what another declared way of training is worth on this machine, before a study is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cnnbench.cli.commands import prepare_progress
from cnnbench.cli.plan_text import count, duration
from cnnbench.environment import choose_devices, device_name
from cnnbench.execute import RunOptions, open_session
from cnnbench.execute.speed import measure_speed, totals
from cnnbench.execute.study import num_workers
from cnnbench.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from cnnbench.cli.commands import Invocation
    from cnnbench.execute import Session
    from cnnbench.execute.speed import Place, Total

_WELL = "No other way is worth it: the study is declared well for this machine."
_WORTH = 1.1
"""A way that makes the study faster by less than this is not worth a word."""


def run_speed(invocation: Invocation, runs_dir: Path, device: str, *, compiled: bool) -> None:
    """Measure a study's ways of training and print what they are worth."""
    console = Console(highlight=False)
    registry = Registry.discover()
    options = RunOptions(runs_dir, device=device)
    session = open_session(invocation.load(registry), registry, options, prepare_progress(console))
    place = choose_devices(device)[0]
    places = measure_speed(
        session,
        registry,
        place,
        compiled=compiled,
        progress=lambda what: console.print(Text(f"Measuring {what}", style="dim")),
    )
    for part in speed_text(places, session, place, num_workers(session, options)):
        console.print(part)


def speed_text(places: Sequence[Place], session: Session, device: str, workers: int) -> Iterator[RenderableType]:
    """Yield what was measured, cell by cell, then what it means for the whole study."""
    yield Text(f"\n{session.plan.study} on {device_name(device)}, one trial alone", style="bold")
    yield Text("x: times as fast as declared, median, lowest and highest of the turns\n", style="dim")
    if not places:
        yield Text("No cell could be measured as it is declared; `cnnbench doctor` says why.")
        return
    for place in places:
        beside = f" and {count(place.num_cells - 1, 'other cell')}" if place.num_cells > 1 else ""
        name = ", ".join(f"{name} {level}" for name, level in place.cell.items()) or "all trials"
        yield Text(f"{name}{beside}: {place.size_px} px, batches of {place.batch_size}")
        yield Padding(_table(place), (0, 0, 1, 2))
    yield Text("\n".join(_whole(places, totals(places, session), session, workers)))


def _table(place: Place) -> Table:
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "right", "left"):
        table.add_column(justify=justify)
    for one in place.ways:
        middle, least, most = one.speed
        faster = f"{middle:.2f} x ({least:.2f} to {most:.2f})"
        step = [f"{1000 * one.step_s:.3g} ms a step", f"{place.batch_size / one.step_s:,.0f} images/s"]
        table.add_row(one.way, *step, "" if one is place.ways[0] else faster)
    for way, reason in place.refused.items():
        table.add_row(Text(way), Text("failed", style="yellow"), "", Text(reason))
    return table


def _named(places: Sequence[Place]) -> Iterator[str]:
    for place in places:
        yield from (one.way for one in place.ways)
        yield from place.refused


def _whole(places: Sequence[Place], found: Sequence[Total], session: Session, workers: int) -> Iterator[str]:
    """Yield a sentence for each way about the whole study, and which one to declare."""
    trials, on = count(len(session.plan.trials), "trial"), count(workers, "worker")
    yield f"Training of all {trials} on {on}, without evaluation and files:"
    for total in found:
        compiling = f", and {duration(total.ready_s)} of compiling once" if total.ready_s else ""
        faster = "" if total is found[0] else f" ({found[0].train_s / total.train_s:.2f} x)"
        yield f"  {total.way} about {duration(total.train_s / workers)}{faster}{compiling};"
    missing = set(_named(places)) - {total.way for total in found}
    if missing:
        yield f"  {', '.join(sorted(missing))} not measured everywhere, so not compared;"
    in_all = {total.way: total.train_s / workers + total.ready_s for total in found}
    best = min(found, key=lambda total: in_all[total.way])
    gain = in_all[found[0].way] / in_all[best.way]
    if best is found[0] or gain < _WORTH:
        yield "No other way that was measured everywhere is worth it." if missing else _WELL
        return
    settings = " ".join(f"--set trial.{part.replace(' = ', '=')}" for part in best.way.split(", "))
    yield (
        f"With {best.way} it is {gain:.1f} times as fast. That is another recipe with other results, and its trials "
        f"are new ones. Decide before the study is run: {settings}"
    )
