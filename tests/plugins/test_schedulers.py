"""Schedules against the formulas of their papers, and properties over all parameters."""

from __future__ import annotations

import math

import pytest
from cnnbench_plugins.schedulers import Constant, Cosine, Cyclic, KerasDecay, Sgdr, Step, Warmup
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cnnbench.plugin import Progress, Scheduler


def curve(scheduler: Scheduler, epochs: int, steps_per_epoch: int = 10) -> list[float]:
    total = epochs * steps_per_epoch
    return [scheduler.multiplier(Progress(step, total, steps_per_epoch)) for step in range(total)]


shares = st.floats(0, 1)
lengths = st.floats(0.01, 50)
schedulers = st.one_of(
    st.builds(Constant),
    st.builds(Step, every_epochs=st.integers(1, 50), factor=st.floats(1e-6, 1)),
    st.builds(KerasDecay, decay=st.floats(0, 10)),
    st.builds(Cosine, floor=shares),
    st.builds(Warmup, epochs=lengths, start=shares, then=st.sampled_from(["constant", "cosine"]), floor=shares),
    st.builds(Sgdr, cycle_epochs=lengths, cycle_mult=st.integers(1, 5), floor=shares),
    st.builds(
        Cyclic,
        cycle_epochs=lengths,
        cycle_mult=st.integers(1, 5),
        base=shares,
        policy=st.sampled_from(["triangular", "triangular2"]),
    ),
)


@given(scheduler=schedulers, epochs=st.integers(1, 400), steps_per_epoch=st.integers(1, 2000), share=st.floats(0, 1))
def test_the_multiplier_is_finite_and_between_0_and_1(
    scheduler: Scheduler, epochs: int, steps_per_epoch: int, share: float
):
    total = epochs * steps_per_epoch
    progress = Progress(min(int(share * total), total - 1), total, steps_per_epoch)
    value = scheduler.multiplier(progress)
    assert math.isfinite(value)
    assert 0 <= value <= 1 + 1e-12
    assert scheduler.multiplier(progress) == value


def test_step_drops_at_the_interval():
    assert curve(Step(every_epochs=2, factor=0.1), 5, 1) == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_step_survives_very_many_drops():
    assert Step(every_epochs=1, factor=1e-3).multiplier(Progress(10**5, 10**6, 1)) == 0.0


def test_keras_decay_divides_by_one_more_decay_at_every_step():
    assert curve(KerasDecay(decay=0.5), 2, 2) == pytest.approx([1, 1 / 1.5, 1 / 2, 1 / 2.5])


def test_keras_decay_as_published_ends_at_about_a_24th():
    """Hasan: 15 epochs of 1,562 steps at 0.001."""
    assert KerasDecay().multiplier(Progress(23_429, 23_430, 1_562)) == pytest.approx(1 / 24.4, rel=0.01)


def test_cosine_falls_from_1_through_the_middle_towards_the_floor():
    values = curve(Cosine(floor=0.2), 4)
    assert values[0] == 1
    assert values[20] == pytest.approx(0.6)
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(0.2, abs=0.01)


def test_warmup_rises_evenly_and_reaches_the_full_rate_on_its_last_step():
    assert curve(Warmup(epochs=2), 3, 2) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_warmup_is_followed_by_a_cosine_over_the_rest():
    values = curve(Warmup(epochs=1, then="cosine"), 5)
    assert values[10] == 1
    assert values[30] == pytest.approx(0.5)


def test_a_warmup_longer_than_the_phase_never_reaches_the_full_rate():
    assert max(curve(Warmup(epochs=10, then="cosine"), 2)) < 1


def test_sgdr_follows_equation_5():
    floor, first = 0.1, 2
    for step, value in enumerate(curve(Sgdr(cycle_epochs=first, floor=floor), 6)):
        since_restart = (step / 10) % first
        expected = floor + (1 - floor) * (1 + math.cos(math.pi * since_restart / first)) / 2
        assert value == pytest.approx(expected)


def test_sgdr_restarts_after_1_3_and_7_epochs_where_cycles_double():
    values = curve(Sgdr(cycle_epochs=1, cycle_mult=2), 8)
    assert [step for step, value in enumerate(values) if value == 1] == [0, 10, 30, 70]


def test_cycles_that_are_no_whole_epochs_restart_on_whole_steps():
    values = curve(Sgdr(cycle_epochs=0.3), 3)
    assert [step for step, value in enumerate(values) if value == 1] == list(range(0, 30, 3))


def test_cyclic_is_a_triangle_between_base_and_1():
    values = curve(Cyclic(cycle_epochs=2, base=0.2), 4)
    assert values[0] == values[20] == pytest.approx(0.2)
    assert values[10] == values[30] == 1
    assert values[5] == values[15] == pytest.approx(0.6)


def test_triangular2_halves_the_height_after_each_cycle():
    values = curve(Cyclic(cycle_epochs=2, base=0.2, policy="triangular2"), 6)
    assert [values[10], values[30], values[50]] == pytest.approx([1, 0.6, 0.4])


@pytest.mark.parametrize(
    ("scheduler", "parameters"),
    [(Step, {"factor": 0}), (Sgdr, {"cycle_epochs": 0}), (Cyclic, {"base": 1.5}), (Warmup, {"then": "linear"})],
)
def test_parameters_outside_their_range_are_refused(scheduler: type[Scheduler], parameters: dict[str, object]):
    with pytest.raises(ValidationError):
        scheduler.model_validate(parameters)
