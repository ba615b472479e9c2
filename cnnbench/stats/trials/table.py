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
from cnnbench.stats.trials.cells import level_index, level_text
from cnnbench.stats.trials.csv_table import read_csv
from cnnbench.types import Factor, Response, ResponseInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cnnbench.spec import AnalysisSpec, Hypothesis
    from cnnbench.stats.trials.csv_table import CsvTable
    from cnnbench.types import Blocks, Level

Order = Literal["log2", "linear"]
_DATASETS = ("dataset", "datasets")
_EXAMPLES = ("example", "examples", "image", "images")
_SEEDS = ("seed", "seeds", "replicate", "replicates", "run", "runs", "repetition")
_ENVIRONMENT = "environment_key"
RESERVED = ("trial_id", "replicate", "concurrent_trials", _ENVIRONMENT, "num_examples")
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
    random: str | None = None
    """The factor whose levels are a sample of a population."""
    nested_in: tuple[str, ...] = ()
    """Factors at whose levels the same name of a block means different blocks."""
    blocks_are: Blocks | None = None
    """What the blocks are; None: told from the column's name and the values of the response."""
    higher_is_better: bool | None = None
    """Which direction of the response is better, where it is known."""
    control: str | None = None
    """The level of a single factor that the ranks of the others are compared with."""


def read_table(path: Path, asked: TableQuestion) -> AnalysisInput:
    """Read a CSV file with one row for each trial.

    With a block every row is one trial of that block, and blocks with whole numbers for names keep them. Blocks of
    which each has trials at one level of a factor only are nested in it. Without a block, trials are independent and
    numbered within their cell.

    Where a column ``environment_key`` tells trials of several environments apart, they are not tested together unless
    the analysis pools them.

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
    analysis = asked.analysis
    if analysis.primary is not None:
        analysis = analysis.model_copy(update={"primary": _placed(analysis.primary, factors)})
    for hypothesis in (analysis.primary, *analysis.further):
        if hypothesis is not None:
            _check_hypothesis(hypothesis, factors, asked.random, table.name)
    cells = list(zip(*(table.levels(name) for name in asked.factors), strict=True))
    blocks = None if asked.block is None else _blocks(table, asked, asked.block, cells)
    binary = asked.block is not None and set(y_N) == {0.0, 1.0}
    return AnalysisInput(
        study=path.stem,
        question=f"How does {response} depend on {' and '.join(asked.factors)}?",
        factors=factors,
        trials=_trials(table, asked, y_N, _numbered(cells) if blocks is None else blocks.number_N, num_N),
        analysis=analysis,
        responses=(_response(asked),),
        references=(),
        paired=asked.block is not None,
        replicates=max(Counter(cells).values()),
        random=asked.random,
        nested_in=() if blocks is None else blocks.nested_in,
        replicate_names=None if blocks is None else blocks.names,
        exclusions=(),
        failures=(),
        pending=0,
        confirmatory=True,
        blocks=_blocks_are(asked, binary=binary),
        binary=binary,
        dataset_factor=next((name for name in asked.factors if name.casefold() in _DATASETS), None),
        control=_control(asked, factors),
        remarks=(*_independence(table, asked, cells), *_copies(table)),
    )


def _independence(table: CsvTable, asked: TableQuestion, cells: Sequence[object]) -> list[str]:
    """Say what was taken for granted without a block, and which column looks like one."""
    if asked.block is not None:
        return []
    remarks = ["No block was named, so all trials are taken as independent."]
    for name, values in table.columns.items():
        if name.casefold() not in _SEEDS or name in asked.factors:
            continue
        if len(set(zip(cells, values, strict=True))) > len(set(values)):  # some value stands in several cells
            remarks.append(
                f"The column {name} has the same values in several cells; if they mean the same {name}, the trials are "
                f"not independent: name it with --block {name}."
            )
    return remarks


def _copies(table: CsvTable) -> list[str]:
    """Say how many rows are the same as an earlier one in every column."""
    rows = Counter(zip(*table.columns.values(), strict=True))
    copies = sum(rows.values()) - len(rows)
    if not copies:
        return []
    some = "1 row is" if copies == 1 else f"{copies} rows are"
    return [f"{some} the same as an earlier one in every column, and counted as further trials."]


def _response(asked: TableQuestion) -> ResponseInfo:
    name, is_share = asked.analysis.response, asked.test_size is not None
    bounded: Literal["unit", "none"] = "unit" if is_share else "none"
    return ResponseInfo(
        Response(name, name),
        name,
        "1",
        asked.higher_is_better,
        bounded,
        uses_time=False,
        share_of_examples=is_share,
    )


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


def _blocks_are(asked: TableQuestion, *, binary: bool) -> Blocks:
    """Return what the blocks are, by what is said of them, else by their column's name, else by the response."""
    if asked.blocks_are is not None:
        if asked.block is None:
            raise AnalysisError("Blocks that are something need a column; name it with `--block`.")
        return asked.blocks_are
    name = (asked.block or "seed").casefold()
    if name in _DATASETS:
        return "datasets"
    return "examples" if name in _EXAMPLES or (binary and name not in _SEEDS) else "seeds"


def _control(asked: TableQuestion, factors: Sequence[Factor]) -> Level | None:
    if asked.control is None:
        return None
    if asked.block is None or len(factors) > 1:
        raise AnalysisError(
            "A control is a level of the only factor, compared over blocks; name one factor and `--block`."
        )
    levels = {str(level): level for level in factors[0].levels}
    if asked.control not in levels:
        raise AnalysisError(
            f"The control `{asked.control}` is no level of `{factors[0].name}`; {did_you_mean(asked.control, levels)}"
        )
    return levels[asked.control]


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
    # The trials of a run as its report has them (`trials.csv`) say where each of them was run.
    # As blocks, environments are what the comparisons are made within.
    here: Sequence[object] = [table.name] * len(y_N)
    columns[_ENVIRONMENT] = here if asked.block == _ENVIRONMENT else table.columns.get(_ENVIRONMENT, here)
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
    said = [("random", asked.random)] if asked.random else []
    for option, name in [*said, *(("nested-in", name) for name in asked.nested_in)]:
        if name not in asked.factors:
            near = did_you_mean(name, asked.factors)
            raise AnalysisError(f"--{option}: `{name}` is none of the factors; {near}")
    if asked.random is not None and len(asked.factors) == 1:
        raise AnalysisError(
            f"`{asked.random}` is the only factor; name a fixed one beside it, whose effect is asked for."
        )
    if asked.nested_in and asked.block is None:
        raise AnalysisError("--nested-in says what blocks are nested in; name their column with --block.")
    if set(asked.nested_in) == set(asked.factors):
        raise AnalysisError(
            "--nested-in names every factor, so no block could have trials in two cells; leave one out."
        )
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


def _placed(hypothesis: Hypothesis, factors: Sequence[Factor]) -> Hypothesis:
    """Return the hypothesis with the levels that it holds as the table has them: an option gives them as text."""
    levels = {(factor.name, level_text(level)): level for factor in factors for level in factor.levels}
    at = {name: levels.get((name, level_text(level)), level) for name, level in hypothesis.at.items()}
    return hypothesis.model_copy(update={"at": at})


def _check_hypothesis(hypothesis: Hypothesis, factors: Sequence[Factor], random: str | None, source: str) -> None:
    by_name = {factor.name: factor for factor in factors}
    for name in hypothesis.factors:
        if name not in by_name:
            raise AnalysisError(f"The hypothesis names `{name}`, which is no factor; {did_you_mean(name, by_name)}")
        if name == random:
            raise AnalysisError(
                f"The hypothesis names `{name}`, which is random: its levels stand for a population; ask about the "
                "other factors, or leave --random out."
            )
    for name, level in hypothesis.at.items():
        if level_index(by_name[name], level) is None:
            known = [level_text(one) for one in by_name[name].levels]
            raise AnalysisError(f"`{name}` has no level {level_text(level)}; {did_you_mean(level_text(level), known)}")
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


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The blocks of a table."""

    number_N: list[int]
    nested_in: tuple[str, ...]
    names: Mapping[int, str] | None
    """Where the number of a block is not its name."""


def _blocks(table: CsvTable, asked: TableQuestion, name: str, cells: Sequence[tuple[Level, ...]]) -> _Blocks:
    """Return each row's block as a number: its own where all are whole and not negative, else by first appearance."""
    own = [asked.factors.index(factor) for factor in asked.nested_in]
    labels = table.levels(name)
    blocks = [(label, *(cell[i] for i in own)) for label, cell in zip(labels, cells, strict=True)]
    first: dict[tuple[object, ...], int] = {}
    for cell, block, line in zip(cells, blocks, table.lines, strict=True):
        before = first.setdefault((cell, block), line)
        if before != line:
            raise AnalysisError(
                f"{table.name}, lines {before} and {line}: {name} {block[0]} has two trials in the same cell; keep one "
                "of them, or name the column in which they differ among the factors."
            )
    if len(set(blocks)) == len(blocks):
        raise AnalysisError(
            f"{table.name}: no {name} has trials in two cells, so there is nothing to pair; leave `--block` out."
        )
    nested_in = tuple(factor for i, factor in enumerate(asked.factors) if _nested(blocks, [cell[i] for cell in cells]))
    reused = len(set(blocks)) > len(set(labels))
    if not reused and all(isinstance(label, int) and 0 <= label < np.iinfo(np.int64).max for label in labels):
        return _Blocks([int(label) for label in labels], nested_in, None)
    numbers = {block: number for number, block in enumerate(dict.fromkeys(blocks))}
    names = {number: _block_name(block, asked.nested_in if reused else ()) for block, number in numbers.items()}
    return _Blocks([numbers[block] for block in blocks], nested_in, names)


def _nested(blocks: Sequence[tuple[Level, ...]], levels: Sequence[Level]) -> bool:
    """Whether every block has trials at one level of a factor only."""
    return len(set(zip(blocks, levels, strict=True))) == len(set(blocks))


def _block_name(block: tuple[Level, ...], nested_in: Sequence[str]) -> str:
    at = ", ".join(f"{factor} {level_text(level)}" for factor, level in zip(nested_in, block[1:], strict=False))
    return f"{block[0]} ({at})" if at else str(block[0])
