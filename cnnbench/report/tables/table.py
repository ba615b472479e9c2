"""A table as it is printed, and how its columns are set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench.report import format as fmt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cnnbench.types import Accuracy, Cell, Effect, ReferenceCheck


@dataclass(frozen=True, slots=True)
class Column:
    """A column and how it is set."""

    title: str
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it is printed."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    """Sentences below it: methods, families, footnotes."""


def make_table(caption: str, columns: Sequence[tuple[Column, Iterable[str]]], notes: Iterable[str] = ()) -> Table:
    """Set columns of texts side by side; notes that say the same, or nothing, are said once, or not at all."""
    rows = tuple(zip(*(values for _, values in columns), strict=True))
    return Table(
        caption, tuple(column for column, _ in columns), rows, tuple(dict.fromkeys(note for note in notes if note))
    )


def filled(columns: Sequence[tuple[Column, Iterable[str]]]) -> list[tuple[Column, Iterable[str]]]:
    """The columns in which at least one row has a value."""
    return [column for column in columns if any(value != fmt.ABSENT for value in column[1])]


def text_column(title: str) -> Column:
    """A column of words."""
    return Column(title, numeric=False)


def interval_title(
    effects: Sequence[Effect] | Sequence[Cell] | Sequence[ReferenceCheck] | Sequence[Accuracy],
) -> str:
    """The title of a column of intervals, with their level."""
    level = next((item.interval.level for item in effects if item.interval is not None), 0.95)
    return f"{fmt.percent(level)} interval"


def shared_places(values: Iterable[float | None]) -> int | None:
    """Places that show the smallest of some numbers with about three digits, for a column that lines up."""
    known = [abs(value) for value in values if value]
    return min(max(2 - math.floor(math.log10(min(known))), 0), 8) if known else None
