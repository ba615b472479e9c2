"""Trials in, findings out: the analysis of a study or of any table of results.

``docs/statistics.md`` says which analysis is used when, with sources. This room is the only importer of statsmodels.
"""

from cnnbench.stats.curves import summarise_curves
from cnnbench.stats.engine import analyse
from cnnbench.stats.examples.compare import ABOUT_EXAMPLES, compare_examples
from cnnbench.stats.flat import flat_columns, flat_rows
from cnnbench.stats.interface import AnalysisInput
from cnnbench.stats.multiplicity import holm
from cnnbench.stats.trials.cells import level_text
from cnnbench.stats.trials.table import TableQuestion, read_table

__all__ = [
    "ABOUT_EXAMPLES",
    "AnalysisInput",
    "TableQuestion",
    "analyse",
    "compare_examples",
    "flat_columns",
    "flat_rows",
    "holm",
    "level_text",
    "read_table",
    "summarise_curves",
]
