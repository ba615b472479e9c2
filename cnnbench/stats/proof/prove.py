"""Findings with the proofs that a report owes its reader."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench.stats.proof.null_rate import null_rate
from cnnbench.stats.proof.selfcheck import check_installation
from cnnbench.types import Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.stats.interface import AnalysisInput
    from cnnbench.types import Findings


def prove(data: AnalysisInput, findings: Findings, cache: Path | None = None) -> Findings:
    """Add the measured null rate of the design, and this installation's error beside R.

    ``findings`` are those of ``data``. Both proofs are kept in the folder ``cache``. Where there is no primary test to
    measure, a refusal of the primary response says so; a sequential design has no single one, and its choices carry
    their own uncertainty.

    Raises:
        AnalysisError: As `cnnbench.stats.analyse`.
    """
    proved = replace(findings, self_check=check_installation(cache))
    if findings.stages:
        return proved
    measured = null_rate(data, cache)
    if not isinstance(measured, Refusal):
        return replace(proved, null_rate=measured)
    first, *others = proved.responses
    refused = replace(first, refusals=(*first.refusals, measured))
    return replace(proved, responses=(refused, *others))
