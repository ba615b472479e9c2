"""Does an evaluation say the same, however the examples are ordered and put together?

Shapes: N examples, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from cnnbench.doctor.check import Check, count
from cnnbench.plugin import EvaluationBatch
from cnnbench.train.evaluate import compute_metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.doctor.subjects import NetworkSubject
    from cnnbench.train.loop import Training
    from cnnbench.types import Diagnosis

EVALUATION = Check("evaluation-order", "Evaluation in any order")

EXAMPLES = 512
TOLERANCE = {"fp32": 1e-3, "bf16": 0.1}
"""Difference of logits, relative to their size, that rounding may cause."""


def check_evaluation(subject: NetworkSubject, training: Training) -> Diagnosis:
    """Evaluate twice in the dataset's order, once shuffled, and once one class alone; and compare."""
    part = "test" if training.examples.parts.test.size else "validation"
    indices: NDArray[np.int64] = getattr(training.examples.parts, part)
    indices = indices[np.linspace(0, len(indices) - 1, min(len(indices), EXAMPLES)).astype(np.int64)]
    order = np.random.default_rng(0).permutation(len(indices))
    label_N = torch.from_numpy(training.dataset.labels_N()[indices])
    alone = np.flatnonzero(label_N == label_N.mode().values)  # other company than in the part as a whole
    before = {name: value.clone() for name, value in training.network.state_dict().items()}
    plain_NK = _logits_NK(training, indices)
    size = 1 + float(plain_NK.abs().max())
    differences = {
        "in the same order again": _largest(plain_NK, _logits_NK(training, indices)) / size,
        "shuffled": _largest(plain_NK[order], _logits_NK(training, indices[order])) / size,
        "one class alone": _largest(plain_NK[alone], _logits_NK(training, indices[alone])) / size,
    }
    after = training.network.state_dict()
    changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
    unequal = _unequal_metrics(training, plain_NK, label_N, order)
    accuracy = float((plain_NK.argmax(dim=1) == label_N).double().mean())
    numbers = {name.replace(" ", "_"): value for name, value in differences.items()}
    what = f"{count(len(indices), f'{part} image')}, accuracy {accuracy:.3f}"
    wrong = [name for name, value in differences.items() if not value <= TOLERANCE[training.recipe.precision]]
    if changed:
        return EVALUATION.says(
            "fault",
            subject.name,
            f"{what}: evaluating changes the network (`{changed[0]}`).",
            "Let nothing learn in evaluation: running statistics change in training mode only.",
            numbers=numbers,
        )
    if wrong:
        worst = max(differences[name] for name in wrong)
        repeats = differences["in the same order again"] <= TOLERANCE[training.recipe.precision]
        cause = "the answer to an image depends on the images beside it" if repeats else "the answer is drawn at random"
        return EVALUATION.says(
            "fault",
            subject.name,
            f"{what}: evaluated {wrong[0]}, the outputs differ by {worst:.2g} of their size: {cause}.",
            "Make the network obey `eval()`: batch normalisation with running statistics, dropout switched off.",
            numbers=numbers,
        )
    if unequal:
        return EVALUATION.says(
            "fault",
            subject.name,
            f"{what}: the metric `{unequal[0]}` depends on the order of the examples.",
            "Compute the metric from all predictions at once, without regard to their order.",
            numbers=numbers,
        )
    evidence = f"{what}: the same outputs and metrics in order, shuffled and class by class."
    return EVALUATION.says("ok", subject.name, evidence, numbers=numbers)


def _logits_NK(training: Training, indices: NDArray[np.int64]) -> torch.Tensor:
    data = training.examples.images(training.recipe.phases[-1].size_px)
    return training.evaluator.logits_NK(training.network, data, indices, "plain")


def _largest(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


def _unequal_metrics(
    training: Training, logits_NK: torch.Tensor, label_N: torch.Tensor, order: NDArray[np.int64]
) -> list[str]:
    """Return the metrics that say something else of the same predictions in another order."""
    shuffled = EvaluationBatch(logits_NK[order], label_N[order], 1.0, 1.0)
    plain = EvaluationBatch(logits_NK, label_N, 1.0, 1.0)
    return [
        metric.key
        for metric in training.metrics
        for (_, one), (_, other) in zip(
            compute_metrics([metric], plain, "validation", "plain"),
            compute_metrics([metric], shuffled, "validation", "plain"),
            strict=True,
        )
        if not np.allclose(one, other, rtol=1e-4, atol=1e-6, equal_nan=True)
    ]
