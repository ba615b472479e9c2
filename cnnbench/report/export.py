"""Findings and trials as files for other programs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from cnnbench.types import StudyView

FORMAT = 1
"""Version of ``findings.json``; raised when a key changes its meaning or goes."""


def findings_json(view: StudyView) -> str:
    """The findings as JSON, each number with all its digits; NaN and infinities as null.

    Keys at the top: ``format`` (this layout's version), ``profile``, and the fields of `cnnbench.types.Findings`:
    ``study``, ``question``, ``alpha``, ``confirmatory``, ``responses``, ``exclusions``, ``references``, ``claims``,
    ``versions``, ``null_rate``, ``self_check``. Below them every key is the field of the value it comes from (see
    `cnnbench.types`).
    """
    document = {"format": FORMAT, "profile": view.profile, **plain(view.findings)}
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def trials_csv(trials: pd.DataFrame) -> str:
    """The trials table as CSV: UTF-8, one row per finished trial, floats with all their digits."""
    text: str = trials.to_csv(index=False, lineterminator="\n")
    return text


def plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str):
        return [plain(item) for item in value]
    scalar = value.item() if isinstance(value, np.generic) else value
    if isinstance(scalar, float):
        return scalar if math.isfinite(scalar) else None
    return scalar if scalar is None or isinstance(scalar, (str, int)) else str(scalar)
