"""Trials in, findings out: the analysis of a study or of any table of results.

``docs/statistics.md`` says which analysis is used when, with sources. This room is the only importer of statsmodels.
"""

from cnnbench.stats.curves import summarise_curves
from cnnbench.stats.engine import analyse
from cnnbench.stats.flat import flat_columns, flat_rows
from cnnbench.stats.interface import AnalysisInput, AssumedNoise, Pilot, SeedQuestion
from cnnbench.stats.planning.plan import plan_seeds
from cnnbench.stats.trials.table import TableQuestion, read_table

__all__ = [
    "AnalysisInput",
    "AssumedNoise",
    "Pilot",
    "SeedQuestion",
    "TableQuestion",
    "analyse",
    "flat_columns",
    "flat_rows",
    "plan_seeds",
    "read_table",
    "summarise_curves",
]
