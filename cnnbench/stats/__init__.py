"""Trials in, findings out: the analysis of a study.

``docs/statistics.md`` says which analysis is used when, with sources. This room is the only importer of statsmodels.
"""

from cnnbench.stats.curves import summarise_curves
from cnnbench.stats.engine import analyse
from cnnbench.stats.interface import AnalysisInput

__all__ = ["AnalysisInput", "analyse", "summarise_curves"]
