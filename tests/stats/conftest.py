"""Studies made of bare numbers, and R's answers to hold the results against."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cnnbench.spec import AnalysisSpec
from cnnbench.stats import AnalysisInput
from cnnbench.stats.trials.cells import CellData, cell_data
from cnnbench.types import Factor, Response, ResponseInfo

ORACLE = Path(__file__).parent / "oracle"


@dataclass(frozen=True)
class Case:
    """Trials with R's answers."""

    frame: pd.DataFrame
    factors: tuple[Factor, ...]
    r: dict[str, Any]

    def cells(self, *, paired: bool = False) -> CellData:
        """Return the trials as the table that the tests of single methods work on."""
        index = [[factor.levels.index(level) for level in self.frame[factor.name]] for factor in self.factors]
        cell_N = np.ravel_multi_index(index, [len(factor.levels) for factor in self.factors])
        y_N = self.frame["accuracy"].to_numpy(dtype=float)
        return cell_data(self.factors, cell_N, self.frame["replicate"].to_numpy(), y_N, paired=paired)


Oracle = Callable[[str], Case]
Same = Callable[..., bool]
MakeResponse = Callable[..., ResponseInfo]
MakeStudy = Callable[..., AnalysisInput]
Simulate = Callable[..., pd.DataFrame]


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    def load(name: str) -> Case:
        frame = pd.read_csv(next(ORACLE.glob(f"{name}_*.csv"))).rename(columns={"seed": "replicate"})
        frame["trial_id"] = [f"trial{i:03d}" for i in range(len(frame))]
        frame["concurrent_trials"] = 1
        frame["environment_key"] = "here"
        factors = tuple(
            Factor(column, tuple(sorted(frame[column].unique().tolist())), "log2")
            for column in ("depth", "size")
            if len(set(frame[column])) > 1
        )
        answers = json.loads(next(ORACLE.glob(f"{name}_*.json")).read_text(encoding="utf-8"))
        return Case(frame, factors, answers["results"])

    return load


@pytest.fixture(scope="session")
def same() -> Same:
    """Whether two figures agree to R's digits: a relative 1e-8, tiny p values on their logarithm."""

    def compare(ours: float | None, theirs: float, rel: float = 1e-8) -> bool:
        assert ours is not None
        if 0 < theirs < 1e-15:
            return abs(log10(ours) - log10(theirs)) <= 1e-6 * abs(log10(theirs))
        return ours == pytest.approx(theirs, rel=rel, abs=1e-14)

    return compare


@pytest.fixture(scope="session")
def response() -> MakeResponse:
    def make(name: str = "accuracy", **changes: Any) -> ResponseInfo:
        values = {
            "response": Response(name, name),
            "long_name": "Accuracy" if name == "accuracy" else name.capitalize(),
            "unit": "1",
            "higher_is_better": True,
            "bounded": "unit",
            "uses_time": False,
        }
        return ResponseInfo(**(values | changes))

    return make


@pytest.fixture(scope="session")
def study(response: MakeResponse) -> MakeStudy:
    """Make the input of an analysis from a table; keywords replace fields, and those of the analysis plan."""

    def make(frame: pd.DataFrame, factors: tuple[Factor, ...], **changes: Any) -> AnalysisInput:
        plan = {key: changes.pop(key) for key in list(changes) if key in AnalysisSpec.model_fields}
        values: dict[str, Any] = {
            "study": "demo",
            "question": "Does it matter?",
            "factors": factors,
            "trials": frame,
            "analysis": AnalysisSpec(**plan),
            "responses": (response(),),
            "references": (),
            "paired": True,
            "replicates": 5,
            "exclusions": (),
            "failures": (),
            "pending": 0,
            "confirmatory": True,
        }
        return AnalysisInput(**(values | changes))

    return make


@pytest.fixture(scope="session")
def simulate() -> Simulate:
    """Draw a full factorial of trials around ``mean(levels by factor)``."""

    def draw(
        factors: tuple[Factor, ...],
        mean: Callable[[dict[str, Any]], float],
        *,
        n: int = 5,
        sd: float = 0.01,
        seed_sd: float = 0.0,
        seed: int = 1,
    ) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        of_seed = rng.normal(0, seed_sd, n)
        rows = []
        for levels in product(*(factor.levels for factor in factors)):
            cell = {factor.name: level for factor, level in zip(factors, levels, strict=True)}
            for k in range(n):
                value = mean(cell) + of_seed[k] + rng.normal(0, sd)
                rows.append({**cell, "replicate": k, "accuracy": value})
        frame = pd.DataFrame(rows)
        frame["trial_id"] = [f"trial{i:03d}" for i in range(len(frame))]
        frame["concurrent_trials"] = 1
        frame["environment_key"] = "here"
        return frame

    return draw
