"""What a trial trains on and is evaluated on: the parts of its dataset, copies of training images, batches of an epoch.

Shapes: N examples of the dataset, M copies, C channels, H/W pixels, K classes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.data import split_examples
from cnnbench.data.batches import Normalization, TrainingData
from cnnbench.data.oversample import Copies, draw_sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from numpy.typing import NDArray

    from cnnbench.data import PreparedDataset
    from cnnbench.registry import Registry
    from cnnbench.spec import Recipe


class Examples:
    """The examples of one trial, as its recipe and seeds divide and multiply them."""

    def __init__(
        self,
        dataset: PreparedDataset,
        recipe: Recipe,
        seeds: Mapping[str, int],
        registry: Registry,
        device: torch.device,
    ) -> None:
        self._dataset, self._recipe, self._device = dataset, recipe, device
        self.parts = split_examples(
            dataset.labels_N(), recipe.split, seeds["split"], dataset.splits_N(), dataset.groups_N()
        )
        self.copies = self._drawn_copies(registry, seeds["augment"])
        self._images: dict[int, TrainingData] = {}

    def _drawn_copies(self, registry: Registry, seed: int) -> Copies | None:
        oversample = self._recipe.oversample
        if oversample is None:
            return None
        label_N, class_names = self._dataset.labels_N(), self._dataset.info.class_names
        count_K = np.bincount(label_N[self.parts.train], minlength=len(class_names))
        num_K = oversample.num_copies(count_K.tolist(), class_names)
        made_by = [registry.augmentation(ref) for ref in oversample.augmentation]
        source_M = draw_sources(label_N, self.parts.train, num_K, seed)
        return Copies(source_M, made_by, oversample.apply, seed)

    @property
    def trained(self) -> NDArray[np.int64]:
        """What an epoch trains on: the training part and, numbered on after the dataset's examples, copies of it."""
        if self.copies is None:
            return self.parts.train
        num = self._dataset.info.num_examples
        return np.concatenate([self.parts.train, num + np.arange(len(self.copies.source_M))])

    @property
    def per_epoch(self) -> int:
        """Training examples of an epoch, copies included; a last batch of a single one is left out."""
        num, batch_size = len(self.trained), self._recipe.batch_size
        is_alone = num % batch_size == 1 and batch_size > 1 and num > 1
        return num - is_alone

    @property
    def steps_per_epoch(self) -> int:
        """Training steps of an epoch."""
        return math.ceil(self.per_epoch / self._recipe.batch_size)

    def images(self, size_px: int) -> TrainingData:
        """Return the images at one size, with the copies; they are made once."""
        if size_px not in self._images:
            images_NCHW = self._dataset.images_NCHW(size_px, self._recipe.resize)
            normalization = Normalization.of(self._recipe.normalization, images_NCHW, self.parts.train)
            num_copies = len(self.copies.source_M) if self.copies is not None else 0
            data = TrainingData(images_NCHW, self._dataset.labels_N(), normalization, self._device, num_copies)
            if self.copies is not None:
                data.add_copies(self.copies.make(data.images_NCHW, self._device), self.copies.source_M)
            self._images[size_px] = data
        return self._images[size_px]
