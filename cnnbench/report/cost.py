"""What the trials cost, cell by cell, and where they ran: description, no inference."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

from cnnbench.report import format as fmt
from cnnbench.report.tables import Column, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cnnbench.types import Factor, StudyView

_IDS = ("id", "trial_id")
_LONG = 12
"""A table of the environment with more lines than this is folded away."""


def _seconds(value: float) -> str:
    return fmt.number(value, 2 if value < 10 else 1 if value < 1000 else 0)


def _mebibytes(value: float) -> str:
    return fmt.number(value / 2**20, 0)


_COSTS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("train_s", "Training (s)", _seconds),
    ("total_s", "Total (s)", _seconds),
    ("flops", "FLOPs", fmt.flops),
    ("peak_memory_bytes", "Peak memory (MiB)", _mebibytes),
)


def cost_table(view: StudyView) -> Table | None:
    """Median cost per cell with the smallest and the largest trial; None where no cost was recorded."""
    known = [cost for cost in _COSTS if cost[0] in view.trials.columns and view.trials[cost[0]].notna().any()]
    if not known:
        return None
    groups = by_cell(view.factors, trial_rows(view))
    names = [factor.name for factor in view.factors]
    rows = [
        (
            *(fmt.level(level) for level in levels),
            fmt.number(len(trials)),
            *(_median(trials, column, show) for column, _, show in known),
        )
        for levels, trials in groups.items()
    ]
    columns = [Column(fmt.name(name), numeric=False) for name in names]
    columns += [Column("n"), *(Column(title) for _, title, _ in known)]
    caption = "Cost of a trial: median over replicates, with the smallest and the largest in brackets."
    return Table(caption, tuple(columns), tuple(rows), _cost_notes(view))


def _median(trials: Sequence[Mapping[str, Any]], column: str, show: Callable[[float], str]) -> str:
    values = [float(trial[column]) for trial in trials if not math.isnan(trial[column])]
    if not values:
        return fmt.ABSENT
    middle, low, high = show(statistics.median(values)), show(min(values)), show(max(values))
    return middle if low == high else f"{middle} [{low}, {high}]"


def _cost_notes(view: StudyView) -> tuple[str, ...]:
    notes = ["Training seconds leave out evaluation, compilation, data preparation and storage."]
    if "concurrent_trials" in view.trials.columns:
        beside = int((view.trials["concurrent_trials"] > 1).sum())
        if beside:
            notes.append(
                f"{fmt.plural(beside, 'trial')} ran beside others on the same device: their seconds measure both."
            )
    if "features_reused" in view.trials.columns:
        reused = int((view.trials["features_reused"] > 0).sum())
        if reused:
            notes.append(
                f"{fmt.plural(reused, 'trial')} took the features of frozen layers from an earlier trial: their "
                "seconds lack what that one spent on them."
            )
    return tuple(notes)


def trial_rows(view: StudyView) -> list[dict[str, Any]]:
    """The trials table as rows with Python's own numbers."""
    return [{str(key): value for key, value in row.items()} for row in view.trials.to_dict("records")]


def by_cell(
    factors: Sequence[Factor], trials: Sequence[Mapping[str, Any]]
) -> dict[tuple[Any, ...], list[Mapping[str, Any]]]:
    """Trials by cell, cells in the study's order of levels."""
    orders = [{level: index for index, level in enumerate(factor.levels)} for factor in factors]

    def place(trial: Mapping[str, Any]) -> tuple[int, ...]:
        return tuple(order.get(trial[factor.name], len(order)) for order, factor in zip(orders, factors, strict=True))

    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for trial in sorted(trials, key=place):
        groups.setdefault(tuple(trial[factor.name] for factor in factors), []).append(trial)
    return groups


def trials_table(view: StudyView) -> Table:
    """Every finished trial with its id and its values, for tracing a number back to its file."""
    names = [str(column) for column in view.trials.columns]
    texts = {*_IDS, "device_type", "environment_key", *(factor.name for factor in view.factors)}
    columns = tuple(Column(name, numeric=name not in texts) for name in names)
    rows = tuple(
        tuple(_value(name, trial[name]) for name in names)
        for group in by_cell(view.factors, trial_rows(view)).values()
        for trial in group
    )
    caption = (
        "Finished trials. Each is the file trials/<id>.h5 of the run; ids are cut to 12 characters here "
        "and are whole in trials.csv."
    )
    return Table(caption, columns, rows)


def _value(column: str, value: Any) -> str:
    if column in _IDS:
        return str(value)[:12]
    if isinstance(value, float):
        return fmt.flops(value) if column == "flops" else fmt.number(value)
    return fmt.ABSENT if value is None else fmt.level(value)


def environment_tables(environment: Mapping[str, Any]) -> tuple[Table, list[Table]]:
    """The environment: what fits into one table, and long parts (such as all packages) for tables of their own."""
    short: list[tuple[str, str]] = []
    long: list[Table] = []
    for name, value in environment.items():
        lines = list(_lines(value))
        if len(lines) == 1 and not lines[0][0]:
            short.append((fmt.name(str(name)), lines[0][1]))
        elif len(lines) <= _LONG:
            short += [(" · ".join(filter(None, (fmt.name(str(name)), key))), text) for key, text in lines]
        else:
            title = fmt.capitalised(fmt.name(str(name)))
            long.append(_pairs(f"{title}: {len(lines)} entries.", lines))
    return _pairs("Where and with what this was computed.", short), long


def _pairs(caption: str, lines: Sequence[tuple[str, str]]) -> Table:
    columns = (Column("", numeric=False), Column("", numeric=False))
    return Table(caption, columns, tuple((key, text) for key, text in lines))


def _lines(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """A nested value as lines of key and text."""
    if isinstance(value, dict) and value:
        keys = {key: " · ".join(filter(None, (prefix, fmt.name(str(key))))) for key in value}
        return [line for key, item in value.items() for line in _lines(item, keys[key])]
    if isinstance(value, (list, tuple)) and len(value) > _LONG:
        return [(f"{prefix} {index + 1}".strip(), str(item)) for index, item in enumerate(value)]
    if isinstance(value, (list, tuple)):
        return [(prefix, ", ".join(map(str, value)) or fmt.ABSENT)]
    if isinstance(value, bool):
        return [(prefix, "yes" if value else "no")]
    return [(prefix, fmt.ABSENT if value is None or value == {} else str(value))]
