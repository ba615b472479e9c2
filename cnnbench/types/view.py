"""What a report is written from, and what a report section returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from cnnbench.types.findings import Findings
    from cnnbench.types.plan import Factor, Level
    from cnnbench.types.results import TrialFailure


@dataclass(frozen=True, slots=True)
class Curve:
    """A scalar metric over the epochs of one cell, summarised over replicates."""

    name: str
    """Name of the value, e.g. ``validation_accuracy``."""
    long_name: str
    unit: str
    cell: Mapping[str, Level]
    epoch: Sequence[int]
    phase: Sequence[str]
    size_px: Sequence[int]
    mean: Sequence[float]
    low: Sequence[float]
    """Lower limit of the pointwise 95 % t interval over replicates; equals the mean where there is only one."""
    high: Sequence[float]
    n: int


@dataclass(frozen=True, slots=True)
class Declared:
    """Declarations of the analysis plan that figures show."""

    margin: float | None = None
    """Smallest effect of interest, on the scale of the primary response."""
    of_interest: str | None = None
    """The factor of the primary hypothesis."""
    metric: str = ""
    """The metric that the primary response is read from."""


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A line of a classification report: a class, or a summary over classes."""

    name: str
    scores: Mapping[str, tuple[float, float, float]]
    """``precision_by_class``, ``recall_by_class``, ``f1_by_class`` -> mean, smallest and largest over trials; the
    accuracy stands under the last of them, as scikit-learn's report has it."""
    support: tuple[float, float, float]
    """Examples of the class in the part, likewise: splits of different trials may differ."""
    summary: bool = False


@dataclass(frozen=True, slots=True)
class ClassReport:
    """The classification report of one cell, where its primary response is read."""

    cell: Mapping[str, Level]
    split: str
    """``validation`` or ``test``."""
    n: int
    """Trials."""
    rows: tuple[ClassRow, ...]


@dataclass(frozen=True, slots=True)
class StudyView:
    """A finished (or interrupted) study as its report sees it."""

    name: str
    question: str
    profile: str | None
    study_toml: str
    """The study file, as text."""
    assignments: tuple[str, ...]
    """What ``--set`` changed in it, as ``path=value``."""
    declared: Declared
    factors: tuple[Factor, ...]
    findings: Findings
    trials: pd.DataFrame
    """One row per finished trial: trial_id, a column per factor, replicate, a column per response, cost columns."""
    curves: tuple[Curve, ...]
    failures: tuple[TrialFailure, ...]
    environment: Mapping[str, Any]
    run_dir: str
    r_script: str = ""
    """R code that reproduces the tables from ``trials.csv``; empty for none."""
    class_reports: tuple[ClassReport, ...] = ()
    """One for each cell whose trials recorded support and scores of each class."""


@dataclass(frozen=True, slots=True)
class SectionTable:
    """A table of a report section; numbers are formatted by the report, strings stay as they are."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a report section."""

    caption: str
    vega_lite: Mapping[str, Any]
    """A Vega-Lite specification with its data inline (`altair.Chart.to_dict()`)."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report: text first, then tables, then figures."""

    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[SectionTable, ...] = ()
    figures: tuple[Figure, ...] = ()
