"""What holds for every metric."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import torch

from cnnbench.plugin import EvaluationBatch

if TYPE_CHECKING:
    from cnnbench.plugin import Metric

NUM_CLASSES = 4


def random_batch(seed: int = 0, num_examples: int = 50) -> EvaluationBatch:
    rng = torch.Generator().manual_seed(seed)
    return EvaluationBatch(
        logits_NK=torch.randn(num_examples, NUM_CLASSES, generator=rng),
        label_N=torch.randint(NUM_CLASSES, (num_examples,), generator=rng),
        train_s=12.5,
        train_flops=1e9,
    )


def right_batch() -> EvaluationBatch:
    batch = random_batch()
    return dataclasses.replace(batch, logits_NK=20.0 * torch.nn.functional.one_hot(batch.label_N, NUM_CLASSES))


def test_the_value_has_the_shape_of_its_dims(metric: Metric):
    length = {"class": NUM_CLASSES, "predicted_class": NUM_CLASSES}
    value = metric.compute(random_batch())
    assert tuple(value.shape) == tuple(length[name] for name in metric.dims)
    assert value.dtype in {torch.float32, torch.float64}
    assert value.device.type == "cpu"


@pytest.mark.parametrize("seed", range(5))
def test_the_value_is_finite_and_within_its_bounds(metric: Metric, seed: int):
    value = metric.compute(random_batch(seed))
    assert torch.isfinite(value).all()
    if metric.bounded != "none":
        assert (value >= 0).all()
    if metric.bounded == "unit":
        assert (value <= 1).all()


def test_right_predictions_are_better_than_random_ones(metric: Metric):
    right, random = metric.compute(right_batch()), metric.compute(random_batch())
    if metric.higher_is_better is not None:
        assert (right > random).all() if metric.higher_is_better else (right < random).all()


def test_the_order_of_the_examples_does_not_matter(metric: Metric):
    batch = random_batch()
    shuffled_N = torch.randperm(len(batch.label_N))
    shuffled = dataclasses.replace(batch, logits_NK=batch.logits_NK[shuffled_N], label_N=batch.label_N[shuffled_N])
    torch.testing.assert_close(metric.compute(shuffled), metric.compute(batch))


def test_it_depends_on_measured_seconds_only_if_it_says_so(metric: Metric):
    batch = random_batch()
    slower = dataclasses.replace(batch, train_s=2 * batch.train_s)
    assert torch.equal(metric.compute(slower), metric.compute(batch)) != metric.uses_time


def test_a_class_without_examples_does_no_harm(metric: Metric):
    batch = random_batch()
    assert torch.isfinite(metric.compute(dataclasses.replace(batch, label_N=batch.label_N % 2))).all()


def test_the_predictions_are_left_as_they_are(metric: Metric):
    batch = random_batch()
    metric.compute(batch)
    assert torch.equal(batch.logits_NK, random_batch().logits_NK)
