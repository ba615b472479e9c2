"""Trials in, findings out: the analysis of a study or of any table of results.

``docs/statistics.md`` says which analysis is used when, with sources. This room is the only importer of statsmodels.
"""

from cnnbench.stats.adaptive.choice import choose
from cnnbench.stats.adaptive.stages import stage_input
from cnnbench.stats.adaptive.two_stage import look
from cnnbench.stats.curves import summarise_curves
from cnnbench.stats.engine import analyse
from cnnbench.stats.flat import flat_columns, flat_rows
from cnnbench.stats.interface import AnalysisInput
from cnnbench.stats.runs import analyse_run, course_of, run_input, run_spec
from cnnbench.stats.trials.table import TableQuestion, read_table

__all__ = [
    "AnalysisInput",
    "TableQuestion",
    "analyse",
    "analyse_run",
    "choose",
    "course_of",
    "flat_columns",
    "flat_rows",
    "look",
    "read_table",
    "run_input",
    "run_spec",
    "stage_input",
    "summarise_curves",
]
