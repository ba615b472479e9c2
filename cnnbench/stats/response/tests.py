"""The second step: omnibus tests, the hypotheses that concern a response, and the families that nobody declared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench.stats.blocks import block_tests
from cnnbench.stats.effects.answers import adjusted, answer, interaction
from cnnbench.stats.effects.families import further_families, interaction_families, pairwise_families, simple_families
from cnnbench.stats.omnibus.anova import omnibus
from cnnbench.stats.omnibus.further_tests import further_tests
from cnnbench.stats.omnibus.mixed_model import mixed_tables
from cnnbench.stats.words.notes import describe
from cnnbench.types import Refusal

if TYPE_CHECKING:
    from cnnbench.spec import Hypothesis
    from cnnbench.stats.effects.answers import Draft
    from cnnbench.stats.interface import AnalysisInput
    from cnnbench.stats.response.work import Work
    from cnnbench.stats.trials.cells import CellData


def run_tests(data: AnalysisInput, work: Work, name: str) -> None:
    """Run the omnibus tests, the hypotheses that concern this response, and the exploratory families."""
    cells, setting = work.data, work.setting
    if cells is None:
        return
    tables, refusals = omnibus(cells, setting.alpha)
    work.tables += tables
    work.refusals += refusals
    main = data.responses[0].response.name
    refused: set[str] = set()
    for key, hypothesis in hypotheses(data):
        home = hypothesis.response or main
        asked_again = hypothesis.response is None and name != main and name in data.analysis.also
        if home != name and not asked_again:
            continue
        first = key == "primary" and home == name
        found = answer(cells, hypothesis, setting, key, "primary" if first else "further")
        if isinstance(found, Refusal):
            work.refusals.append(found)
            refused.add(key)
            if first:
                work.reason = f"The primary hypothesis ({found.what}) was not tested: {found.why} {found.remedy}"
        elif first:
            work.primary = found
        else:
            (work.further if home == name else work.repeated).append(found)
    _pair(work, cells, data.analysis.correction)
    work.repeated = adjusted(work.repeated, f"the study's hypotheses on {name}", data.analysis.correction)
    _explore(work, cells, None if "primary" in refused else data.analysis.primary)
    _over_blocks(data, work, cells)


def ask_primary(data: AnalysisInput, work: Work, cells: CellData, hypothesis: Hypothesis) -> Draft | Refusal:
    """Answer the primary hypothesis alone, with the omnibus interaction that may share alpha with it."""
    found = answer(cells, hypothesis, work.setting, "primary", "primary")
    if not isinstance(found, Refusal):
        work.primary = found
        _pair(work, cells, data.analysis.correction)
    return found


def hypotheses(data: AnalysisInput) -> list[tuple[str, Hypothesis]]:
    """Every declared hypothesis with its key: ``primary``, ``further:1`` and so on."""
    primary = data.analysis.primary
    further = [(f"further:{i}", hypothesis) for i, hypothesis in enumerate(data.analysis.further, start=1)]
    return ([("primary", primary)] if primary is not None else []) + further


def _pair(work: Work, cells: CellData, correction: str) -> None:
    """Put the omnibus interaction beside a primary slope of two factors over independent trials, Holm over the two.

    The slope is the more powerful one where effects grow steadily, the omnibus test where a single cell stands out.
    """
    hypothesis = work.primary.hypothesis if work.primary is not None else None
    slope = hypothesis.slope if hypothesis is not None and not hypothesis.at else None
    if work.primary is None or slope is None or len(slope) < 2 or cells.paired or not cells.replicated:
        return
    partner = interaction(cells, slope, work.setting, "primary:omnibus", "further")
    if isinstance(partner, Refusal):
        return
    pair = adjusted([work.primary, partner], "primary pair: slope and omnibus interaction", correction)
    # Equivalence is a claim about each of them alone.
    work.primary, work.partner = (replace(draft, adjusted_equivalence_p=None) for draft in pair)


def _explore(work: Work, cells: CellData, primary: Hypothesis | None) -> None:
    """Add the families that nobody declared; ``primary`` is None where there is none that can be answered."""
    cells = replace(cells, pilot=())  # what nobody declared has the spread of all trials
    families, refusals = pairwise_families(cells, work.setting)
    if primary is not None:
        simple, refused = simple_families(cells, primary, work.setting)
        families, refusals = simple + families, refused + refusals
    pairs, refused = interaction_families(cells, primary, work.setting)
    work.families += families + pairs
    work.beside = further_families(cells, primary, work.setting)
    work.refusals += refusals + refused
    work.further_tables, refused = further_tests(cells, work.setting.alpha)
    work.further_tables += [] if work.setting.mixed is None else mixed_tables(work.setting.mixed)
    work.refusals += refused
    work.notes += describe(cells, work.primary, [*work.repeated, *work.further], work.tables, work.setting.alpha)


def _over_blocks(data: AnalysisInput, work: Work, cells: CellData) -> None:
    """Add the tests over blocks: before all others where blocks are datasets, instead of them for right and wrong."""
    found = block_tests(data, cells, work.setting)
    if found.decides:
        beside = work.tables if found.examples is None else []
        num_first = 1 if found.examples is None or found.examples.cochran_q is None else 2
        work.tables, rest = found.tables[:num_first], found.tables[num_first:]
        work.further_tables = [*rest, *beside, *work.further_tables]
    else:
        work.further_tables += found.tables
    work.lead, work.ranks, work.examples = found.lead, found.ranks, found.examples
    work.notes += found.notes
    work.refusals += found.refusals
