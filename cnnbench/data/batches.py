"""Batches on the device: gathered as uint8, augmented and normalised as a whole.

Shapes: B batch, N examples, C channels, H/W pixels.
"""

from __future__ import annotations

import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from cnnbench.plugin import Augmentation

_STATISTICS_EXAMPLES = 4096
"""Most training images that the channel statistics are taken from."""
_STATISTICS_CHUNK = 64
_BATCHES_AHEAD = 2
"""Gathered before they are needed: one that is on its way to the device, and one behind it."""

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Normalization:
    """Per-channel shift and scale of images in 0 to 1."""

    mean_C: torch.Tensor
    std_C: torch.Tensor

    @classmethod
    def of(
        cls, kind: Literal["train", "imagenet", "none"], images_NCHW: NDArray[np.uint8], train: NDArray[np.int64]
    ) -> Normalization:
        """Take the statistics of the training part (its first 4,096 images in their random order), or fixed ones."""
        channels = images_NCHW.shape[1]
        if kind == "none":
            return cls(torch.zeros(channels), torch.ones(channels))
        if kind == "imagenet":
            mean = torch.tensor(_IMAGENET_MEAN if channels == 3 else (sum(_IMAGENET_MEAN) / 3,))
            std = torch.tensor(_IMAGENET_STD if channels == 3 else (sum(_IMAGENET_STD) / 3,))
            return cls(mean, std)
        mean_C, std_C = _channel_statistics(images_NCHW, np.sort(train[:_STATISTICS_EXAMPLES]))
        # A channel without any spread would be divided by zero; its images all look alike and stay at zero.
        std_C[std_C == 0] = 1.0
        return cls(torch.from_numpy(mean_C).float(), torch.from_numpy(std_C).float())


class TrainingData:
    """The images of one dataset at one size, with their labels, ready to be taken in batches."""

    def __init__(
        self,
        images_NCHW: NDArray[np.uint8],
        label_N: NDArray[np.int64],
        normalization: Normalization,
        device: torch.device,
        num_copies: int = 0,
    ) -> None:
        self.device, self.normalization = device, normalization
        with warnings.catch_warnings():  # torch warns of arrays that must not be written to; batches are copies
            warnings.simplefilter("ignore", UserWarning)
            self.images_NCHW = torch.from_numpy(images_NCHW)
        self.label_N = torch.from_numpy(label_N).to(device)
        self._copies_MCHW: torch.Tensor | None = None
        # Copies are appended there: for a moment all images are there twice.
        num_images = 2 * (len(images_NCHW) + num_copies) if num_copies else len(images_NCHW)
        num_bytes = num_images * self.images_NCHW[0].nbytes
        if device.type != "cpu" and num_bytes < _free_bytes(device) // 2:
            self.images_NCHW = self.images_NCHW.to(device)
        self.is_fetched = self._home != device
        """Whether each batch comes from main memory to another device: then the next one is gathered meanwhile."""
        self._mean_C = normalization.mean_C.to(device).view(1, -1, 1, 1)
        self._std_C = normalization.std_C.to(device).view(1, -1, 1, 1)

    def add_copies(self, copies_MCHW: torch.Tensor, source_M: NDArray[np.int64]) -> None:
        """Append images that were made from those of ``source_M``, with their labels; their indices follow on."""
        if self._home.type == "cpu":  # the images are a file that is mapped into memory
            self._copies_MCHW = copies_MCHW
        else:
            self.images_NCHW = torch.cat([self.images_NCHW, copies_MCHW])
        self.label_N = torch.cat([self.label_N, self.label_N[torch.from_numpy(source_M).to(self.device)]])

    def training_batches(
        self,
        train: NDArray[np.int64],
        batch_size: int,
        seeds: tuple[int, int, int],
        augmentations: Sequence[Augmentation],
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield (images_BCHW, label_B) of one epoch, in an order drawn for this epoch.

        A last batch of a single example is left out: batch normalisation cannot train on it.

        Args:
            train: Indices of the training part.
            batch_size: Examples in a batch.
            seeds: Seeds of the streams ``order`` and ``augment``, and the epoch.
            augmentations: Applied in order, each to the whole batch.
        """
        order_seed, augment_seed, epoch = seeds
        order = np.random.default_rng([order_seed, epoch]).permutation(train)
        generator = torch.Generator().manual_seed(stream_seed(augment_seed, epoch))
        index_N = torch.from_numpy(order)
        if len(order) % batch_size == 1 < batch_size and len(order) > 1:
            index_N = index_N[:-1]
        yield from self._batches(index_N, batch_size, augmentations, generator)

    def evaluation_batches(
        self,
        indices: NDArray[np.int64],
        batch_size: int,
        augmentations: Sequence[Augmentation] = (),
        generator: torch.Generator | None = None,
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield (images_BCHW, label_B) in the order of ``indices``."""
        yield from self._batches(torch.from_numpy(indices), batch_size, augmentations, generator)

    def _batches(
        self,
        index_N: torch.Tensor,
        batch_size: int,
        augmentations: Sequence[Augmentation],
        generator: torch.Generator | None,
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        there_N = index_N.to(self.device, non_blocking=True)
        home_N = there_N if self._home == self.device else index_N
        parts = [slice(start, start + batch_size) for start in range(0, len(index_N), batch_size)]
        for part, taken in zip(parts, self._ahead([home_N[part] for part in parts]), strict=True):
            yield self._finished(taken, there_N[part], augmentations, generator)

    def _ahead(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Yield the images of each part; those for another device are gathered while it works on the ones before."""
        if not self.is_fetched:
            yield from map(self._taken, parts)
            return
        with ThreadPoolExecutor(1) as gatherer:
            coming: deque[Future[torch.Tensor]] = deque()
            for index_B in parts:
                coming.append(gatherer.submit(self._pinned, index_B))
                if len(coming) > _BATCHES_AHEAD:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    def _pinned(self, index_B: torch.Tensor) -> torch.Tensor:
        """Return the images in memory that a GPU fetches by itself, while both go on with other things."""
        taken = self._taken(index_B)
        return taken.pin_memory() if self.device.type == "cuda" else taken

    def batch(
        self, index_B: torch.Tensor, augmentations: Sequence[Augmentation], generator: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return float32 images, channels-last and normalised, and their labels, on the device."""
        there_B = index_B.to(self.device, non_blocking=True)
        taken = self._taken(there_B if self._home == self.device else index_B)
        return self._finished(taken, there_B, augmentations, generator)

    def _finished(
        self,
        taken: torch.Tensor,
        index_B: torch.Tensor,
        augmentations: Sequence[Augmentation],
        generator: torch.Generator | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        images_BCHW = taken.to(self.device, non_blocking=True)
        for augmentation in augmentations:
            assert generator is not None  # noqa: S101 - whoever augments brings the generator
            if images_BCHW.dtype == torch.uint8 and not augmentation.moves_whole_pixels:
                images_BCHW = _unit_range(images_BCHW)
            images_BCHW = augmentation.apply(images_BCHW, generator)
        if images_BCHW.dtype == torch.uint8:
            images_BCHW = _unit_range(images_BCHW)
        # Plane by plane, then rearranged: a channel's number for every third value in memory takes ten times as long.
        images_BCHW = images_BCHW.contiguous().sub(self._mean_C).div_(self._std_C)
        labels_B = self.label_N.index_select(0, index_B)
        return images_BCHW.contiguous(memory_format=torch.channels_last), labels_B

    @property
    def _home(self) -> torch.device:
        """Where the images are kept, and indices are needed."""
        return self.images_NCHW.device

    def _taken(self, index_B: torch.Tensor) -> torch.Tensor:
        """Return images as they are kept."""
        if self._copies_MCHW is None:
            return self.images_NCHW.index_select(0, index_B)  # 20 times as fast as `[index_B]` on a CPU
        num = len(self.images_NCHW)
        taken_BCHW = self.images_NCHW.index_select(0, index_B.clamp(max=num - 1))
        place = (index_B >= num).nonzero().flatten()
        taken_BCHW[place] = self._copies_MCHW[index_B[place] - num]
        return taken_BCHW


def _unit_range(images_BCHW: torch.Tensor) -> torch.Tensor:
    return images_BCHW.float().div_(255)


def _channel_statistics(
    images_NCHW: NDArray[np.uint8], indices: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each channel, pixels taken as 0 to 1.

    Summed in integers, some images at a time: nothing is rounded, so that a channel without spread has exactly none,
    and large images do not have to be in memory together.
    """
    sum_C = np.zeros(images_NCHW.shape[1], np.int64)
    square_sum_C = np.zeros_like(sum_C)
    for start in range(0, len(indices), _STATISTICS_CHUNK):
        pixels_NCHW = images_NCHW[indices[start : start + _STATISTICS_CHUNK]].astype(np.int64)
        sum_C += pixels_NCHW.sum(axis=(0, 2, 3))
        square_sum_C += np.square(pixels_NCHW).sum(axis=(0, 2, 3))
    num = len(indices) * images_NCHW.shape[2] * images_NCHW.shape[3]
    variances = [
        (num * int(squares) - int(total) ** 2) / num**2 for total, squares in zip(sum_C, square_sum_C, strict=True)
    ]
    return sum_C / num / 255, np.sqrt(variances) / 255


def stream_seed(seed: int, epoch: int) -> int:
    """Return the seed of a stream for one epoch; any epoch can be drawn without the ones before it."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)


def _free_bytes(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
