"""Evaluation: logits of a part of the data, plain or averaged over augmented views, and the metrics of them.

Shapes: B batch, N examples, C channels, H/W pixels, K classes.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from cnnbench.data.batches import stream_seed
from cnnbench.types import MetricInfo, Predictions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from cnnbench.data.batches import TrainingData
    from cnnbench.plugin import Augmentation, EvaluationBatch, Metric

View = Literal["plain", "tta"]

_BATCH = 256
_TTA_STREAM = 2**40
"""Views of test-time augmentation are drawn from the augment stream, far beyond any epoch's draws."""


@dataclass(frozen=True, slots=True)
class Evaluator:
    """How the network of a trial is evaluated."""

    precision: Literal["fp32", "bf16"]
    augmentations: Sequence[Augmentation]
    tta_views: int
    augment_seed: int

    def logits_NK(self, network: nn.Module, data: TrainingData, indices: NDArray[np.int64], view: View) -> torch.Tensor:
        """Return float32 logits on the CPU; for ``tta`` log-probabilities of the softmax averaged over the views."""
        network.eval()
        plain_NK = self._forward(network, data, indices, None)
        if view == "plain":
            return plain_NK
        mean_NK = plain_NK.softmax(dim=1)
        for index in range(self.tta_views):
            seed = stream_seed(self.augment_seed, _TTA_STREAM + index)
            mean_NK += self._forward(network, data, indices, torch.Generator().manual_seed(seed)).softmax(dim=1)
        mean_NK /= self.tta_views + 1
        return mean_NK.clamp_min(torch.finfo(torch.float32).tiny).log()

    @torch.no_grad()
    def _forward(
        self, network: nn.Module, data: TrainingData, indices: NDArray[np.int64], generator: torch.Generator | None
    ) -> torch.Tensor:
        augmentations = self.augmentations if generator is not None else ()
        outputs = []
        for images_BCHW, _ in data.evaluation_batches(indices, _BATCH, augmentations, generator):
            with autocast(data.device, self.precision):
                outputs.append(network(images_BCHW).float())
        return torch.cat(outputs).cpu()


def autocast(device: torch.device, precision: Literal["fp32", "bf16"]) -> AbstractContextManager[object]:
    """Return the context of the recipe's precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def value_name(split: str, view: View, metric: str) -> str:
    """Return the name of a value in records and files, e.g. ``validation_tta_accuracy``."""
    return f"{split}_{'tta_' if view == 'tta' else ''}{metric.replace('-', '_')}"


def compute_metrics(
    metrics: Sequence[Metric], batch: EvaluationBatch, split: str, view: View
) -> Iterator[tuple[str, NDArray[np.floating]]]:
    """Yield name and value of each metric.

    Raises:
        ValueError: A metric returns a value that does not have the dimensions that it declares.
    """
    for metric in metrics:
        value = metric.compute(batch).detach().cpu().numpy()
        if value.ndim != len(metric.dims):
            raise ValueError(
                f"the metric `{metric.key}` returned a value of shape {value.shape}; it declares {len(metric.dims)} "
                "dimensions."
            )
        yield value_name(split, view, metric.key), value


def metric_infos(metrics: Sequence[Metric], splits: Sequence[str], views: Sequence[View]) -> tuple[MetricInfo, ...]:
    """Describe every value that a trial records."""
    infos = [
        MetricInfo("train_loss", "loss", "train", "plain", (), "1", "Training loss", higher_is_better=False),
        MetricInfo("train_accuracy", "accuracy", "train", "plain", (), "1", "Training accuracy", higher_is_better=True),
    ]
    for split in splits:
        for view in views:
            for metric in metrics:
                suffix = ", test-time augmentation" if view == "tta" else ""
                infos.append(
                    MetricInfo(
                        name=value_name(split, view, metric.key),
                        metric=metric.key,
                        split=split,
                        view=view,
                        dims=metric.dims,
                        unit=metric.unit,
                        long_name=f"{metric.long_name} ({split}{suffix})",
                        higher_is_better=metric.higher_is_better,
                    )
                )
    return tuple(infos)


def predictions(
    split: str, view: View, indices: NDArray[np.int64], label_N: torch.Tensor, logits_NK: torch.Tensor
) -> Predictions:
    """Pack per-example outputs for the store."""
    return Predictions(split, view, indices, label_N.cpu().numpy(), logits_NK.numpy())
