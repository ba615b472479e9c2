"""Remarks for the reader that no test carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.effects.estimate import fixed_block
from cnnbench.stats.trials.cells import blocks_word
from cnnbench.stats.variance import intraclass_correlation, pairing_gain
from cnnbench.stats.words.wording import p_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.stats.effects.answers import Draft
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.types import TestTable

LARGE_SPREAD = 3.0
"""Ratio of the largest to the smallest cell SD from which it is worth telling."""


def describe(
    data: CellData, primary: Draft | None, declared: Sequence[Draft], tables: Sequence[TestTable], alpha: float
) -> list[str]:
    """Return remarks on what the primary effect depends on, on disagreement, spread, pairing and gaps.

    ``declared`` are the other effects that the study asked of this response; the first of them leads where there is no
    primary one.
    """
    if not data.replicated:
        return []
    return [
        *_depends(primary or next(iter(declared), None), declared, tables, alpha),
        *_disagreement(tables, alpha),
        *_spread(data),
        *(_pairing(data) if data.paired else []),
        *_gain(data, primary),
        *_fixed_block(data, primary),
        *_small_n(data, primary),
    ]


def _depends(lead: Draft | None, declared: Sequence[Draft], tables: Sequence[TestTable], alpha: float) -> list[str]:
    """Warn where the effect that leads is an average over levels between which it differs."""
    hypothesis = None if lead is None else lead.hypothesis
    if (
        lead is None or hypothesis is None or not tables or hypothesis.at
    ):  # the table's terms are averages of what it holds
        return []
    own = {hypothesis.over} if hypothesis.over else set(hypothesis.slope or hypothesis.interaction or ())
    asked = [set(one.hypothesis.interaction or ()) for one in declared if one.hypothesis is not None]
    what = "The primary effect" if lead.effect.role == "primary" else f"The effect {lead.effect.label}"
    remarks = []
    for row in tables[0].rows:
        term = set(row.term.split(":"))
        others = term - own
        if own < term and len(others) == 1 and row.p is not None and row.p < alpha:
            (other,) = others
            why = f"{row.term}, {p_text(row.p)}{'' if term in asked else ', exploratory'}"
            remarks.append(f"{what} differs between levels of {other} ({why}): read it within each level.")
    return remarks


def _disagreement(tables: Sequence[TestTable], alpha: float) -> list[str]:
    """Name the terms on which the ANOVA-type statistic and the classical F disagree."""
    p_by_key = {table.key: {row.term: row.p for row in table.rows if row.p is not None} for table in tables}
    robust, classical = p_by_key.get("ats", {}), p_by_key.get("anova_type3", {})
    return [
        f"{term}: the ANOVA-type statistic ({p_text(p)}) and the classical F ({p_text(classical[term])}) disagree."
        for term, p in robust.items()
        if term in classical and (p < alpha) != (classical[term] < alpha)
    ]


def _spread(data: CellData) -> list[str]:
    usable_M = data.n_M > 1
    sd_M = np.sqrt(np.where(usable_M, data.var_M, np.nan))
    if usable_M.sum() < 2 or np.nanmin(sd_M) <= data.tiny:
        return []
    ratio = float(np.nanmax(sd_M) / np.nanmin(sd_M))
    if ratio < LARGE_SPREAD:
        return []
    low, high = data.cell_name(int(np.nanargmin(sd_M))), data.cell_name(int(np.nanargmax(sd_M)))
    return [f"Cells differ in their spread: the SD is {ratio:.1f} times as large in {high} as in {low}."]


def _pairing(data: CellData) -> list[str]:
    correlation = intraclass_correlation(data)
    if correlation is None:
        return []
    alike = "with the same seeds" if data.block == "seed" else f"of the same {data.block}"
    shown = f"{correlation:.2f}".replace("-0.00", "0.00")
    return [f"Trials {alike} correlate by {shown} (intraclass correlation)."]


def _gain(data: CellData, primary: Draft | None) -> list[str]:
    found = None if primary is None else pairing_gain(data, primary)
    if found is None:
        return []
    gain, interval = found
    gained = f"{gain**0.5:.1f} times as large" if gain >= 1 else f"smaller ({gain**0.5:.2f} times)"
    ignored = "the pairing" if data.block == "seed" else f"that cells share the same {blocks_word(data)}"
    sentence = f"Ignoring {ignored}, the standard error of the primary effect would be {gained}"
    if interval.low < 1 < interval.high:
        sentence += f"; so few {blocks_word(data)} do not tell whether that is a gain"
    return [f"{sentence}."]


def _fixed_block(data: CellData, primary: Draft | None) -> list[str]:
    """Show the primary effect over all trials where incomplete replicates were left out."""
    if not data.paired or data.block != "seed" or primary is None or primary.weights_M is None:
        return []
    if data.complete_rows(data.seen_M).all():
        return []
    found = fixed_block(data, primary.weights_M)
    if found is None:
        return []
    size = f"{found.value:.4g} on the analysis scale (standard error {found.se:.3g}, p = {found.p:.3g})"
    return [f"Over all {found.n} trials, gaps included and replicates as fixed blocks, the primary effect is {size}."]


def _small_n(data: CellData, primary: Draft | None) -> list[str]:
    found = None if primary is None else primary.found
    few = 3 if data.nested else 2
    if found is None or found.n_per_cell > few or not found.method.startswith("Welch"):
        return []
    where = f"whole plot has only {found.n_per_cell} replicates" if data.nested else "cell has only 2 trials"
    return [f"A {where}: its variance is hardly known, and the Welch test may miss its level; add replicates."]
