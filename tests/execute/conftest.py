"""Runs with made-up results: each trial has the accuracy that a test gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import cnnbench.execute.study as running
from cnnbench.execute import RunOptions, RunSummary, Session, open_session, run_session
from cnnbench.registry import Registry
from cnnbench.spec import load_study
from cnnbench.types import Cost, EpochRecord, MetricInfo, Trial, TrialFailure, TrialOutcome, TrialResult

Accuracy = Callable[[Trial], float | None]
"""The accuracy that a trial ends with; None where it fails."""
MakeSession = Callable[..., Session]
Run = Callable[..., RunSummary]


def outcome_of(trial: Trial, accuracy: float | None) -> TrialOutcome:
    if accuracy is None:
        return TrialFailure(trial, "Diverged", "the loss became nan", "", 0)
    metric = MetricInfo(
        "validation_accuracy", "accuracy", "validation", "plain", (), "1", "Accuracy", higher_is_better=True
    )
    record = EpochRecord(0, "main", 8, 0.1, 1.0, 1.0, 1e6, {"validation_accuracy": np.asarray(accuracy)})
    cost = Cost(1.0, 1.0, 0.5, 2.0, 1e6, 100, 2**20, 1, resumed=False)
    facts = {"device_type": "cpu", "torch": "9.9"}
    return TrialResult(trial, (record,), (metric,), ("ant", "bee"), (), cost, facts, found_lr=None)


@pytest.fixture
def session_of(
    tmp_path: Path, registry: Registry, options: RunOptions, growing_study: Callable[[str, str], str]
) -> MakeSession:
    """Write a study's tables from ``[factors]`` on, and plan it."""

    def make(tables: str, *assignments: str, options: RunOptions = options) -> Session:
        path = tmp_path / "grows.toml"
        path.write_text(growing_study("grows", tables), "utf-8")
        study = load_study(path, check_component=registry.check, assignments=assignments)
        return open_session(study, registry, options)

    return make


@pytest.fixture
def run(registry: Registry, options: RunOptions, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a session with made-up results; ``most`` trials, then Ctrl-C."""

    def go(
        session: Session, accuracy: Accuracy, *observers: object, most: int = 10_000, options: RunOptions = options
    ) -> RunSummary:
        left = iter(range(most))

        def outcomes(session: Session, *_: object) -> Iterator[TrialOutcome]:
            for trial in session.pending:
                if next(left, None) is None:
                    raise KeyboardInterrupt
                yield outcome_of(trial, accuracy(trial))

        monkeypatch.setattr(running, "_outcomes", outcomes)
        return run_session(session, registry, options, registry.observers(*observers))

    return go
