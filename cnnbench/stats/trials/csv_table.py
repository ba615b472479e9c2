"""A CSV file as columns of text, with the line of every row."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench.errors import AnalysisError
from cnnbench.spec import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cnnbench.types import Level

_MISSING = ("nan", "na", "n/a", "<na>")
"""What numpy, R and pandas write for a level that is not there. `none` is none of them: it may be a level."""
_WHOLE = re.compile(r"[+-]?\d+")


@dataclass(frozen=True, slots=True)
class CsvTable:
    """The rows of a file below its header; nothing is interpreted yet."""

    name: str
    """Of the file, as sentences call it."""
    columns: Mapping[str, Sequence[str]]
    lines: Sequence[int]
    """Line in the file of each row, counted from 1."""

    def column(self, name: str) -> Sequence[str]:
        """Return a column.

        Raises:
            AnalysisError: There is none of that name.
        """
        if name not in self.columns:
            raise AnalysisError(f"{self.name} has no column `{name}`; {did_you_mean(name, list(self.columns))}")
        return self.columns[name]

    def numbers(self, name: str) -> list[float]:
        """Return a column of finite numbers.

        Raises:
            AnalysisError: A value is missing, is text, or is not finite; the sentence names its line.
        """
        return [self._number(name, text, line) for text, line in zip(self.column(name), self.lines, strict=True)]

    def _number(self, name: str, text: str, line: int) -> float:
        value = _as_number(text)
        if value is None:
            wrong = f"holds `{text}`, which is no number" if text else "is empty"
            raise AnalysisError(f"{self.name}, line {line}: `{name}` {wrong}; give every row a number or leave it out.")
        if not math.isfinite(value):
            raise AnalysisError(
                f"{self.name}, line {line}: `{name}` is {text}; leave rows without a result out, and say so where you "
                "report the analysis."
            )
        return value

    def levels(self, name: str) -> list[Level]:
        """Return a column of levels, as numbers where all of them are numbers, else as text.

        Raises:
            AnalysisError: A row has no level.
        """
        texts = self.column(name)
        for text, line in zip(texts, self.lines, strict=True):
            if not text:
                raise AnalysisError(f"{self.name}, line {line}: `{name}` is empty; give every row a level.")
            if text.casefold() in _MISSING:
                raise AnalysisError(
                    f"{self.name}, line {line}: `{name}` is {text}, which stands for a missing value; give every row a "
                    "level, or rename it if it is one."
                )
        if all(_WHOLE.fullmatch(text) for text in texts):
            return [int(text) for text in texts]
        values = [_as_number(text) for text in texts]
        known = [value for value in values if value is not None and math.isfinite(value)]
        return list(known) if len(known) == len(texts) else list(texts)


def _as_number(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)  # Python reads 1_000 as a number, no other program does
    except ValueError:
        return None


def read_csv(path: Path) -> CsvTable:
    """Read a file of comma-separated values, UTF-8, with names in its first line.

    Raises:
        AnalysisError: It cannot be read, is no such file, or has no row below its header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            numbered = [([field.strip() for field in row], reader.line_num) for row in reader if any(row)]
    except OSError as error:
        raise AnalysisError(f"{path} cannot be read ({error.strerror}); name a CSV file or a run folder.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise AnalysisError(f"{path} is no CSV file: comma-separated values in UTF-8 are needed ({error}).") from error
    if not numbered:
        raise AnalysisError(f"{path} is empty; a table has a line of column names and one line for each trial.")
    (header, _), *rows = numbered
    _check_header(path.name, header)
    for row, line in rows:
        if len(row) != len(header):
            raise AnalysisError(
                f"{path.name}, line {line} has {len(row)} values, but the first line names {len(header)} columns; "
                "mend the line (a value with a comma needs quotation marks)."
            )
    if not rows:
        raise AnalysisError(f"{path.name} has no rows below its column names; add one row for each trial.")
    columns = dict(zip(header, map(list, zip(*(row for row, _ in rows), strict=True)), strict=True))
    return CsvTable(path.name, columns, [line for _, line in rows])


def _check_header(name: str, header: Sequence[str]) -> None:
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise AnalysisError(f"{name} is no CSV file: its values are separated by semicolons or tabs; use commas.")
    twice = [column for column in header if header.count(column) > 1]
    if twice:
        raise AnalysisError(f"{name} has two columns `{twice[0]}`; rename one of them.")
