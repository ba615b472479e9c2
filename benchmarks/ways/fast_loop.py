"""A loop written by hand for this network, these images and this CPU: the reference of the limit.

One thread, memory kept by the allocator, images in padded uint8 arrays of which crops are copied, channels-last,
pooling before the ReLU, a fused optimizer, nothing read back within an epoch; deterministic, as cnnbench is.
"""

from __future__ import annotations

import ctypes
import os
import platform
import time
from itertools import pairwise


def keep_memory() -> None:
    """Let the allocator keep what it has: glibc would hand large buffers back to the kernel after every step."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(-4, 0)  # M_MMAP_MAX: large buffers come from the heap, too,
    libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: which is never given back,
    libc.mallopt(-2, 64 * 2**20)  # M_TOP_PAD: and grows in large steps


if __name__ == "__main__":  # before torch is imported
    for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[_variable] = "1"
    keep_memory()

import numpy as np  # noqa: E402 - the allocator first
import torch  # noqa: E402
from network import build_network, num_parameters  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from workload import MEAN_C, STD_C, Report, Workload  # noqa: E402


class Crops:
    """Batches of shifted and mirrored images."""

    def __init__(self, images_NHWC: NDArray[np.uint8], size_px: int, batch_size: int) -> None:
        self.size_px, self.pad = size_px, size_px // 8
        border = ((0, 0), (self.pad, self.pad), (self.pad, self.pad), (0, 0))
        padded_NHWC = np.pad(images_NHWC, border, mode="reflect")
        self.sides = (padded_NHWC, np.ascontiguousarray(padded_NHWC[:, :, ::-1]))
        self.buffer_BHWC = np.empty((batch_size, size_px, size_px, 3), np.uint8)

    def take(self, index_B: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the images, each at a place and a side of its own."""
        places_B2 = rng.integers(0, 2 * self.pad + 1, (len(index_B), 2)).tolist()
        sides_B = rng.integers(0, 2, len(index_B)).tolist()
        taken_BHWC, size_px = self.buffer_BHWC[: len(index_B)], self.size_px
        for slot, (index, (top, left), side) in enumerate(zip(index_B.tolist(), places_B2, sides_B, strict=True)):
            taken_BHWC[slot] = self.sides[side][index, top : top + size_px, left : left + size_px]
        return taken_BHWC


def to_input(images_BHWC: NDArray[np.uint8], mean_R: torch.Tensor, std_R: torch.Tensor) -> torch.Tensor:
    """Return normalised floats, B C H W, that lie in memory as the images do: channels last.

    Mean and deviation are given for each value of a row of pixels: a number for every third value takes ten times as
    long.
    """
    floats_BHWC = torch.from_numpy(images_BHWC).float()
    floats_BHWC.view(-1, len(mean_R)).sub_(mean_R).div_(std_R)
    return floats_BHWC.permute(0, 3, 1, 2)


def pooled_first(network: nn.Module) -> nn.Module:
    """Return a network of three blocks with each ReLU behind the pooling, where it has a quarter of the values."""
    layers = list(network.children())
    for place, (first, second) in enumerate(pairwise(layers)):
        if isinstance(first, nn.ReLU) and isinstance(second, nn.MaxPool2d):
            layers[place : place + 2] = second, first
    return nn.Sequential(*layers)


def main() -> None:
    workload = Workload.given()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.manual_seed(workload.seed)
    rng = np.random.default_rng(workload.seed)
    train_images, train_labels, validation_images, validation_labels = workload.arrays()
    mean_R, std_R = (255 * torch.tensor(values).repeat(workload.size_px) for values in (MEAN_C, STD_C))
    crops = Crops(train_images, workload.size_px, workload.batch_size)
    labels_N = torch.from_numpy(train_labels)

    network = pooled_first(build_network(workload.network)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=workload.lr, momentum=0.9, fused=True)
    is_bf16 = workload.precision == "bf16"

    def forward(inputs_BCHW: torch.Tensor) -> torch.Tensor:
        if not is_bf16:
            return network(inputs_BCHW)
        with torch.autocast("cpu", torch.bfloat16):
            return network(inputs_BCHW).float()

    def step(index_B: NDArray[np.int64]) -> torch.Tensor:
        inputs_BCHW = to_input(crops.take(index_B, rng), mean_R, std_R)
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(forward(inputs_BCHW), labels_N[torch.from_numpy(index_B)])
        loss.backward()
        optimizer.step()
        return loss.detach()

    epoch_s, epoch_cpu_s, accuracy = [], [], 0.0
    for _ in range(workload.epochs):
        network.train()
        wall, cpu = time.perf_counter(), time.thread_time()
        order_N, loss_sum = rng.permutation(len(train_labels)), torch.zeros(())
        for start in range(0, len(order_N), workload.batch_size):
            loss_sum += step(order_N[start : start + workload.batch_size])
        epoch_s.append(time.perf_counter() - wall)
        epoch_cpu_s.append(time.thread_time() - cpu)
        accuracy = validate(network, forward, validation_images, validation_labels, (mean_R, std_R))
    Report(len(train_labels), epoch_s, epoch_cpu_s, accuracy, num_parameters(network)).tell()


@torch.no_grad()
def validate(network: nn.Module, forward, images_NHWC, labels_N, scale) -> float:
    """Return the accuracy."""
    network.eval()
    hits = 0
    for start in range(0, len(labels_N), 256):
        logits_BK = forward(to_input(images_NHWC[start : start + 256], *scale))
        hits += int((logits_BK.argmax(1) == torch.from_numpy(labels_N[start : start + 256])).sum())
    return hits / len(labels_N)


if __name__ == "__main__":
    main()
