"""The rank tests of one factor over blocks, as tables of findings.

Shapes: B blocks, L levels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.multiplicity import holm
from cnnbench.stats.ranks.friedman import control_z, critical_difference, friedman, indistinct_groups, nemenyi_q
from cnnbench.stats.ranks.wilcoxon import signed_rank, signed_rank_without_zeros
from cnnbench.stats.trials.cells import level_text
from cnnbench.types import LevelRank, RankComparison, TestRow, TestTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from cnnbench.stats.ranks.friedman import Friedman
    from cnnbench.stats.ranks.wilcoxon import SignedRank
    from cnnbench.types import Blocks, Factor, Level

FEWEST_BLOCKS = 5
"""Below, no ranking of blocks can be told from chance."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """One value of every level in every block."""

    factor: Factor
    y_BL: NDArray[np.float64]
    blocks: Blocks
    left_out: int
    """Blocks that lack a level, and are not in ``y_BL``."""
    higher_is_better: bool
    tie: float
    """Values no further apart than this are tied: rounding error."""
    control: Level | None = None


def rank_tables(data: Ranked, alpha: float) -> tuple[list[TestTable], RankComparison | None]:
    """Return the tables, the decisive one first, and the mean ranks; nothing where all blocks are ties.

    Three and more levels: Iman-Davenport, Friedman, Nemenyi, Wilcoxon in two forms, and the control where there is one.
    Two levels: Wilcoxon alone, as Friedman's test would be a sign test.
    """
    wilcoxon = list(_wilcoxon(data))
    if data.y_BL.shape[1] < 3:
        return wilcoxon, None
    found = friedman(data.y_BL, higher_is_better=data.higher_is_better, tie=data.tie)
    if found is None:
        return [], None
    tables = [*_omnibus(data, found), _nemenyi(data, found), *wilcoxon, *_control(data, found)]
    return tables, _comparison(data, found, alpha)


def _comparison(data: Ranked, found: Friedman, alpha: float) -> RankComparison:
    limit = critical_difference(found, alpha)
    levels = data.factor.levels
    ranks = zip(levels, found.mean_rank_L.tolist(), strict=True)
    return RankComparison(
        factor=data.factor.name,
        blocks=data.blocks,
        num_blocks=found.num_blocks,
        left_out=data.left_out,
        higher_is_better=data.higher_is_better,
        mean_ranks=tuple(LevelRank(level, rank) for level, rank in ranks),
        kendall_w=found.kendall_w,
        critical_difference=limit,
        level=1 - alpha,
        groups=tuple(tuple(levels[i] for i in group) for group in indistinct_groups(found.mean_rank_L, limit)),
    )


def _omnibus(data: Ranked, found: Friedman) -> list[TestTable]:
    name = data.factor.name
    agree = "all blocks rank the levels alike: p is the exact probability of that" if found.f is None else ""
    f = TestRow(name, found.f, found.df, found.df2, found.p_f, note=agree)
    chisq = TestRow(name, found.chisq, found.df, None, found.p, note=f"Kendall's W {found.kendall_w:.3g}")
    over = f"Ranks of the levels within each of {found.num_blocks} {data.blocks}"
    return [
        TestTable("iman_davenport", "Iman-Davenport test of mean ranks", f"{over} (Iman & Davenport 1980).", (f,)),
        TestTable(
            "friedman",
            "Friedman test of mean ranks",
            f"{over}, corrected for ties (Friedman 1937); conservative beside Iman-Davenport.",
            (chisq,),
            "χ²",
        ),
    ]


def _pairs(data: Ranked) -> Iterator[tuple[int, int, str]]:
    levels = data.factor.levels
    for a, b in combinations(range(len(levels)), 2):
        yield a, b, f"{level_text(levels[a])} - {level_text(levels[b])}"


def _nemenyi(data: Ranked, found: Friedman) -> TestTable:
    rows = []
    for a, b, label in _pairs(data):
        difference = float(found.mean_rank_L[a] - found.mean_rank_L[b])
        q, p = nemenyi_q(difference, found)
        note = f"mean ranks differ by {difference:.3g}"
        rows.append(TestRow(label, q, None, None, p, p_adjusted=p, note=note))
    return TestTable(
        "nemenyi",
        "Nemenyi test of all pairs of mean ranks",
        "Studentized range (Nemenyi 1963), adjusted by construction; the other levels count in a pair's result.",
        tuple(rows),
        "q",
        _family(data.factor.name, len(rows), "Nemenyi"),
    )


def _family(name: str, size: int, how: str) -> str:
    return f"all pairs of {name} ({size} test{'s' if size > 1 else ''}, {how})"


def _wilcoxon(data: Ranked) -> Iterator[TestTable]:
    forms: tuple[tuple[str, str, str, Callable[[NDArray[np.float64], float], SignedRank | None]], ...] = (
        (
            "wilcoxon",
            "Wilcoxon signed-rank tests",
            "All sign patterns counted, with ties and with zeros ranked before they are set aside (Pratt 1959).",
            signed_rank,
        ),
        (
            "wilcoxon_without_zeros",
            "Wilcoxon signed-rank tests, zeros dropped",
            "As most programs print it: exact for fewer than 50 differences without ties and zeros, else normal.",
            signed_rank_without_zeros,
        ),
    )
    for key, title, method, test in forms:
        rows = []
        for a, b, label in _pairs(data):
            found = test(data.y_BL[:, a] - data.y_BL[:, b], data.tie)
            if found is None:
                rows.append(TestRow(label, None, None, None, 1.0, note="no block tells the two apart"))
                continue
            lost = len(data.y_BL) - found.n
            parts = [f"{lost} without a difference"] if lost else []
            parts += [] if found.exact else ["normal approximation"]
            rows.append(TestRow(label, found.v, None, None, found.p, note=", ".join(parts)))
        adjusted = holm([1.0 if row.p is None else row.p for row in rows])
        rows = [replace(row, p_adjusted=p) for row, p in zip(rows, adjusted, strict=True)]
        yield TestTable(key, title, method, tuple(rows), "V", _family(data.factor.name, len(rows), "Holm"))


def _control(data: Ranked, found: Friedman) -> list[TestTable]:
    levels = [level_text(level) for level in data.factor.levels]
    if data.control is None:
        return []
    control = levels.index(level_text(data.control))
    z_L, p_L = control_z(found, control)
    others = [i for i in range(len(levels)) if i != control]
    adjusted = holm([float(p_L[i]) for i in others])
    rows = [
        TestRow(f"{levels[i]} - {levels[control]}", float(z_L[i]), None, None, float(p_L[i]), p_adjusted=p)
        for i, p in zip(others, adjusted, strict=True)
    ]
    return [
        TestTable(
            "rank_control",
            f"Mean ranks against {levels[control]}",
            "Mean rank minus the control's over its standard error, normal (Demsar 2006).",
            tuple(rows),
            "z",
            f"comparisons with {levels[control]} ({len(rows)} tests, Holm)",
        )
    ]


def values_over_datasets(mean_LD: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Return cell means of levels by datasets as blocks by levels, complete ones only, and how many were left out."""
    complete_D = np.isfinite(mean_LD).all(axis=0)
    return mean_LD[:, complete_D].T, int((~complete_D).sum())
