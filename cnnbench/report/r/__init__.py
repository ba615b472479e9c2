"""An R script that reproduces a report's tables from the exported trials: a second opinion by other people's code."""

from cnnbench.report.r.script import Exported, exported_table, exported_trials, r_script

__all__ = ["Exported", "exported_table", "exported_trials", "r_script"]
