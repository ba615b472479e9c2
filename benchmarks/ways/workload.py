"""What every way is given to do, and what it says when it has done it.

A script of this folder is called with the path of a workload (JSON), trains and validates one network as its own users
would, and prints one line of JSON. Nothing here imports torch: each way pays for its own imports.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

NUM_CLASSES = 10
PARAMETERS = {
    "three-blocks-32": 94_762,
    "three-blocks-16": 24_346,
    "resnet18": 11_181_642,
    "resnet50": 23_528_522,
    "mobilenet_v2": 2_236_682,
    "shufflenet_v2_x0_5": 352_042,
    "squeezenet1_1": 727_626,
}
"""Parameters of each network with ten classes: what every way must report."""
MEAN_C, STD_C = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
"""Channel statistics that the scripts normalise with; cnnbench takes its own from the training part."""


@dataclass(frozen=True)
class Workload:
    """One trial."""

    data: str
    """An .npz file with ``train_images`` (uint8, N H W C), ``train_labels``, ``validation_images``, ..."""
    size_px: int
    network: str
    """Its name, one of `PARAMETERS`."""
    epochs: int
    batch_size: int = 64
    lr: float = 0.05
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    threads: int = 0
    """Threads of torch; 0: as many as it takes by itself."""
    loaders: int = 2
    """Worker processes of the data loader."""
    deterministic: bool = False
    device: Literal["cpu", "cuda"] = "cpu"
    is_compiled: bool = False
    """Whether torch.compile is used, by those that know it."""

    @classmethod
    def given(cls) -> Workload:
        """Return the workload that the command line names."""
        return cls(**json.loads(Path(sys.argv[1]).read_text("utf-8")))

    def write(self, path: Path) -> Path:
        """Write it where a script can read it."""
        path.write_text(json.dumps(asdict(self)), "utf-8")
        return path

    def arrays(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
        """Return training images (N H W C) and labels, validation images and labels."""
        with np.load(self.data) as file:
            return (
                file["train_images"],
                file["train_labels"],
                file["validation_images"],
                file["validation_labels"],
            )


@dataclass(frozen=True)
class Report:
    """What a way says of its trial."""

    num_train: int
    """Images of an epoch."""
    epoch_s: list[float]
    """Wall time of the training part of each epoch: batches and steps, without validation."""
    epoch_cpu_s: list[float]
    """CPU time of the training thread in the same stretch; empty where other threads or processes work, too."""
    accuracy: float
    """Accuracy on the validation part after the last epoch."""
    parameters: int
    flops_per_image: float = 0.0
    """Of a training step; 0 where they are not counted."""

    def tell(self) -> None:
        """Print it as the last line."""
        sys.stdout.write(json.dumps(asdict(self)) + "\n")


def write_data(path: Path, size_px: int, num_train: int, num_validation: int) -> Path:
    """Draw images of ten classes: each class has a coarse pattern of its own, and every image much noise.

    They are hard enough not to be learnt at once and easy enough to show that a way learns.
    """
    rng = np.random.default_rng([size_px, num_train])
    coarse_KHWC = rng.normal(0, 28, (NUM_CLASSES, 4, 4, 3))
    pattern_KHWC = np.repeat(np.repeat(coarse_KHWC, size_px // 4, axis=1), size_px // 4, axis=2)
    parts = {}
    for part, num in (("train", num_train), ("validation", num_validation)):
        labels_N = np.arange(num) % NUM_CLASSES
        noise_NHWC = rng.normal(0, 56, (num, size_px, size_px, 3))
        images_NHWC = np.clip(128 + pattern_KHWC[labels_N] + noise_NHWC, 0, 255).astype(np.uint8)
        parts[f"{part}_images"], parts[f"{part}_labels"] = images_NHWC, labels_N.astype(np.int64)
    np.savez(path, **parts)  # type: ignore[arg-type]  # the stubs mistake arrays for `allow_pickle`
    return path
