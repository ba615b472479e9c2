"""Frozen values that cross rooms; no behaviour.

``plan`` holds what is decided before anything runs, ``results`` what a trial returns, ``findings`` what the analysis
concludes, and ``view`` what a report is written from.
"""

from cnnbench.types.findings import (
    Cell,
    Claim,
    Classical,
    DesignAudit,
    Effect,
    Findings,
    Interval,
    ReferenceCheck,
    Refusal,
    ResponseFindings,
    TestRow,
    TestTable,
    Verdict,
)
from cnnbench.types.plan import (
    STREAMS,
    DatasetInfo,
    Exclusion,
    Factor,
    Level,
    Plan,
    Response,
    ResponseInfo,
    Stream,
    Trial,
)
from cnnbench.types.results import (
    Cost,
    EpochRecord,
    MetricInfo,
    Predictions,
    TrialFailure,
    TrialOutcome,
    TrialResult,
)
from cnnbench.types.view import ClassReport, ClassRow, Curve, Declared, Figure, Section, SectionTable, StudyView

__all__ = [
    "STREAMS",
    "Cell",
    "Claim",
    "ClassReport",
    "ClassRow",
    "Classical",
    "Cost",
    "Curve",
    "DatasetInfo",
    "Declared",
    "DesignAudit",
    "Effect",
    "EpochRecord",
    "Exclusion",
    "Factor",
    "Figure",
    "Findings",
    "Interval",
    "Level",
    "MetricInfo",
    "Plan",
    "Predictions",
    "ReferenceCheck",
    "Refusal",
    "Response",
    "ResponseFindings",
    "ResponseInfo",
    "Section",
    "SectionTable",
    "Stream",
    "StudyView",
    "TestRow",
    "TestTable",
    "Trial",
    "TrialFailure",
    "TrialOutcome",
    "TrialResult",
    "Verdict",
]
