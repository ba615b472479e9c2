"""Anybody's table of results as the input of an analysis."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from cnnbench.errors import AnalysisError
from cnnbench.spec import did_you_mean, parse_contrast
from cnnbench.stats.interface import AnalysisInput
from cnnbench.stats.trials.csv_table import read_csv
from cnnbench.types import Factor, Response, ResponseInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cnnbench.spec import AnalysisSpec, Hypothesis
    from cnnbench.stats.trials.csv_table import CsvTable
    from cnnbench.types import Level

Order = Literal["log2", "linear"]
RESERVED = ("trial_id", "replicate", "concurrent_trials", "environment_key", "num_examples")
"""Columns that `AnalysisInput.trials` has beside factors and response."""


@dataclass(frozen=True, slots=True)
class TableQuestion:
    """What is asked of a table: which columns mean what, and the analysis plan."""

    factors: tuple[str, ...]
    analysis: AnalysisSpec
    """Its ``response`` is a column; hypotheses name factors and levels of the table."""
    block: str | None = None
    """The column that says which trials share their seeds; the analysis is paired then."""
    ordered: Mapping[str, Order] | None = None
    """Scale by factor, for those whose levels are ordered."""
    test_size: str | int | None = None
    """Examples that each response is a share of: a column, or one number for all rows."""


def read_table(path: Path, asked: TableQuestion) -> AnalysisInput:
    """Read a CSV file with one row for each trial.

    With a block every row is one trial of that block, and blocks with whole numbers for names keep them. Without,
    trials are independent and numbered within their cell.

    Raises:
        AnalysisError: The file is no such table, lacks a column or a value, has one level or one value only, has a
            block twice in a cell, or the question does not fit its columns and levels.
    """
    table = read_csv(path)
    response = asked.analysis.response
    _check_roles(asked, response)
    y_N = table.numbers(response)
    num_N = _test_sizes(table, asked, y_N)
    factors = tuple(_factor(table, name, (asked.ordered or {}).get(name)) for name in asked.factors)
    if len(set(y_N)) == 1:
        raise AnalysisError(
            f"{table.name}: `{response}` is {y_N[0]:g} in every row, so there is nothing to analyse; name another."
        )
    for hypothesis in (asked.analysis.primary, *asked.analysis.further):
        if hypothesis is not None:
            _check_hypothesis(hypothesis, factors, table.name)
    cells = list(zip(*(table.levels(name) for name in asked.factors), strict=True))
    replicate_N = _numbered(cells) if asked.block is None else _blocks(table, asked.block, cells)
    return AnalysisInput(
        study=path.stem,
        question=f"How does {response} depend on {' and '.join(asked.factors)}?",
        factors=factors,
        trials=_trials(table, asked, y_N, replicate_N, num_N),
        analysis=asked.analysis,
        responses=(_response(asked),),
        references=(),
        paired=asked.block is not None,
        replicates=max(Counter(cells).values()),
        exclusions=(),
        failures=(),
        pending=0,
        confirmatory=True,
    )


def _response(asked: TableQuestion) -> ResponseInfo:
    name, is_share = asked.analysis.response, asked.test_size is not None
    bounded: Literal["unit", "none"] = "unit" if is_share else "none"
    return ResponseInfo(Response(name, name), name, "1", None, bounded, uses_time=False, share_of_examples=is_share)


def _test_sizes(table: CsvTable, asked: TableQuestion, y_N: Sequence[float]) -> Sequence[float] | None:
    """Return the examples behind each row, where the question names them."""
    if asked.test_size is None:
        return None
    named = isinstance(asked.test_size, str)
    num_N = table.numbers(str(asked.test_size)) if named else [float(asked.test_size)] * len(y_N)
    for y, num, line in zip(y_N, num_N, table.lines, strict=True):
        if num < 1 or num != int(num):
            raise AnalysisError(f"{table.name}, line {line}: {num:g} is no number of examples; it must be whole.")
        if not 0 <= y <= 1:
            raise AnalysisError(
                f"{table.name}, line {line}: `{asked.analysis.response}` is {y:g}, which is no share of examples; give "
                "fractions between 0 and 1, or leave the test size out."
            )
    return num_N


def _trials(
    table: CsvTable,
    asked: TableQuestion,
    y_N: Sequence[float],
    replicate_N: Sequence[int],
    num_N: Sequence[float] | None,
) -> pd.DataFrame:
    columns: dict[str, Sequence[object]] = {name: table.levels(name) for name in asked.factors}
    columns[asked.analysis.response] = y_N
    columns["trial_id"] = [f"line {line}" for line in table.lines]
    columns["replicate"] = replicate_N
    columns["concurrent_trials"] = [1] * len(y_N)
    columns["environment_key"] = [table.name] * len(y_N)
    if num_N is not None:
        columns["num_examples"] = num_N
    return pd.DataFrame(columns)


def _check_roles(asked: TableQuestion, response: str) -> None:
    names = [response, *asked.factors, *([asked.block] if asked.block else [])]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise AnalysisError(f"The column `{twice[0]}` can be only one of response, factor and block.")
    taken = [name for name in (response, *asked.factors) if name in RESERVED]
    if taken:
        raise AnalysisError(f"The name `{taken[0]}` is taken by the analysis itself; rename that column.")
    stray = [name for name in asked.ordered or {} if name not in asked.factors]
    if stray:
        raise AnalysisError(f"The ordered factor `{stray[0]}` is no factor; {did_you_mean(stray[0], asked.factors)}")


def _factor(table: CsvTable, name: str, order: Order | None) -> Factor:
    """Return a factor with its levels: numbers in ascending order, text in the order of the rows."""
    levels = list(dict.fromkeys(table.levels(name)))
    if len(levels) == 1:
        raise AnalysisError(f"{table.name}: `{name}` is {levels[0]} in every row; a factor needs at least two levels.")
    numbers = [level for level in levels if not isinstance(level, str)]
    if order is not None and not numbers:
        raise AnalysisError(f"{table.name}: `{name}` has levels that are no numbers, so it cannot be ordered.")
    if order == "log2" and min(numbers) <= 0:
        raise AnalysisError(f"{table.name}: `{name}` has the level {min(numbers)}; log2 needs levels above 0.")
    return Factor(name, tuple(sorted(numbers)) if numbers else tuple(levels), order)


def _check_hypothesis(hypothesis: Hypothesis, factors: Sequence[Factor], source: str) -> None:
    by_name = {factor.name: factor for factor in factors}
    named = [hypothesis.over] if hypothesis.over else [*(hypothesis.slope or ()), *(hypothesis.interaction or ())]
    for name in named:
        if name not in by_name:
            raise AnalysisError(f"The hypothesis names `{name}`, which is no factor; {did_you_mean(name, by_name)}")
    for name in hypothesis.slope or ():
        if by_name[name].order is None:
            raise AnalysisError(f"A slope needs ordered factors; say that `{name}` is log2 or linear.")
    if hypothesis.over and hypothesis.contrast:
        try:
            parse_contrast(hypothesis.contrast, by_name[hypothesis.over].levels)
        except ValueError as error:
            raise AnalysisError(f"{source}: `{hypothesis.contrast}` over `{hypothesis.over}`: {error}") from error


def _numbered(cells: Sequence[tuple[Level, ...]]) -> list[int]:
    """Number independent trials within their cell."""
    seen: dict[tuple[Level, ...], int] = {}
    numbers = []
    for cell in cells:
        numbers.append(seen.get(cell, 0))
        seen[cell] = numbers[-1] + 1
    return numbers


def _blocks(table: CsvTable, name: str, cells: Sequence[tuple[Level, ...]]) -> list[int]:
    """Return each row's block as a number: its own where all are whole and not negative, else by first appearance."""
    labels = table.levels(name)
    first: dict[tuple[object, ...], int] = {}
    for cell, label, line in zip(cells, labels, table.lines, strict=True):
        before = first.setdefault((cell, label), line)
        if before != line:
            raise AnalysisError(
                f"{table.name}, lines {before} and {line}: {name} {label} has two trials in the same cell; keep one of "
                "them, or name the column in which they differ among the factors."
            )
    if len(set(labels)) == len(labels):
        raise AnalysisError(
            f"{table.name}: no {name} has trials in two cells, so there is nothing to pair; leave `--block` out."
        )
    if all(isinstance(label, int) and 0 <= label < np.iinfo(np.int64).max for label in labels):
        return [int(label) for label in labels]
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return [numbers[label] for label in labels]
