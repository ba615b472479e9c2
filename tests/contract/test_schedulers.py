"""What holds for every learning-rate schedule, with its default parameters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cnnbench.plugin import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnbench.plugin import Scheduler


def phases() -> Iterator[list[Progress]]:
    for epochs in (1, 2, 7, 30):
        for steps_per_epoch in (1, 3, 10):
            total = epochs * steps_per_epoch
            yield [Progress(step, total, steps_per_epoch) for step in range(total)]


def test_the_multiplier_is_a_finite_number_of_at_least_0(scheduler: Scheduler):
    for phase in phases():
        values = [scheduler.multiplier(progress) for progress in phase]
        assert all(isinstance(value, float) and math.isfinite(value) and value >= 0 for value in values)


def test_every_phase_is_trained_at_some_rate(scheduler: Scheduler):
    for phase in phases():
        assert max(scheduler.multiplier(progress) for progress in phase) > 0


def test_it_is_a_pure_function(scheduler: Scheduler):
    for phase in phases():
        forwards = [scheduler.multiplier(progress) for progress in phase]
        backwards = [scheduler.multiplier(progress) for progress in reversed(phase)]
        assert forwards == backwards[::-1]
