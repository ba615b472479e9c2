"""Features of a frozen body: computed once for each image, and used by every epoch and every trial of the same body.

Where a phase trains the head alone on images as they are, the layers below give an image the same features whenever it
comes. They are computed before the phase begins, and the phase trains on them; the results are those of a body that
computes them anew for each batch, bit for bit.

That needs care in one point: the last bits of a convolution depend on the number of images that go through it together
(libraries choose their kernels by shape), though not on which images these are. So a frozen body sees blocks of one
fixed size, whether its features are kept or not.

Shapes: B batch, N examples, C channels, H/W pixels, D features.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from cnnbench.data.batches import TrainingData
from cnnbench.train.evaluate import autocast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Literal

    from numpy.typing import NDArray

    from cnnbench.plugin import Augmentation

_FORMAT = 1
_BLOCK = 64
"""Images that go through a frozen body together; a last block is filled up with copies of its last image."""
_PROBE = 4
"""Images that show whether a layer is fixed."""
_IN_MEMORY_BYTES = 2**29
"""Features that only one trial uses are kept in memory up to this size, beyond it in a memory-mapped file."""
_FOLDER_BYTES = 8 * 2**30
"""Most that the features of all bodies take on the disk; those that were not used for longest make room."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A network in two."""

    body: nn.Sequential
    """Frozen, draws nothing at random, and gives an image the same features whatever its batch is."""
    rest: nn.Sequential
    """Takes the body's features; here is all that is trained."""
    num_features: int
    dtype: torch.dtype
    """Of the features, as the body returns them; they are kept as float32, which holds them exactly."""


@dataclass(frozen=True, slots=True)
class FeatureFolder:
    """Where features are kept on the disk."""

    path: Path
    shared: bool
    """Whether trials use each other's; if not, only what is too large for memory goes there."""


# ------------------------------------------------------------------------------------------------ where to cut


def cut_network(
    network: nn.Module,
    chain: Sequence[nn.Module],
    images_BCHW: torch.Tensor,
    precision: Literal["fp32", "bf16"],
) -> Cut | None:
    """Return the longest start of a network whose output is fixed, apart from the rest; None if there is none.

    What is fixed is tried out: the modules must hold nothing that is trained, and return the same bits in training and
    in evaluation mode without a random draw and without any change of their state. The features must be one row of
    numbers for each image.

    Args:
        network: In training mode, with frozen what the phase freezes; it is left as it was.
        chain: Modules that are the network when applied one after another (`Model.chain`).
        images_BCHW: Some training images, at least two, as they come to the network.
        precision: The recipe's.

    Raises:
        ValueError: The chain is not what the network computes.
    """
    images_BCHW = images_BCHW[:_PROBE]
    length, num_features, dtype = 0, 0, torch.float32
    with torch.no_grad(), autocast(images_BCHW.device, precision):
        output = images_BCHW
        for position, module in enumerate(chain[:-1], start=1):
            found = _fixed_output(module, output)
            if found is None:
                break
            output = found
            if output.ndim == 2:
                length, num_features, dtype = position, output.shape[1], output.dtype
        if not length:
            return None
        _check_chain(network, chain, images_BCHW)
    return Cut(nn.Sequential(*chain[:length]), nn.Sequential(*chain[length:]), num_features, dtype)


def _fixed_output(module: nn.Module, inputs: torch.Tensor) -> torch.Tensor | None:
    """Return what a module makes of a batch, or None if it might make something else of it another time."""
    if any(parameter.requires_grad for parameter in module.parameters()):
        return None
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    with torch.random.fork_rng([inputs.device] if inputs.device.type == "cuda" else []):
        states = _generator_states(inputs.device)
        first: torch.Tensor = module(inputs.clone())  # a copy: it may write into what it is given
        drew = any(not torch.equal(*pair) for pair in zip(states, _generator_states(inputs.device), strict=True))
    moved = any(not torch.equal(buffer, before) for buffer, before in buffers)
    for buffer, before in buffers:
        buffer.copy_(before)
    with _evaluating(module):
        again: torch.Tensor = module(inputs.clone())
        apart: torch.Tensor = module(inputs[: len(inputs) // 2].clone())
    # Of fewer images the last bits may differ; what looks at the other images of a batch differs in more than those.
    tolerance = 1e-3 * float(again.abs().max())
    alone = torch.allclose(apart.float(), again[: len(apart)].float(), rtol=0.0, atol=tolerance)
    return again if alone and not drew and not moved and torch.equal(first, again) else None


def _generator_states(device: torch.device) -> list[torch.Tensor]:
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _check_chain(network: nn.Module, chain: Sequence[nn.Module], images_BCHW: torch.Tensor) -> None:
    with _evaluating(network), _evaluating(nn.Sequential(*chain)):
        same = torch.equal(network(images_BCHW.clone()), nn.Sequential(*chain)(images_BCHW.clone()))
    if not same:
        raise ValueError(
            f"{type(network).__name__}: the modules of `chain`, one after another, do not compute what the network "
            "computes; correct the model's `chain`, or return nothing there."
        )


# ------------------------------------------------------------------------------------------------ features in batches


class FeatureData(TrainingData):
    """The features of a dataset's images in place of the images, ready to be taken in batches.

    Args:
        images: The images at the phase's size.
        cut: The network; nothing of its body is changed.
        precision: The recipe's.
    """

    def __init__(self, images: TrainingData, cut: Cut, precision: Literal["fp32", "bf16"]) -> None:
        self.device, self.label_N = images.device, images.label_N
        self.is_fetched = False
        self.compute_s = self.compute_cpu_s = 0.0
        """Wall and processor seconds that `keep` has spent on computing features."""
        self.reused = False
        """Whether `keep` has found the features of another trial."""
        self._images, self._cut, self._precision = images, cut, precision
        self._features_ND: torch.Tensor | None = None

    @property
    def kept(self) -> bool:
        """Whether the features are there; if not, they are computed for each batch anew, with the same bits."""
        return self._features_ND is not None

    @property
    def _home(self) -> torch.device:
        return self._images._home if self._features_ND is None else self._features_ND.device  # noqa: SLF001 - its own kind

    def _taken(self, index_B: torch.Tensor) -> torch.Tensor:
        if self._features_ND is None:
            return torch.cat(list(self._blocks(index_B)))
        return self._features_ND.index_select(0, index_B)

    def _finished(
        self,
        taken: torch.Tensor,
        index_B: torch.Tensor,
        augmentations: Sequence[Augmentation],
        generator: torch.Generator | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features and labels, on the device."""
        assert not augmentations, "features are those of images as they are"  # noqa: S101 - a phase sees to it
        del generator
        features_BD = taken.to(self.device, non_blocking=True).to(self._cut.dtype)
        return features_BD, self.label_N.index_select(0, index_B)

    @torch.no_grad()
    def _blocks(self, index_N: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield float32 features in the order of the indices."""
        for start in range(0, len(index_N), _BLOCK):
            index_B = index_N[start : start + _BLOCK]
            filled_B = torch.cat([index_B, index_B[-1:].expand(_BLOCK - len(index_B))])
            images_BCHW, _ = self._images.batch(filled_B, (), None)
            with autocast(self.device, self._precision):
                yield self._cut.body(images_BCHW).float()[: len(index_B)]

    def keep(self, key: str, folder: FeatureFolder | None) -> None:
        """Compute all features and keep them, or take those of another trial; what cannot be kept is not.

        Args:
            key: Says which features these are (`feature_key`).
            folder: Where they may go on the disk.
        """
        features_ND = None
        if folder is not None and folder.shared:
            features_ND = self._of_another_trial(folder.path / f"{key}.npy")
            self.reused = features_ND is not None
        if features_ND is None:
            if self.device.type == "cuda":  # kernels are chosen outside the clock
                next(self._blocks(torch.zeros(1, dtype=torch.int64)))
                torch.cuda.synchronize(self.device)
            wall, cpu = time.perf_counter(), time.thread_time()
            with contextlib.suppress(OSError):  # a full disk costs time, not the trial
                features_ND = self._computed(key, folder)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            self.compute_s, self.compute_cpu_s = time.perf_counter() - wall, time.thread_time() - cpu
        if features_ND is not None:
            self._features_ND = torch.from_numpy(features_ND)
            if self.device.type == "cuda" and features_ND.nbytes < torch.cuda.mem_get_info(self.device)[0] // 2:
                self._features_ND = self._features_ND.to(self.device)
            self.is_fetched = self._features_ND.device != self.device

    @property
    def _shape(self) -> tuple[int, int]:
        return len(self.label_N), self._cut.num_features

    def _of_another_trial(self, file: Path) -> NDArray[np.float32] | None:
        try:
            kept_ND: NDArray[np.float32] = np.load(file, mmap_mode="c", allow_pickle=False)
            os.utime(file)  # used just now: the last to make room for others
        except (OSError, ValueError, EOFError):
            return None
        return kept_ND if kept_ND.shape == self._shape and kept_ND.dtype == np.float32 else None

    def _computed(self, key: str, folder: FeatureFolder | None) -> NDArray[np.float32] | None:
        num_bytes = 4 * self._shape[0] * self._shape[1]
        if folder is not None and folder.shared and num_bytes <= _FOLDER_BYTES:
            _make_room(folder.path, num_bytes)
            return self._in_file(folder.path, folder.path / f"{key}.npy")
        if num_bytes <= _IN_MEMORY_BYTES:
            return self._filled(np.empty(self._shape, np.float32))
        return self._in_file(folder.path, None) if folder is not None else None

    def _in_file(self, folder: Path, file: Path | None) -> NDArray[np.float32]:
        """Compute into a memory-mapped file; without a name it is gone when nobody uses it any more."""
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".new-{os.getpid()}-{time.monotonic_ns()}.npy"
        try:
            mapped_ND = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=self._shape)
            with temporary.open("r+b") as opened:
                if hasattr(os, "posix_fallocate"):  # a mapped file on a full disk would end the process by a signal
                    os.posix_fallocate(opened.fileno(), 0, temporary.stat().st_size)
                self._filled(mapped_ND)
                if file is not None:
                    mapped_ND.flush()
                    os.fsync(opened.fileno())
            if file is not None:
                temporary.replace(file)
            return mapped_ND
        finally:
            with contextlib.suppress(OSError):  # where an open file cannot be removed, the next to make room does it
                temporary.unlink(missing_ok=True)

    def _filled(self, features_ND: NDArray[np.float32]) -> NDArray[np.float32]:
        start = 0
        for features_BD in self._blocks(torch.arange(self._shape[0])):
            features_ND[start : start + len(features_BD)] = features_BD.cpu().numpy()
            start += len(features_BD)
        return features_ND


_LEFTOVER_S = 86_400
"""A temporary file that is older than this belongs to a process that has died."""


def _make_room(folder: Path, num_bytes: int) -> None:
    """Remove features until the new ones fit; whoever uses a file that is removed goes on using it."""
    found = [(file.stat(), file) for file in folder.glob("*.npy")] if folder.is_dir() else []
    total = num_bytes
    for status, file in sorted(found, key=lambda one: one[0].st_mtime, reverse=True):
        total += status.st_size
        leftover = file.name.startswith(".new-")
        if time.time() - status.st_mtime > _LEFTOVER_S if leftover else total > _FOLDER_BYTES:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)


def feature_key(cut: Cut, facts: Mapping[str, Any]) -> str:
    """Return a text that is equal for equal features.

    Args:
        cut: The network; the weights and the state of its body count.
        facts: What else decides the features, as plain JSON values: model, data, size, normalisation, machine.
    """
    digest = hashlib.sha256(json.dumps([_FORMAT, _BLOCK, str(cut.body), facts], sort_keys=True).encode())
    for name, tensor in cut.body.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).data)
    return digest.hexdigest()
