"""Every figure of a report, drawn without a browser and without a network."""

from cnnbench.report.figures.cells import cells_figure, marginals_figure
from cnnbench.report.figures.curves import curve_layout, curves_figure, phases
from cnnbench.report.figures.diagnostics import diagnostics_figure
from cnnbench.report.figures.drawing import Drawing, draw, interactive_bundle
from cnnbench.report.figures.effects import effects_figure, references_figure
from cnnbench.report.figures.layout import Layout, arrange
from cnnbench.report.figures.power import power_figure
from cnnbench.report.figures.ranks import ranks_figure
from cnnbench.report.figures.theme import dark_rules

__all__ = [
    "Drawing",
    "Layout",
    "arrange",
    "cells_figure",
    "curve_layout",
    "curves_figure",
    "dark_rules",
    "diagnostics_figure",
    "draw",
    "effects_figure",
    "interactive_bundle",
    "marginals_figure",
    "phases",
    "power_figure",
    "ranks_figure",
    "references_figure",
]
