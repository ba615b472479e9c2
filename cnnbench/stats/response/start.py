"""The first step: which trials count, what they look like, and their values on the analysis scale.

Shapes: N trials, K replicates, M cells of the grid.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.effects.answers import Setting
from cnnbench.stats.effects.marginals import marginal_means, marginal_note
from cnnbench.stats.omnibus.mixed_model import described as random_part
from cnnbench.stats.omnibus.mixed_model import mixed_model, mixed_notes
from cnnbench.stats.omnibus.quasi_binomial import Counts
from cnnbench.stats.other_scale import Rescaled, scale_beside
from cnnbench.stats.response.work import Work
from cnnbench.stats.trials.audit import audit
from cnnbench.stats.trials.cells import cell_data, named, observed_cells, over_levels
from cnnbench.stats.trials.clock import clock_note, noisy_sentence, read_clock
from cnnbench.stats.trials.prepare import examples_of, margin_for, scale_for, select, to_scale, within_arithmetic
from cnnbench.stats.trials.random_levels import population, random_position
from cnnbench.types import Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.interface import AnalysisInput
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.prepare import Scale, Selection, Trials
    from cnnbench.types import Cell, ResponseInfo


def start(data: AnalysisInput, trials: Trials, info: ResponseInfo, apart: Refusal | None) -> Work:
    """Select the trials of a response, describe them, and put them on the analysis scale.

    ``apart`` is why none of them may be tested together, whatever the response.
    """
    selection = select(data, trials, info)
    selection, beyond = within_arithmetic(selection, info.response.name)
    y_N = selection.y_N[selection.kept_N]
    raw = _cells(data, trials, selection, y_N, "raw") if len(y_N) else None
    scale, note = scale_for(data, info)
    setting = Setting(
        info, scale, data.analysis.alpha, margin_for(data, info, scale), data.paired, data.confirmatory, data.factors
    )
    position = random_position(data.random, raw)
    setting = replace(setting, random=data.random, population=population(data.random, raw))
    work = Work(setting, audit(data, trials, selection, raw), raw, refusals=list(selection.refusals))
    work.notes += [note] if note else []
    _tell_time(data, trials, selection, work)
    if raw is None:
        why = "No trial has finished." if not len(trials.ids) else "No trial is left that can be analysed."
        none_left = Refusal(f"analysis of {info.response.name}", why, "Run the study; finished trials are kept.")
        return _stop(work, beyond or none_left)
    work.cells = observed_cells(raw, data.analysis.alpha)
    if apart is not None:
        return _stop(work, apart)
    _describe_means(data, work, raw, position)
    if np.ptp(y_N) <= raw.tiny and len(y_N) > 1:
        why = f"All {len(y_N)} trials gave the same value, {y_N[0]:.6g}."
        return _stop(
            work, Refusal(f"tests of {info.response.name}", why, "Choose a response that the factors can move.")
        )
    return _put_on_scale(data, trials, selection, work, position)


def _tell_time(data: AnalysisInput, trials: Trials, selection: Selection, work: Work) -> None:
    """Describe the clock beside a response that depends on time: once at length, and briefly wherever it was noisy."""
    work.clock = read_clock(data, trials, work.setting.info, selection.kept_N)
    if work.clock is None:
        return
    noisy = noisy_sentence(work.clock)
    work.promise += [noisy] if noisy else []
    if work.setting.info is next(info for info in data.responses if info.uses_time):
        work.notes.append(clock_note(work.clock))


def _stop(work: Work, refusal: Refusal) -> Work:
    work.refusals.append(refusal)
    work.reason = f"Not tested: {refusal.why} {refusal.remedy}"
    return work


def _describe_means(data: AnalysisInput, work: Work, raw: CellData, position: int | None) -> None:
    """Add the marginal means and what they stand for; ``position`` is that of a random factor."""
    work.marginals = _marginals(raw, position, data.analysis.alpha)
    at = None if position is None else data.random
    if work.marginals:
        about = marginal_note(paired=data.paired, replicated=raw.replicated, block=raw.block, random=at)
        work.notes.append(about)
    work.notes += [work.setting.population] if work.setting.population and position is None else []


def _marginals(raw: CellData, random: int | None, alpha: float) -> tuple[Cell, ...]:
    """Return the marginal means; those of fixed factors run over the levels of a random one."""
    if random is None:
        return marginal_means(raw, alpha)
    name = raw.factors[random].name
    own = tuple(cell for cell in marginal_means(raw, alpha) if name in cell.levels)
    return (*own, *marginal_means(over_levels(raw, random), alpha))


def _put_on_scale(data: AnalysisInput, trials: Trials, selection: Selection, work: Work, position: int | None) -> Work:
    """Arrange the selected trials on the analysis scale and on the one beside it, and fit the mixed model."""
    info, scale, y_N = work.setting.info, work.setting.scale, selection.y_N[selection.kept_N]
    every_N = examples_of(data, info)
    num_N = None if every_N is None else every_N[selection.kept_N]
    scaled = to_scale(y_N, scale, info.response.name, num_N)
    if isinstance(scaled, Refusal):
        return _stop(work, scaled)
    work.notes += [scaled[1]] if scaled[1] else []
    work.trials = _cells(data, trials, selection, scaled[0], scale)
    work.data = work.trials if position is None else over_levels(work.trials, position)
    _fit_mixed(work, position)
    if num_N is not None:
        tables = [_cells(data, trials, selection, one_N, "raw") for one_N in (y_N * num_N, num_N)]
        work.counts = Counts(*(table.y_KM + table.offset for table in tables))
    beside = scale_beside(scale, info)
    again = None if beside is None else to_scale(y_N, beside, info.response.name, num_N)
    if beside is not None and again is not None and not isinstance(again, Refusal):
        cells = _cells(data, trials, selection, again[0], beside)
        work.other = Rescaled(beside, cells if position is None else over_levels(cells, position), work.counts)
    if data.look is not None and work.data is not None:
        work.data = replace(work.data, pilot=data.look.pilot)
    return work


def _fit_mixed(work: Work, random: int | None) -> None:
    """Fit the mixed model that stands beside the tests, where the design has one."""
    if work.trials is None or work.data is None:
        return
    mixed = mixed_model(work.trials, work.data, random)
    if isinstance(mixed, str):
        work.notes.append(mixed)
    elif mixed is not None:
        work.setting = replace(work.setting, mixed=mixed)
        work.mixed = random_part(mixed, work.setting.alpha)
        work.notes += mixed_notes(mixed)


def _cells(
    data: AnalysisInput, trials: Trials, selection: Selection, y_N: NDArray[np.float64], scale: Scale
) -> CellData:
    """Arrange the selected trials; ``y_N`` holds a value for each of them."""
    cell_N, replicate_N = trials.cell_N[selection.kept_N], trials.replicate_N[selection.kept_N]
    names = [factor.name for factor in data.factors]
    cells = cell_data(
        data.factors,
        cell_N,
        replicate_N,
        y_N,
        paired=data.paired,
        transformed=scale != "raw",
        between=tuple(names.index(name) for name in data.nested_in),
    )
    cells = replace(cells, block=data.blocks.removesuffix("s"))
    return cells if data.replicate_names is None else named(cells, data.replicate_names)
