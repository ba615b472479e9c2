"""Augmented copies of training images of the smaller classes.

Which images are copied, and by which augmentation each, is drawn from the trial's seed and is the same at every size;
the copies are made once for each size, before the clock starts, and train beside the images from then on.

Shapes: B batch, N examples, M copies, C channels, H/W pixels, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from cnnbench.data.batches import stream_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cnnbench.plugin import Augmentation

_STREAM = 2**41
"""Copies are drawn from the augment stream, far beyond any epoch's draws and those of test-time augmentation."""
_CHUNK = 256


def draw_sources(
    label_N: NDArray[np.int64], train: NDArray[np.int64], num_K: Sequence[int], seed: int
) -> NDArray[np.int64]:
    """Return the training examples that are copied, class after class, by index.

    Each example of a class is copied once before any is copied twice, and what is drawn for a smaller number of copies
    is among what is drawn for a larger one.

    Args:
        label_N: Class of each example of the dataset.
        train: Indices of the training part.
        num_K: Copies of each class.
        seed: Of the trial's augment stream.
    """
    ordered = np.sort(train)
    drawn = [np.empty(0, np.int64)]
    for label, num in enumerate(num_K):
        generator = np.random.default_rng([seed, _STREAM, label])
        members = ordered[label_N[ordered] == label]
        rounds = -(-num // len(members)) if num else 0
        drawn.append(np.concatenate([members[:0], *(generator.permutation(members) for _ in range(rounds))])[:num])
    return np.concatenate(drawn)


@dataclass(frozen=True, slots=True)
class Copies:
    """The copies of a trial, not yet made."""

    source_M: NDArray[np.int64]
    """Index of the example that each one is a copy of."""
    augmentations: Sequence[Augmentation]
    apply: Literal["one", "all"]
    """Each copy by one of the augmentations, drawn at random, or by all of them in order."""
    seed: int
    """Of the trial's augment stream."""

    def make(self, images_NCHW: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Return the copies of uint8 images, M x C x H x W uint8, on the device of the images; made on ``device``."""
        copies_MCHW = images_NCHW[torch.from_numpy(self.source_M).to(images_NCHW.device)]
        for place, (members, augmentations) in enumerate(self._assigned()):
            generator = torch.Generator().manual_seed(stream_seed(self.seed, _STREAM + place))
            for start in range(0, len(members), _CHUNK):
                chosen_B = torch.from_numpy(members[start : start + _CHUNK]).to(copies_MCHW.device)
                images_BCHW = copies_MCHW[chosen_B].to(device).float().div_(255)
                for augmentation in augmentations:
                    images_BCHW = augmentation.apply(images_BCHW, generator)
                made_BCHW = images_BCHW.mul(255).round_().clamp_(0, 255).to(torch.uint8)
                copies_MCHW[chosen_B] = made_BCHW.to(copies_MCHW.device)
        return copies_MCHW

    def _assigned(self) -> list[tuple[NDArray[np.int64], Sequence[Augmentation]]]:
        """Return which copies are made by which augmentations."""
        num = len(self.source_M)
        if self.apply == "all" or not self.augmentations:
            return [(np.arange(num), self.augmentations)]
        technique_M = np.random.default_rng([self.seed, _STREAM]).integers(len(self.augmentations), size=num)
        return [(np.flatnonzero(technique_M == place), [one]) for place, one in enumerate(self.augmentations)]
