"""What the report reads from the study file itself: declarations that the findings do not repeat.

The file was validated before the study ran; here a missing or odd value only means that nothing is drawn.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Declared:
    """Declarations of the analysis plan that figures show."""

    margin: float | None
    """Smallest effect of interest, on the analysis scale."""
    of_interest: str | None
    """The factor of the primary hypothesis."""
    metric: str
    """The metric that the response is read from; empty where the file does not say."""


def declared(study_toml: str, profile: str | None) -> Declared:
    """Read the analysis plan of ``study_toml`` under ``profile``."""
    try:
        study = tomllib.loads(study_toml)
    except tomllib.TOMLDecodeError:
        return Declared(None, None, "")
    plan = dict(_part(study, "analysis"))
    if profile is not None:
        plan |= _part(_part(_part(study, "profiles"), profile), "analysis")
    margin = plan.get("equivalence_margin")
    primary = _part(plan, "primary")
    factors = primary.get("interaction") or primary.get("slope") or [None]
    of_interest = primary.get("over") or (factors[-1] if isinstance(factors, list) and factors else None)
    response = str(plan.get("response", ""))
    metric = _part(_part(study, "responses"), response).get("metric", response)
    return Declared(
        margin=float(margin) if isinstance(margin, (int, float)) and margin > 0 else None,
        of_interest=of_interest if isinstance(of_interest, str) else None,
        metric=str(metric),
    )


def _part(table: dict[str, Any], key: str) -> dict[str, Any]:
    value = table.get(key)
    return value if isinstance(value, dict) else {}
