"""Which memory layout a device trains fastest in: tried once for each machine, kept in the cache, stored with trials.

A layout decides which kernels the libraries take, so the last bits of a result depend on it, as they do on the machine.
That is why it is not tried anew for each study: all trials on a machine have the same, and trials of two layouts do not
count as comparable.

CPUs train channels-last 1.2 to 1.6 times as fast. GPUs do in bf16; in float32, without TF32, some of them do not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from torch.nn import functional

from cnnbench.environment import comparability
from cnnbench.train.evaluate import autocast

if TYPE_CHECKING:
    from collections.abc import Mapping

    Precision = Literal["fp32", "bf16"]

Layout = Literal["channels-last", "contiguous"]
"""`contiguous`: channel after channel, as torch has tensors from the start."""

USUAL: Mapping[str, Layout] = {"fp32": "channels-last", "bf16": "channels-last"}
"""By precision; what trials have where nothing was tried."""

_FORMATS = {"channels-last": torch.channels_last, "contiguous": torch.contiguous_format}
_CLEARLY = 1.1
"""The usual layout stays unless it takes this many times as long: a try of a few steps is noisy."""
_STEPS = 7


def memory_format(layout: Layout) -> torch.memory_format:
    """Return torch's name for a layout."""
    return _FORMATS[layout]


def layouts_of(device: torch.device, cache: Path) -> Mapping[str, Layout]:
    """Return the layout for each precision on a device, from the cache or by trying.

    Of several processes that try at once the first to write its answer is right for all. Where nothing can be kept,
    nothing is tried.
    """
    facts = {name: fact for name, fact in comparability(str(device), "").items() if name != "precision"}
    if device.type == "cuda":
        facts["cudnn"] = torch.backends.cudnn.version()
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    file = cache / "layouts" / f"{key}.json"
    known = _read(file)
    if known is not None:
        return known
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".new-", dir=file.parent)
    except OSError:
        return USUAL
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as written:
            json.dump({"layouts": _tried(device), "device": facts}, written, indent=1)
        with contextlib.suppress(FileExistsError):
            file.hardlink_to(temporary)
    except (OSError, RuntimeError):  # a full disk, a file system without links, a device without memory
        return USUAL
    finally:
        temporary.unlink(missing_ok=True)
    return _read(file) or USUAL


def _read(file: Path) -> Mapping[str, Layout] | None:
    try:
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))["layouts"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    is_known = found.keys() == USUAL.keys() and all(layout in _FORMATS for layout in found.values())
    return found if is_known else None


def _tried(device: torch.device) -> Mapping[str, Layout]:
    fp32 = _faster(_step_times(device, "fp32"))
    return {"fp32": fp32, "bf16": _faster(_step_times(device, "bf16")) if _has_bf16(device) else fp32}


def _has_bf16(device: torch.device) -> bool:
    """Return whether a device computes with bf16; where it only imitates it, trying takes long and tells nothing."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - torch has no public way to ask


def _faster(seconds: Mapping[Layout, float]) -> Layout:
    return "contiguous" if seconds["channels-last"] > _CLEARLY * seconds["contiguous"] else "channels-last"


def _step_times(device: torch.device, precision: Precision) -> Mapping[Layout, float]:
    """Return the median seconds of a training step in each layout, taken in turn."""
    is_cpu = device.type == "cpu"
    batch_size, size_px, width = (16, 32, 16) if is_cpu else (128, 64, 64)
    draw = torch.Generator().manual_seed(0)
    images_BCHW = torch.randn(batch_size, 3, size_px, size_px, generator=draw).to(device)
    label_B = torch.zeros(batch_size, dtype=torch.int64, device=device)
    with torch.random.fork_rng([] if is_cpu else [device]):
        networks = {layout: _network(width).to(device, memory_format=_FORMATS[layout]) for layout in _FORMATS}

    def step(layout: Layout) -> float:
        inputs_BCHW, network = images_BCHW.contiguous(memory_format=_FORMATS[layout]), networks[layout]
        _synchronize(device)
        started = time.perf_counter()
        with autocast(device, precision):
            logits_BK = network(inputs_BCHW)
        network.zero_grad(set_to_none=True)
        functional.cross_entropy(logits_BK.float(), label_B).backward()
        _synchronize(device)
        return time.perf_counter() - started

    times: dict[Layout, list[float]] = {"channels-last": [], "contiguous": []}
    for number in range(_STEPS + 2):
        for layout, own in times.items():
            seconds = step(layout)
            if number >= 2:  # the first ones choose kernels and fetch memory
                own.append(seconds)
    return {layout: statistics.median(own) for layout, own in times.items()}


def _network(width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for filters in (width, 2 * width, 4 * width):
        layers += [nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
        channels = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
