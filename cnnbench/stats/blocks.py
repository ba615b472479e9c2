"""Tests that take each block as a whole: ranks over datasets or seeds, right and wrong answers over examples.

Where blocks are datasets or examples they decide; elsewhere they stand beside the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.examples.compare import ABOUT_EXAMPLES, compare_examples
from cnnbench.stats.examples.tables import example_tables
from cnnbench.stats.omnibus.within import complete_replicates
from cnnbench.stats.ranks.tables import FEWEST_BLOCKS, Ranked, rank_tables, values_over_datasets
from cnnbench.stats.trials.cells import level_text
from cnnbench.stats.words.wording import number, p_text
from cnnbench.types import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cnnbench.stats.effects.answers import Setting
    from cnnbench.stats.interface import AnalysisInput
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.types import Blocks, ExampleComparison, RankComparison, TestTable

_MOST_NAMED = 8
"""More levels or pairs than this are left to the tables."""


@dataclass(slots=True)
class BlockTests:
    """What blocks tell beyond the other tests."""

    tables: list[TestTable] = field(default_factory=list)
    decides: bool = False
    """Whether the first table is the analysis that the design asks for."""
    lead: str = ""
    """The finding in a paragraph, where it decides."""
    ranks: RankComparison | None = None
    examples: ExampleComparison | None = None
    notes: list[str] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


def block_tests(data: AnalysisInput, cells: CellData, setting: Setting) -> BlockTests:
    """Return the tests of one factor over blocks, or of one factor over a second one that names datasets."""
    active = cells.active
    if data.paired and len(active) == 1:
        if data.binary:
            return _over_examples(data, cells, setting)
        complete_BL = complete_replicates(cells)
        lost = len(cells.y_KM) - len(complete_BL)
        return _ranked(data, cells, setting, (active[0], complete_BL, lost), data.blocks)
    names = [cells.factors[position].name for position in active]
    if len(active) == 2 and data.dataset_factor in names:
        over = names.index(data.dataset_factor)
        mean_LD = np.moveaxis(cells.mean_M.reshape(cells.shape), active[over], -1)
        mean_LD = mean_LD.reshape(-1, cells.shape[active[over]])
        values = (active[1 - over], *values_over_datasets(mean_LD))
        return _ranked(data, cells, setting, values, "datasets")
    if data.binary:
        note = (
            "Cochran's Q and McNemar's tests compare the levels of one factor; with several, the F tests stand alone."
        )
        return BlockTests(notes=[note, *([ABOUT_EXAMPLES] if data.blocks == "examples" else [])])
    return BlockTests()


def _ranked(
    data: AnalysisInput,
    cells: CellData,
    setting: Setting,
    values: tuple[int, NDArray[np.float64], int],
    blocks: Blocks,
) -> BlockTests:
    """Rank the levels of the factor at a position: its values by block and level, and how many blocks lack one."""
    position, y_BL, left_out = values
    factor, decides = cells.factors[position], data.paired and data.blocks == "datasets"
    if len(y_BL) < FEWEST_BLOCKS:
        refusal = Refusal(
            f"ranks of {factor.name} over {blocks}",
            f"Only {len(y_BL)} have every level of {factor.name}; at least {FEWEST_BLOCKS} are needed.",
            f"Add {blocks}; what is found here is about these {blocks} only.",
        )
        return BlockTests(refusals=[refusal] if decides else [])
    higher = setting.info.higher_is_better
    ranked = Ranked(factor, y_BL, blocks, left_out, higher is not False, cells.tiny, data.control)
    tables, ranks = rank_tables(ranked, setting.alpha)
    if not tables:
        why = f"Every one of the {len(y_BL)} {blocks} gives all levels of {factor.name} the same value."
        refusal = Refusal(f"ranks of {factor.name}", why, "Choose a response that the factor can move.")
        return BlockTests(refusals=[refusal])
    found = BlockTests(tables, decides, ranks=ranks)
    if higher is None and ranks is not None:
        found.notes.append("Rank 1 is the highest value, as nothing says that lower is better.")
    if left_out:
        found.notes.append(f"Rank tests leave out {left_out} of {left_out + len(y_BL)} {blocks} that lack a level.")
    if decides:
        found.lead = _rank_sentence(found, setting) if ranks is not None else _wilcoxon_sentence(tables[0], len(y_BL))
        found.notes.append(
            "Ranks need no common scale of the datasets. Means and their differences suppose that a point is worth the "
            "same on each; they and the repeated-measures analysis of variance stand beside."
        )
    return found


def _over_examples(data: AnalysisInput, cells: CellData, setting: Setting) -> BlockTests:
    correct_NT = np.rint(complete_replicates(cells) + cells.offset).astype(bool)
    lost = len(cells.y_KM) - len(correct_NT)
    if len(correct_NT) < 2:
        return BlockTests()
    factor = cells.factors[cells.active[0]]
    examples = compare_examples(factor.levels, correct_NT, setting.alpha)
    found = BlockTests(example_tables(examples, factor.name), examples=examples)
    if lost:
        found.notes.append(f"Left out of Cochran's and McNemar's tests: {lost} {data.blocks} that lack a level.")
    if data.blocks == "examples":
        found.decides = True
        found.lead = f"{_example_sentence(examples, factor.name, setting)} {ABOUT_EXAMPLES}"
        found.notes.append(
            "A response of 0 or 1: Cochran's Q takes the place of the repeated-measures analysis of variance. Effects "
            f"are by t over {len(correct_NT)} examples, which is sound if there are many; the exact tests always are."
        )
    return found


def _listed(parts: Sequence[str], most: int = _MOST_NAMED) -> str:
    more = f" and {len(parts) - most} more" if len(parts) > most else ""
    return ", ".join(parts[:most]) + more


def _rank_sentence(found: BlockTests, setting: Setting) -> str:
    ranks, row = found.ranks, found.tables[0].rows[0]
    assert ranks is not None  # noqa: S101 - the caller has looked
    test = "all datasets agree" if row.statistic is None else f"F({row.df1:g}, {row.df2:g}) = {number(row.statistic)}"
    told = f"(Iman-Davenport {test}, {p_text(row.p)})"
    name, blocks = ranks.factor, f"{ranks.num_blocks} {ranks.blocks}"
    if row.p is not None and row.p < setting.alpha:
        opening = f"The levels of {name} differ in their mean ranks over {blocks} {told}."
    else:
        opening = f"No difference between the mean ranks of {name} over {blocks} is shown {told}."
    best = sorted(ranks.mean_ranks, key=lambda each: each.mean_rank)
    listed = _listed([f"{level_text(each.level)} {each.mean_rank:.3g}" for each in best])
    apart = [
        f"{level_text(a.level)} and {level_text(b.level)}"
        for i, a in enumerate(best)
        for b in best[i + 1 :]
        if b.mean_rank - a.mean_rank >= ranks.critical_difference
    ]
    pairs = f"That holds for {_listed(apart)}." if apart else "No pair is that far apart."
    return (
        f"{opening} Mean ranks, best first: {listed}. Two of them differ if they are at least "
        f"{ranks.critical_difference:.3g} apart (Nemenyi). {pairs}"
    )


def _wilcoxon_sentence(table: TestTable, num_blocks: int) -> str:
    row = table.rows[0]
    v = "no difference" if row.statistic is None else f"V = {number(row.statistic)}"
    return f"{row.term} over {num_blocks} datasets: Wilcoxon's signed-rank test, {v}, {p_text(row.p)}."


def _example_sentence(found: ExampleComparison, factor: str, setting: Setting) -> str:
    best = sorted(found.accuracies, key=lambda each: -each.share)
    shares = _listed([f"{level_text(each.name)} {100 * each.share:.3g} %" for each in best])
    opening = f"Right answers to {found.num_examples} examples: {shares}."
    if found.cochran_q is None:
        return f"{opening} No example tells any two levels of {factor} apart."
    told = f"(Cochran's Q({found.cochran_df}) = {number(found.cochran_q)}, {p_text(found.cochran_p)})"
    differ = found.cochran_p is not None and found.cochran_p < setting.alpha
    verdict = f"The levels of {factor} differ {told}." if differ else f"No difference is shown {told}."
    apart = [
        f"{level_text(pair.first)} and {level_text(pair.second)} ({p_text(pair.p_exact_holm)})"
        for pair in found.pairs
        if pair.p_exact_holm < setting.alpha
    ]
    pairs = f"Exact McNemar tests with Holm's adjustment tell apart {_listed(apart)}." if apart else ""
    if not apart:
        pairs = "No exact McNemar test with Holm's adjustment tells two of them apart."
    return f"{opening} {verdict} {pairs}"
