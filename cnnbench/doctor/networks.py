"""The checks that compute with networks, within a budget of seconds."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch

from cnnbench.doctor.batch import ONE_BATCH, check_batch
from cnnbench.doctor.evaluation import EVALUATION, check_evaluation
from cnnbench.doctor.probe import GENERALISES, check_training
from cnnbench.doctor.start import FIRST_LOSS, check_start
from cnnbench.environment import tune_torch
from cnnbench.errors import CnnbenchError
from cnnbench.train.loop import Training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cnnbench.doctor.check import Check
    from cnnbench.doctor.subjects import NetworkSubject, Subjects
    from cnnbench.registry import Registry
    from cnnbench.types import Diagnosis

_SHARES = {"first losses": 0.25, "one batch": 0.6, "short training": 1.0}
"""Share of the budget that may be used up when these checks are done."""


def check_networks(
    subjects: Subjects,
    registry: Registry,
    device: str,
    budget_s: float,
    progress: Callable[[str, int, int], None] | None,
) -> Iterator[Diagnosis]:
    """Yield the first loss, one batch, evaluation and a short training of the study's networks."""
    tune_torch()  # as trials do: what deterministic algorithms lack shows here, too
    bench = _Bench(registry, torch.device(device), budget_s, progress)
    dividable = {one.name for one in subjects.data if one.splits}
    learners = [one for one in subjects.learners if one.data.name in dividable]
    first_of = {one.data.name: one for one in reversed(learners)}
    yield from bench.first_losses([one for one in subjects.beginnings if one.data.name in dividable])
    yield from bench.batches(learners)
    yield from bench.short_trainings(list(reversed(first_of.values())))


class _Bench:
    def __init__(
        self,
        registry: Registry,
        device: torch.device,
        budget_s: float,
        progress: Callable[[str, int, int], None] | None,
    ) -> None:
        self._registry, self._device, self._budget_s, self._progress = registry, device, budget_s, progress
        self._started = time.perf_counter()

    def first_losses(self, networks: Sequence[NetworkSubject]) -> Iterator[Diagnosis]:
        for network, seconds in self._timed(networks, "first losses"):
            if seconds <= 0:
                yield self._no_time(FIRST_LOSS, network)
                continue
            try:
                yield check_start(network, self._training(network))
            except Exception as error:  # noqa: BLE001 - whatever a component raises is what is wrong with it
                yield _raised(FIRST_LOSS, network, error)

    def batches(self, networks: Sequence[NetworkSubject]) -> Iterator[Diagnosis]:
        """Let each network learn one batch, and evaluate what has learnt it; each model once."""
        evaluated: set[str] = set()
        for network, seconds in self._timed(networks, "one batch"):
            if seconds <= 0:
                yield self._no_time(ONE_BATCH, network)
                continue
            check = ONE_BATCH
            try:
                training = self._training(network)
                yield check_batch(network, training, seconds)
                check = EVALUATION
                model = repr(training.model)
                if model not in evaluated:
                    evaluated.add(model)
                    yield check_evaluation(network, training)
            except Exception as error:  # noqa: BLE001 - see above
                yield _raised(check, network, error)

    def short_trainings(self, networks: Sequence[NetworkSubject]) -> Iterator[Diagnosis]:
        for network, seconds in self._timed(networks, "short training"):
            if seconds <= 0:
                yield self._no_time(GENERALISES, network)
                continue
            try:
                yield check_training(network, self._registry, self._device, seconds)
            except Exception as error:  # noqa: BLE001 - see above
                yield _raised(GENERALISES, network, error)

    def _timed(self, networks: Sequence[NetworkSubject], what: str) -> Iterator[tuple[NetworkSubject, float]]:
        """Yield each network with the seconds that it may take: what is left is shared among those to come."""
        for index, network in enumerate(networks):
            left = self._budget_s * _SHARES[what] - (time.perf_counter() - self._started)
            yield network, left / (len(networks) - index)
            if self._progress is not None:
                self._progress(what, index + 1, len(networks))

    def _training(self, network: NetworkSubject) -> Training:
        return Training(network.trial, self._registry, network.data.prepared, self._device)

    def _no_time(self, check: Check, network: NetworkSubject) -> Diagnosis:
        return check.says(
            "not applicable",
            network.name,
            f"The {math.ceil(self._budget_s)} s for checks that compute with networks are used up.",
            "Give them more seconds with --budget, or a GPU with --device.",
        )


def _raised(check: Check, network: NetworkSubject, error: Exception) -> Diagnosis:
    if isinstance(error, CnnbenchError):
        return check.says("fault", network.name, "The check could not be made.", str(error))
    what = (str(error).splitlines() or [""])[0]
    return check.says(
        "fault",
        network.name,
        f"{type(error).__name__}: {what}",
        "A trial would fail in the same way: mend the component, or the study's settings of it.",
    )
