"""The components that come with cnnbench; they enter by the public door, like anybody's.

One file per kind of component; `networks` and `datasets` hold what is too long for one file. Importing this package
imports no torch: whatever needs it is imported by the methods that use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.plugin import hookimpl
from cnnbench_plugins.augmentations import Crop, Distort, Flip, GaussianBlur, GaussianNoise, Invert, Rotate, Shift, Zoom
from cnnbench_plugins.datasets import Cifar10, Digits, ImageFolder, Mnist, NihCxr14, Shapes, Textures
from cnnbench_plugins.metrics import (
    F1,
    Accuracy,
    Auroc,
    BalancedAccuracy,
    CalibrationError,
    ClassF1,
    ClassPrecision,
    ClassRecall,
    ConfusionMatrix,
    CrossEntropy,
    Precision,
    Recall,
    StandardizedAccuracy,
    Support,
)
from cnnbench_plugins.models import BlockCnn, ResNetD, ResNetSmall, Timm, Torchvision
from cnnbench_plugins.optimizers import Adam, AdamW, Sgd
from cnnbench_plugins.schedulers import Constant, Cosine, Cyclic, KerasDecay, Sgdr, Step, Warmup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.plugin import Augmentation, Dataset, Metric, Model, Optimizer, Scheduler


@hookimpl
def cnnbench_models() -> Sequence[type[Model]]:
    """Plain and residual networks for small images, torchvision's families, and timm's models."""
    return [BlockCnn, ResNetD, ResNetSmall, Timm, Torchvision]


@hookimpl
def cnnbench_datasets() -> Sequence[type[Dataset]]:
    """Three datasets that need no download, published ones, and folders of images."""
    return [Textures, Digits, Shapes, Mnist, Cifar10, NihCxr14, ImageFolder]


@hookimpl
def cnnbench_augmentations() -> Sequence[type[Augmentation]]:
    """Changes of geometry and of gray values that keep the class."""
    return [Flip, Zoom, Rotate, Shift, Crop, Distort, Invert, GaussianBlur, GaussianNoise]


@hookimpl
def cnnbench_optimizers() -> Sequence[type[Optimizer]]:
    """Torch's optimizers, fused where the device supports it."""
    return [Sgd, Adam, AdamW]


@hookimpl
def cnnbench_schedulers() -> Sequence[type[Scheduler]]:
    """Learning-rate schedules as pure functions of progress."""
    return [Constant, Step, KerasDecay, Cosine, Warmup, Sgdr, Cyclic]


@hookimpl
def cnnbench_metrics() -> Sequence[type[Metric]]:
    """Metrics of classification, and accuracy standardised by training time."""
    return [
        Accuracy,
        BalancedAccuracy,
        CrossEntropy,
        CalibrationError,
        Auroc,
        Precision,
        Recall,
        F1,
        ClassPrecision,
        ClassRecall,
        ClassF1,
        ConfusionMatrix,
        StandardizedAccuracy,
        Support,
    ]
