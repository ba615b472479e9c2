"""What the design can bear, found before any test."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.trials.cells import grid, level_text, over_levels
from cnnbench.stats.trials.environments import environment_sentences
from cnnbench.stats.trials.models import connected
from cnnbench.stats.trials.random_levels import random_position
from cnnbench.types import DesignAudit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.stats.interface import AnalysisInput
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.prepare import Selection, Trials
    from cnnbench.types import Level

_MOST_NAMED = 20
"""More replicates than this are counted, not named."""


def audit(data: AnalysisInput, trials: Trials, selection: Selection, cells: CellData | None) -> DesignAudit:
    """Describe the trials of one response as a design. ``cells`` is None where no trial is left."""
    full = grid(data.factors)
    cell_N = trials.cell_N[selection.kept_N]
    n_M = np.bincount(cell_N, minlength=len(full))
    missing = tuple(full[i] for i in np.flatnonzero(n_M == 0))
    filled = n_M[n_M > 0]
    replicate_N = trials.replicate_N[selection.kept_N]
    labels, counts = np.unique(replicate_N, return_counts=True)
    complete = _complete(cells, labels.tolist(), counts.tolist(), len(filled))
    linked = cells is not None and connected(cells)
    return DesignAudit(
        factors=data.factors,
        num_cells=len(full),
        num_trials=len(cell_N),
        replicates=data.replicates,
        min_n=int(filled.min()) if len(filled) else 0,
        max_n=int(filled.max()) if len(filled) else 0,
        missing=missing,
        failed=len(data.failures),
        pending=data.pending,
        paired=data.paired,
        complete_replicates=complete,
        rank=len(filled),
        connected=linked,
        sentences=(
            _size(len(cell_N), len(filled), len(full), filled.tolist()),
            *_missing(data, missing),
            *_failures(data),
            *_unplanned(data),
            *_pairing(data, cells, labels.tolist(), complete),
            *_nesting(data, cells),
            *_random(data, cells),
            *_connection(linked=linked or not len(filled)),
            *_lost_levels(data, cells),
            *environment_sentences(data, trials, selection.kept_N),
            *data.remarks,
        ),
        nested_in=data.nested_in,
        random=data.random if random_position(data.random, cells) is not None else None,
    )


def _complete(cells: CellData | None, labels: list[int], counts: list[int], filled: int) -> tuple[int, ...]:
    """Return the replicates with a trial in every cell that has any; nested ones in every such cell of their plot."""
    if cells is not None and cells.nested:
        kept_K = cells.complete_rows(cells.seen_M)
        return tuple(label for label, kept in zip(labels, kept_K, strict=True) if kept)
    return tuple(label for label, count in zip(labels, counts, strict=True) if count == filled)


def _size(num_trials: int, filled: int, num_cells: int, n: list[int]) -> str:
    if not num_trials:
        return f"No trial of the {_plural(num_cells, 'cell')} can be analysed."
    each = f"{n[0]} each" if min(n) == max(n) else f"{min(n)} to {max(n)} each; means are unweighted over cells"
    return f"{_plural(num_trials, 'trial')} in {filled} of {_plural(num_cells, 'cell')}, {each}."


def _missing(data: AnalysisInput, missing: tuple[Mapping[str, Level], ...]) -> list[str]:
    if not missing or not data.trials.shape[0]:
        return []
    excluded = Counter(
        next((e.kind for e in data.exclusions if dict(e.cell) == dict(cell)), "without a finished trial")
        for cell in missing
    )
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(excluded.items()))
    return [f"{_plural(len(missing), 'cell')} missing ({kinds}): {_cells(missing)}."]


def _failures(data: AnalysisInput) -> list[str]:
    sentences = []
    if data.failures:
        classes = Counter(failure.error_class for failure in data.failures)
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(classes.items()))
        by_cell = Counter(tuple(failure.trial.cell.items()) for failure in data.failures)
        where, most = max(by_cell.items(), key=lambda item: (item[1], str(item[0])))
        worst = f"; the most in one cell is {most} ({_cells([dict(where)])})" if data.factors else ""
        sentences.append(f"{_plural(len(data.failures), 'trial')} failed ({kinds}){worst}.")
    if data.pending:
        sentences.append(f"{_plural(data.pending, 'planned trial')} not run yet: these are interim results.")
    return sentences


def _unplanned(data: AnalysisInput) -> list[str]:
    """Tell of earlier runs: whoever looks at results and then changes seeds or levels has looked more than once."""
    if not data.unplanned:
        return []
    lie = "lies" if data.unplanned == 1 else "lie"
    what = f"{_plural(data.unplanned, 'finished trial')} of other settings, levels or seeds {lie} in the same folder"
    return [f"{what}, not analysed here; if those analysed were chosen by their results, no p value knows it."]


def _pairing(data: AnalysisInput, cells: CellData | None, labels: list[int], complete: tuple[int, ...]) -> list[str]:
    if not data.paired:
        return [] if data.remarks else ["Every trial has seeds of its own, so trials are independent."]
    names = data.replicate_names or {}
    lacking = [names.get(label, label) for label in labels if label not in complete]
    over = f"all cells of their level of {' and '.join(data.nested_in)}" if data.nested_in else "all cells"
    sentence = {
        "seeds": f"Replicates share their seeds over {over}, so that each replicate is a block",
        "datasets": "Each dataset is a block, with one value for every cell",
        "examples": "Each example is a block, with one value for every cell",
    }[data.blocks]
    if not lacking:
        return [f"{sentence}; all {len(labels)} are complete."]
    if random_position(data.random, cells) is not None:
        return [f"{sentence}; {len(complete)} of {len(labels)} are complete."]
    which = ", ".join(str(label) for label in lacking)
    if len(lacking) > _MOST_NAMED:
        which = f"{', '.join(map(str, lacking[:_MOST_NAMED]))} and {len(lacking) - _MOST_NAMED} more"
    return [
        f"{sentence}; {len(complete)} of {len(labels)} are complete.",
        f"Tests leave out replicate {which} where it lacks a cell that they need.",
    ]


def _nesting(data: AnalysisInput, cells: CellData | None) -> list[str]:
    """Say which questions are between replicates and which within them."""
    if cells is None or not cells.nested:
        return []
    n_G = np.bincount(cells.plot_K[cells.plot_K >= 0])
    n_G = n_G[n_G > 0]
    each = f"{n_G.min()}" if n_G.min() == n_G.max() else f"{n_G.min()} to {n_G.max()}"
    plots = " and ".join(data.nested_in)
    within = [factor.name for factor in data.factors if factor.name not in data.nested_in]
    sentence = f"A split-plot design: replicates are nested in {plots} ({each} for each level)"
    verb = "is" if len(data.nested_in) == 1 else "are"
    return [f"{sentence}, so {plots} {verb} tested between replicates, and {' and '.join(within)} within them."]


def _random(data: AnalysisInput, cells: CellData | None) -> list[str]:
    """Say that the levels of a factor are the blocks, and which of them lack a cell."""
    position = random_position(data.random, cells)
    if cells is None or position is None:
        return []
    levels = over_levels(cells, position)
    gaps = [
        str(k) for k, whole in zip(levels.replicates, levels.complete_rows(levels.seen_M), strict=True) if not whole
    ]
    sentence = (
        f"{data.random} is random: its {len(levels.replicates)} levels are blocks, each with the mean of its trials in "
        "every cell of the other factors"
    )
    if not gaps:
        return [f"{sentence}; all are complete."]
    return [f"{sentence}; tests leave out {', '.join(gaps)} where a cell that they need is missing."]


def _connection(*, linked: bool) -> list[str]:
    if linked:
        return []
    return ["The grid is disconnected: its parts share no level, so main effects cannot be estimated across them."]


def _lost_levels(data: AnalysisInput, cells: CellData | None) -> list[str]:
    if cells is None:
        return []
    sentences = []
    for declared, kept in zip(data.factors, cells.factors, strict=True):
        lost = [level_text(level) for level in declared.levels if level not in kept.levels]
        if lost:
            sentences.append(
                f"No trial has {declared.name} {' or '.join(lost)}; everything below is about the other levels."
            )
    return sentences


def _cells(cells: list[Mapping[str, Level]] | tuple[Mapping[str, Level], ...]) -> str:
    shown = ["/".join(level_text(level) for level in cell.values()) for cell in cells[:6]]
    return ", ".join(shown) + (f" and {len(cells) - 6} more" if len(cells) > 6 else "")


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
