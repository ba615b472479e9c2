"""This installation of numpy, scipy and statsmodels, held against R's answers and NIST's certified values.

Libraries change, and a build for one processor may differ from that for another. `cases.json` holds trials with what R
4.2.2 (car, emmeans, afex, effectsize, welchADF) makes of them, under the names of the findings, and one-way sets of
NIST's Statistical Reference Datasets with their certified F.
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from math import isfinite, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cnnbench.spec import AnalysisSpec
from cnnbench.stats.engine import analyse
from cnnbench.stats.flat import flat_rows
from cnnbench.stats.interface import AnalysisInput
from cnnbench.stats.proof.cache import keep, kept
from cnnbench.types import Factor, Response, ResponseInfo, SelfCheck

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.types import Findings

_CASES = Path(__file__).with_name("cases.json")
TOLERANCE = 1e-8
"""Relative; R's answers have 15 digits."""
TUKEY_TOLERANCE = 1e-6
"""Absolute: R itself computes the studentized range to no more."""
LIMIT_TOLERANCE = 1e-7
"""Relative, limits of partial eta squared: R finds them by a search that ends there."""
TINY_P = 1e-15
"""Smaller p values are compared by their logarithms, with a relative 1e-6: only their size means anything."""
TINY_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class CheckedCase:
    """One analysis beside R's, or NIST's certified F of one set."""

    name: str
    figures: int
    worst_error: float
    worst_figure: str
    failed: tuple[str, ...]
    """Figures beyond their tolerance."""
    certified_digits: float | None = None
    """Correct digits of F; None for R's cases."""


def check_installation(cache: Path | None = None) -> SelfCheck:
    """Return how this installation does, from the folder ``cache`` where the same versions were checked before."""
    name = f"self-check-{_key()}.json"
    found = kept(cache, name)
    if found is not None:
        return SelfCheck(**{**found, "failed": tuple(found["failed"])})
    made = summarise_checks(checked_cases())
    keep(cache, name, {field: getattr(made, field) for field in SelfCheck.__dataclass_fields__})
    return made


def summarise_checks(cases: list[CheckedCase]) -> SelfCheck:
    """Gather the worst of all cases."""
    by_r = [case for case in cases if case.certified_digits is None]
    digits = [case.certified_digits for case in cases if case.certified_digits is not None]
    worst = max(by_r, key=lambda case: case.worst_error)
    failed = tuple(f"{case.name}: {figure}" for case in cases for figure in case.failed)
    reference, figures = _document()["reference"], sum(case.figures for case in by_r)
    beside_r = (
        f"Against {reference} on {figures:,} figures of {len(by_r)} cases the worst relative error of this "
        f"installation is {worst.worst_error:.1e} ({worst.name}: {worst.worst_figure})."
    )
    words = [
        beside_r,
        "Not counted there, as R itself finds them by iteration: Tukey's p and the limits of partial eta squared.",
        f"The certified F of {len(digits)} NIST sets is met to {min(digits):.1f} digits or more.",
    ]
    if failed:
        words.append(
            f"{len(failed)} of these figures are beyond their tolerance: numbers of this report may be wrong. "
            "See `cnnbench selfcheck`."
        )
    return SelfCheck(
        reference,
        len(by_r),
        figures,
        worst.worst_error,
        f"{worst.name}: {worst.worst_figure}",
        failed,
        min(digits),
        len(digits),
        " ".join(words),
    )


def checked_cases() -> list[CheckedCase]:
    """Analyse every case anew."""
    document = _document()
    return [_beside_r(case) for case in document["cases"]] + [_certified(one) for one in document["certified"]]


def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_CASES.read_text("utf-8"))
    return document


def _key() -> str:
    libraries = [f"{name} {version(name)}" for name in ("cnnbench", "numpy", "pandas", "scipy", "statsmodels")]
    place = [platform.python_version(), platform.machine(), platform.system()]
    return hashlib.sha256("\0".join([*libraries, *place, _CASES.read_text("utf-8")]).encode()).hexdigest()


def _findings(
    trials: Mapping[str, list[Any]], factors: list[str], analysis: dict[str, Any], *, paired: bool
) -> Findings:
    frame = pd.DataFrame({**trials, "concurrent_trials": 1, "environment_key": "here"})
    frame["trial_id"] = [f"trial {i}" for i in range(len(frame))]
    ordered = tuple(Factor(name, tuple(sorted(set(trials[name]))), "log2") for name in factors)
    response = ResponseInfo(Response("accuracy", "accuracy"), "Accuracy", "1", None, "none", uses_time=False)
    return analyse(
        AnalysisInput(
            study="self-check",
            question="Does this installation compute what R computes?",
            factors=ordered,
            trials=frame,
            analysis=AnalysisSpec.model_validate(analysis),
            responses=(response,),
            references=(),
            paired=paired,
            replicates=1,
            exclusions=(),
            failures=(),
            pending=0,
            confirmatory=True,
        )
    )


def _beside_r(case: dict[str, Any]) -> CheckedCase:
    trials = dict(case["trials"])
    trials["replicate"] = trials.pop("seed")
    ours = computed(_findings(trials, case["factors"], case["analysis"], paired=case["paired"]))
    worst, worst_figure, failed = 0.0, "", []
    for table, key, field, theirs in case["figures"]:
        shown = f"{table} {key} {field}"
        error, tolerance = _error(ours.get((table, key, field)), theirs, field)
        if tolerance == TOLERANCE and error >= worst:
            worst, worst_figure = error, shown
        if not error <= tolerance:
            failed.append(shown)
    return CheckedCase(case["name"], len(case["figures"]), worst, worst_figure, tuple(failed))


def computed(findings: Findings) -> dict[tuple[str, str, str], float]:
    """Return the numbers of a one-response analysis by table, key and field, as `cases.json` names them."""
    numbers: dict[tuple[str, str, str], float] = {}
    for row in flat_rows(findings):
        table = row["table"] or "effects"
        numbers |= {
            (table, row["key"], field): float(value) for field, value in row.items() if isinstance(value, int | float)
        }
    for kind in ("cells", "marginals"):
        for cell in getattr(findings.responses[0], kind):
            key = ",".join(f"{name}={level}" for name, level in cell.levels.items())
            limits = (None, None) if cell.interval is None else (cell.interval.low, cell.interval.high)
            fields = zip(("mean", "sd", "interval_low", "interval_high"), (cell.mean, cell.sd, *limits), strict=True)
            numbers |= {(kind, key, field): value for field, value in fields if value is not None}
    return numbers


def _error(ours: float | None, theirs: float, field: str) -> tuple[float, float]:
    """Return the error of a figure and what it may be; infinite where there is no such figure."""
    if ours is None or not isfinite(ours):
        return float("inf"), TOLERANCE
    if field == "classical_p_tukey":
        return abs(ours - theirs), TUKEY_TOLERANCE
    if 0 < theirs < TINY_P:
        return abs(log10(ours) / log10(theirs) - 1) if ours > 0 else float("inf"), TINY_TOLERANCE
    tolerance = LIMIT_TOLERANCE if field.startswith("partial_eta_sq_interval") else TOLERANCE
    return abs(ours - theirs) / abs(theirs) if theirs else abs(ours), tolerance


def _certified(one: dict[str, Any]) -> CheckedCase:
    trials = {"group": one["group"], "accuracy": one["y"], "replicate": list(range(len(one["y"])))}
    ours = computed(_findings(trials, ["group"], {}, paired=False))["anova_type3", "group", "statistic"]
    error = abs(ours / float(one["f"]) - 1)
    digits = 15.0 if error < 1e-15 else -log10(error)
    figure = "anova_type3 group statistic"
    return CheckedCase(f"NIST {one['name']}", 1, error, figure, () if digits >= one["digits"] else (figure,), digits)
