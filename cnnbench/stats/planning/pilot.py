"""A pilot's trials on the study's planned cells.

Shapes: K replicates, M cells of the study's grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.interface import AnalysisInput
from cnnbench.stats.omnibus.within import complete_replicates
from cnnbench.stats.power.noise import assumed_noise, no_noise, observed_noise, seed_correlation
from cnnbench.stats.trials.cells import cell_data, level_index
from cnnbench.stats.trials.environments import environment_refusal
from cnnbench.stats.trials.prepare import read_trials, select, to_scale
from cnnbench.types import NoiseSource, Refusal

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from cnnbench.stats.interface import Pilot, SeedQuestion
    from cnnbench.stats.planning.asked import Asked
    from cnnbench.stats.power.noise import Noise
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.prepare import Scale
    from cnnbench.types import Factor, ResponseInfo


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """What a pilot tells."""

    noise: Noise
    source: NoiseSource
    mean_M: NDArray[np.float64] | None
    """Of the study's cells, as the analysis would take them; None where the pilot has not all that are needed."""
    notes: tuple[str, ...]
    tiny: float
    """Spreads up to here are rounding error."""


def analysis_input(
    question: SeedQuestion, frame: pd.DataFrame, factors: tuple[Factor, ...], *, paired: bool
) -> AnalysisInput:
    """Return trials with the study's analysis plan."""
    return AnalysisInput(
        study=question.study,
        question="",
        factors=factors,
        trials=frame,
        analysis=question.analysis,
        responses=question.responses,
        references=(),
        paired=paired,
        replicates=question.replicates,
        exclusions=(),
        failures=(),
        pending=0,
        confirmatory=True,
    )


def observed(
    question: SeedQuestion, pilot: Pilot, asked: Asked, info: ResponseInfo, scale: Scale
) -> Observed | Refusal:
    """Return the pilot's noise in the cells that the hypothesis needs.

    Where the pilot lacks one of them, or has other factors, its SD pooled over all its cells and the correlation of its
    seeds stand for every planned cell.
    """
    own = {factor.name for factor in pilot.factors} == {factor.name for factor in question.factors}
    frame, left_out = _within_study(pilot, question.factors) if own else (pilot.trials, 0)
    if own and len(frame):
        data, notes = _cells(question, replace(pilot, trials=frame), question.factors, info, scale)
        if isinstance(data, Refusal):
            return data
        data = _aligned(data, asked.grid)
        if left_out:
            notes += (f"{left_out} of the pilot's trials are in cells that the study has not, and are not used.",)
        if data.seen_M[asked.used_M].all():
            return _own_cells(data, pilot, asked, notes)
    data, notes = _cells(question, pilot, pilot.factors, info, scale)
    return data if isinstance(data, Refusal) else _pooled(data, pilot, asked, notes)


def _within_study(pilot: Pilot, factors: tuple[Factor, ...]) -> tuple[pd.DataFrame, int]:
    """Return the trials whose levels the study has, and how many others there are."""
    kept_N = np.ones(len(pilot.trials), dtype=bool)
    for factor in factors:
        kept_N &= np.array([level_index(factor, level) is not None for level in pilot.trials[factor.name].tolist()])
    return pilot.trials[kept_N], int((~kept_N).sum())


def _cells(
    question: SeedQuestion, pilot: Pilot, factors: tuple[Factor, ...], info: ResponseInfo, scale: Scale
) -> tuple[CellData | Refusal, tuple[str, ...]]:
    """Return the pilot's trials as the analysis would take them, and what was left out."""
    data = analysis_input(replace(question, responses=(info,)), pilot.trials, factors, paired=pilot.paired)
    trials = read_trials(data)
    apart = environment_refusal(data, trials)
    if apart is not None:
        return apart, ()
    selection = select(data, trials, info)
    notes = tuple(f"{refusal.what} is left out: {refusal.why}" for refusal in selection.refusals)
    kept_N = selection.kept_N
    if not kept_N.any():
        return Refusal(pilot.name, "It has no trial that can be used.", "Run a pilot first."), notes
    scaled = to_scale(selection.y_N[kept_N], scale, info.response.name)
    if isinstance(scaled, Refusal):
        return scaled, notes
    arranged = cell_data(
        factors,
        trials.cell_N[kept_N],
        trials.replicate_N[kept_N],
        scaled[0],
        paired=pilot.paired,
        transformed=scale != "raw",
    )
    return arranged, (*notes, *([scaled[1]] if scaled[1] else []))


def _aligned(data: CellData, grid: CellData) -> CellData:
    """Return the trials on the study's grid, whose other cells are empty."""
    shape = tuple(len(factor.levels) for factor in grid.factors)
    places = [
        [level_index(wanted, level) for level in have.levels]
        for have, wanted in zip(data.factors, grid.factors, strict=True)
    ]
    kept_M = np.ones(len(data.n_M), dtype=bool)
    cell_M = np.zeros(len(data.n_M), dtype=np.int64)
    for position, place in enumerate(places):
        index_M = np.array([-1 if index is None else index for index in place])[data.level_M(position)]
        kept_M &= index_M >= 0
        cell_M = cell_M * shape[position] + np.maximum(index_M, 0)
    kept_M &= grid.seen_M[cell_M]
    num_cells = len(grid.n_M)
    y_KM = np.full((len(data.y_KM), num_cells), np.nan)
    y_KM[:, cell_M[kept_M]] = data.y_KM[:, kept_M]
    n_M, mean_M, var_M = np.zeros(num_cells, dtype=np.int64), np.full(num_cells, np.nan), np.full(num_cells, np.nan)
    for target, source in ((n_M, data.n_M), (mean_M, data.mean_M), (var_M, data.var_M)):
        target[cell_M[kept_M]] = source[kept_M]
    return replace(data, factors=grid.factors, y_KM=y_KM, n_M=n_M, mean_M=mean_M, var_M=var_M)


def _own_cells(data: CellData, pilot: Pilot, asked: Asked, notes: tuple[str, ...]) -> Observed | Refusal:
    used_M = asked.used_M
    noise = observed_noise(data, used_M, pilot.name)
    if isinstance(noise, Refusal):
        return noise
    complete_K = data.complete_rows(used_M) if data.paired else np.ones(len(data.y_KM), dtype=bool)
    mean_M = np.where(used_M, np.nan_to_num(data.y_KM[complete_K].mean(axis=0) if data.paired else data.mean_M), 0.0)
    correlation = seed_correlation(data.y_KM[complete_K][:, used_M], data.tiny) if data.paired else None
    source = NoiseSource(
        "pilot",
        pilot.name,
        int(complete_K.sum()) if data.paired else int(data.n_M[used_M].min()),
        float(noise.variance_M[used_M].mean()) ** 0.5,
        correlation,
    )
    return Observed(noise, source, mean_M, notes, data.tiny)


def _pooled(data: CellData, pilot: Pilot, asked: Asked, notes: tuple[str, ...]) -> Observed | Refusal:
    refused = no_noise(data, pilot.name)
    if refused is not None:
        return refused
    complete_KM = complete_replicates(data)
    correlation = seed_correlation(complete_KM, data.tiny) if data.paired else None
    sd = (data.ss_within / data.df_within) ** 0.5
    paired_df = None if correlation is None else float((len(complete_KM) - 1) * (complete_KM.shape[1] - 1))
    kept = min(max(correlation or 0.0, 0.0), 0.999)
    noise = assumed_noise(len(asked.grid.n_M), sd, kept, float(data.df_within), paired_df)
    fewest = len(complete_KM) if data.paired else int(data.n_M[data.seen_M].min())
    note = (
        "The pilot has not all cells that the hypothesis needs, so one SD and one correlation, pooled over the cells "
        "that it has, stand for all of them."
    )
    return Observed(
        noise, NoiseSource("pooled pilot", pilot.name, fewest, sd, correlation), None, (note, *notes), data.tiny
    )
