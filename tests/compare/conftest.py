"""Run folders made by hand: every answer to every example is known."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnbench.spec import StudySpec
from cnnbench.store import RunFolder
from cnnbench.types import (
    Cost,
    EpochRecord,
    Factor,
    MetricInfo,
    Predictions,
    Response,
    ResponseInfo,
    Trial,
    TrialResult,
)

MakeRun = Callable[..., str]
Answers = Mapping[tuple[Any, int], str]
"""(level of the factor, replicate) -> which examples are right, as a string of 1 and 0."""

SPEC = """
format = 1
name = "made"
question = "Which?"
[trial]
model = { use = "plain" }
dataset = { use = "digits" }
split = { validation = 0.25 }
optimizer = { use = "sgd", lr = 0.05 }
batch_size = 16
metrics = ["accuracy"]
[[trial.phases]]
name = "only"
epochs = 1
size_px = 8
"""
ACCURACY = ResponseInfo(
    Response("accuracy", "accuracy"), "Accuracy", "1", higher_is_better=True, bounded="unit", uses_time=False
)


def result(trial: Trial, right: str, split: str, first_example: int, environment: Mapping[str, Any]) -> TrialResult:
    right_N = np.array([digit == "1" for digit in right])
    label_N = np.arange(len(right)) % 3
    logits_NK = np.eye(3, dtype=np.float32)[np.where(right_N, label_N, (label_N + 1) % 3)]
    example_N = np.arange(len(right)) + first_example
    predictions = Predictions(split, "plain", example_N, label_N, logits_NK)
    values = {f"{split}_accuracy": np.asarray(right_N.mean())}
    metric = MetricInfo(f"{split}_accuracy", "accuracy", split, "plain", (), "1", "Accuracy", higher_is_better=True)
    epoch = EpochRecord(0, "only", 8, 0.1, 1.0, 1.0, 1e6, values)
    cost = Cost(1.0, 1.0, 0.1, 1.2, 1e6, 10, 2**20, 1, resumed=False)
    return TrialResult(trial, (epoch,), (metric,), ("x", "y", "z"), (predictions,), cost, environment)


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Write a run folder; the keywords say how it differs from another."""

    def make(
        name: str,
        answers: Answers,
        *,
        factor: str | None = "model",
        base_seed: int = 0,
        fingerprint: str = "f" * 64,
        split: str = "test",
        first_example: int = 0,
        torch: str = "9.9",
        **trial: Any,
    ) -> str:
        folder = RunFolder(tmp_path / name)
        folder.create()
        spec = tomllib.loads(SPEC)
        spec["trial"] |= trial
        levels = tuple(dict.fromkeys(level for level, _ in answers))
        factors = [Factor(factor, levels)] if factor else []
        trials = []
        for number, ((level, replicate), right) in enumerate(answers.items()):
            cell = {factor: level} if factor else {}
            identity = f"{name.encode().hex()}{number:04x}".rjust(64, "0")
            seeds = dict.fromkeys(("split", "init", "order", "augment", "dropout"), base_seed + replicate)
            one = Trial(identity, "made", cell, replicate, seeds, {}, fingerprint, 1e6, (1e3,))
            folder.save(result(one, right, split, first_example, {"device": "a CPU", "torch": torch}))
            trials.append({"id": identity, "cell": cell, "replicate": replicate, "flops": 1e6})
        plan = {
            "study": "made",
            "profile": None,
            "assignments": [],
            "replicates": 1 + max(replicate for _, replicate in answers),
            "factors": [asdict(each) for each in factors],
            "responses": [asdict(ACCURACY)],
            "exclusions": [],
            "datasets": {},
            "spec": StudySpec.model_validate(spec).model_dump(mode="json"),
            "trials": trials,
        }
        folder.write_json("plan.json", plan)
        folder.write_json("environment.json", {"python": "3.11", "packages": {"torch": torch}})
        return str(folder.path)

    return make
