"""Trials in, findings out: the analysis of a study or of any table of results.

``docs/statistics.md`` says which analysis is used when, with sources. This room is the only importer of statsmodels.
"""

from cnnbench.stats.adaptive.choice import choose
from cnnbench.stats.adaptive.stages import stage_input
from cnnbench.stats.adaptive.two_stage import look
from cnnbench.stats.curves import summarise_curves
from cnnbench.stats.engine import analyse
from cnnbench.stats.examples.compare import ABOUT_EXAMPLES, compare_examples
from cnnbench.stats.flat import flat_columns, flat_rows
from cnnbench.stats.interface import AnalysisInput, AssumedNoise, Pilot, SeedQuestion
from cnnbench.stats.multiplicity import holm
from cnnbench.stats.planning.plan import plan_seeds
from cnnbench.stats.proof.prove import prove
from cnnbench.stats.proof.selfcheck import check_installation, checked_cases, summarise_checks
from cnnbench.stats.runs import analyse_run, course_of, run_input, run_spec
from cnnbench.stats.trials.cells import level_index, level_text
from cnnbench.stats.trials.csv_table import read_csv
from cnnbench.stats.trials.table import TableQuestion, read_table

__all__ = [
    "ABOUT_EXAMPLES",
    "AnalysisInput",
    "AssumedNoise",
    "Pilot",
    "SeedQuestion",
    "TableQuestion",
    "analyse",
    "analyse_run",
    "check_installation",
    "checked_cases",
    "choose",
    "compare_examples",
    "course_of",
    "flat_columns",
    "flat_rows",
    "holm",
    "level_index",
    "level_text",
    "look",
    "plan_seeds",
    "prove",
    "read_csv",
    "read_table",
    "run_input",
    "run_spec",
    "stage_input",
    "summarise_checks",
    "summarise_curves",
]
