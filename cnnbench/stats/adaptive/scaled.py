"""One response of finished trials on the analysis scale, for a decision: the same way as the analysis takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench.stats.effects.answers import Setting
from cnnbench.stats.trials.cells import cell_data
from cnnbench.stats.trials.environments import environment_refusal
from cnnbench.stats.trials.prepare import read_trials, scale_for, select, to_scale
from cnnbench.types import Refusal

if TYPE_CHECKING:
    from cnnbench.stats.interface import AnalysisInput
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.types import ResponseInfo


@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """Trials of one response, and how it is analysed."""

    cells: CellData
    setting: Setting


def scaled(data: AnalysisInput, info: ResponseInfo) -> Scaled | Refusal:
    """Put the trials of a response on the analysis scale.

    Raises:
        AnalysisError: As `analyse` does.
    """
    trials = read_trials(data)
    apart = environment_refusal(data, trials)
    if apart is not None:
        return apart
    selection = select(data, trials, info)
    kept_N = selection.kept_N
    if not kept_N.any():
        return Refusal("the decision", "No trial has finished.", "See why the trials failed.")
    scale, _ = scale_for(data, info)
    on_scale = to_scale(selection.y_N[kept_N], scale, info.response.name)
    if isinstance(on_scale, Refusal):
        return on_scale
    cells = cell_data(
        data.factors,
        trials.cell_N[kept_N],
        trials.replicate_N[kept_N],
        on_scale[0],
        paired=data.paired,
        transformed=scale != "raw",
    )
    setting = Setting(info, scale, data.analysis.alpha, None, data.paired, data.confirmatory, data.factors)
    return Scaled(cells, setting)
