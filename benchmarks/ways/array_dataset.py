"""Images of an array as torchvision's CIFAR10 keeps them: in memory, one PIL image made for each access."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset


class ArrayDataset(Dataset[tuple[Any, int]]):
    """What a map-style dataset of a script is."""

    def __init__(
        self,
        images_NHWC: NDArray[np.uint8],
        labels_N: NDArray[np.int64],
        transform: Callable[[Image.Image], Any] | None = None,
    ) -> None:
        self.images_NHWC, self.labels_N, self.transform = images_NHWC, labels_N, transform

    def __len__(self) -> int:
        return len(self.labels_N)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image: Any = Image.fromarray(self.images_NHWC[index])
        if self.transform is not None:
            image = self.transform(image)
        return image, int(self.labels_N[index])
