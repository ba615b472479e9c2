"""The FLOP/s that one thread reaches in the convolutions that suit it best: what a network can be held against."""

from __future__ import annotations

import sys
import time

from fast_loop import keep_memory

if __name__ == "__main__":  # before torch is imported
    keep_memory()

import torch
from torch.nn import functional

SHAPES = ((64, 64, 32), (128, 128, 16), (256, 256, 16), (256, 256, 8), (512, 512, 8))
"""Channels in and out, side in px; kernels of 3 x 3, batches of 64."""
AT_LEAST_S = 0.5


def flop_per_s(channels: int, filters: int, side_px: int, dtype: torch.dtype) -> float:
    """Return the rate of the fastest of some forward passes."""
    layout = {"dtype": dtype, "memory_format": torch.channels_last}
    images = torch.randn(64, channels, side_px, side_px).to(**layout)
    kernels = torch.randn(filters, channels, 3, 3).to(**layout)
    flop = 2 * 64 * filters * side_px**2 * channels * 9
    fastest_s, begun = float("inf"), time.perf_counter()
    while time.perf_counter() - begun < AT_LEAST_S:
        started = time.perf_counter()
        functional.conv2d(images, kernels, padding=1)
        fastest_s = min(fastest_s, time.perf_counter() - started)
    return flop / fastest_s


if __name__ == "__main__":
    torch.set_num_threads(1)
    kind = torch.bfloat16 if sys.argv[1] == "bf16" else torch.float32
    with torch.no_grad():
        print(max(flop_per_s(*shape, kind) for shape in SHAPES))
