"""Provenance: the code, the packages, the machine; and which trials may be compared with which.

Also the two things that must be done to a process before torch is imported: the allocator and the thread pools.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnbench.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Collection

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_TOP_PAD_BYTES = 64 * 2**20
_INT_MAX = 2**31 - 1


def tune_process() -> None:
    """Prepare this process for training on the CPU; call it before torch or numpy is imported.

    glibc hands large buffers back to the kernel after every step and faults them in again at the next one; keeping them
    makes small nets 1.6 to 1.9 times faster for a quarter more memory. One thread per process, because trials run side
    by side, and because one thread and two give different last bits.
    """
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    # Deterministic matrix products on CUDA need this before the first one (torch's notes on reproducibility).
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, _INT_MAX)
    libc.mallopt(_M_TOP_PAD, _TOP_PAD_BYTES)


def tune_torch() -> None:
    """Set what torch must be told in every process that trains: one thread, deterministic algorithms."""
    import torch  # noqa: PLC0415 - this module is read before torch is needed

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    # Filling fresh memory with NaN finds bugs, but costs a pass over every buffer; nothing here reads such memory.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set by module class
    torch.backends.cudnn.benchmark = False
    # "fp32" means float32: no TF32, which torch would allow in convolutions on recent GPUs.
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]  # set by module class
    torch.backends.cuda.matmul.fp32_precision = "ieee"


def check_torch() -> None:
    """Check that torch and torchvision fit together.

    Raises:
        SetupError: They do not; the message says what to install.
    """
    try:
        import torch  # noqa: PLC0415 - this is the check
    except (ImportError, OSError) as error:
        raise SetupError(
            f"torch cannot be imported ({_first_line(error)}); install it with `pip install torch torchvision`."
        ) from error
    try:
        import torchvision.ops  # noqa: F401, PLC0415 - this is the check
    except ModuleNotFoundError as error:
        raise SetupError(
            f"torchvision is not there ({_first_line(error)}); install it with `pip install torchvision`."
        ) from error
    except (ImportError, AttributeError, RuntimeError, OSError) as error:
        raise SetupError(
            f"torch {torch.__version__} and the installed torchvision do not fit together ({_first_line(error)}); "
            "install both from one source with `pip install --force-reinstall torch torchvision`."
        ) from error


def choose_devices(wanted: str) -> list[str]:
    """Return the devices to train on: ``cpu``, or one entry for each CUDA device.

    Args:
        wanted: ``auto``, ``cpu``, ``cuda``, or CUDA devices as a list, such as ``cuda:1``, ``cuda:0,cuda:1`` or
            ``0,1``.

    Raises:
        SetupError: A device is not there, or the list cannot be used.
    """
    if wanted == "cpu" or (wanted == "auto" and not _has_gpu_driver()):
        return ["cpu"]
    import torch  # noqa: PLC0415 - the answer "cpu" needs no torch

    available = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if wanted == "auto":
        return available or ["cpu"]
    if wanted == "cuda" and available:
        return available
    names = [name.strip() for name in wanted.split(",")]
    chosen = [f"cuda:{int(name)}" if name.isdecimal() else name for name in names]
    there = ", ".join(["cpu", *available])
    for device in chosen:
        if device in {"auto", "cpu", "cuda"} and len(chosen) > 1:
            raise SetupError(f"`{device}` cannot stand in a list of devices; name them one by one: {there}.")
        if device not in available:
            raise SetupError(f"there is no device `{device}` on this machine; there is {there}.")
        if chosen.count(device) > 1:
            raise SetupError(f"the device `{device}` is named twice; for several workers on it use --workers.")
    return chosen


def _has_gpu_driver() -> bool:
    """Return whether this machine has a driver that torch could use, without importing torch."""
    for library in ("libcuda.so.1", "libamdhip64.so", "nvcuda.dll"):
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return True
    return False


def check_compiler(devices: Collection[str]) -> None:
    """Check that torch.compile finds what it needs for these devices.

    Raises:
        SetupError: It does not; the message says what to install.
    """
    if "cpu" in devices and shutil.which(_cpp_compiler()) is None:
        raise SetupError(
            f"`compile = true` needs a C++ compiler, and there is no `{_cpp_compiler()}`; install one, name it in the "
            "variable CXX, or leave `compile` out."
        )
    if all(device == "cpu" for device in devices):
        return
    if importlib.util.find_spec("triton") is None:
        raise SetupError("`compile = true` needs triton on a GPU; install it, or leave `compile` out.")
    if not any(shutil.which(name) for name in (os.environ.get("CC", ""), "gcc", "clang")):
        raise SetupError("`compile = true` needs a C compiler on a GPU; install one, or leave `compile` out.")


def compiler(device: str) -> str:
    """Return name and version of what torch.compile has its code compiled by."""
    if device != "cpu":
        triton = importlib.import_module("triton")  # its distribution has several names
        return f"triton {triton.__version__}"
    try:
        said = subprocess.run(  # noqa: S603 - the compiler that torch calls, too
            [_cpp_compiler(), "--version"], capture_output=True, check=True, timeout=20, text=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return _cpp_compiler()
    return _first_line_of(said)


def _cpp_compiler() -> str:
    """Return what torch calls by default (`torch._inductor.config.cpp.cxx`)."""
    return os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")


def comparability(device: str, precision: str) -> dict[str, Any]:
    """Return what has to agree for two trials to be comparable: hardware, precision, libraries, threads."""
    import torch  # noqa: PLC0415 - this module is read before torch is needed

    return {
        "device": device_name(device),
        "device_type": device.split(":", maxsplit=1)[0],
        "precision": precision,
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def device_name(device: str) -> str:
    """Return the product name of a device."""
    import torch  # noqa: PLC0415 - this module is read before torch is needed

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else _cpu_model()


def describe(folder: Path) -> dict[str, Any]:
    """Return the provenance of a study: packages, Python, machine, and the state of the code in ``folder``."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "packages": dict(
            sorted((dist.metadata["Name"], dist.version) for dist in metadata.distributions() if dist.metadata["Name"])
        ),
        "git": _git_state(folder),
    }


def _git_state(folder: Path) -> dict[str, Any] | None:
    """Return commit and uncommitted changes of the repository that ``folder`` lies in, if it lies in one.

    New files count as changes, but only those of tracked files are in ``diff_sha256``.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    status = _git(folder, "status", "--porcelain")
    diff = _git(folder, "diff", "--no-ext-diff", "--no-color", "--binary", "HEAD")
    if commit is None or status is None or diff is None:
        return None
    return {
        "commit": commit.decode().strip(),
        "dirty": bool(status),
        "diff_sha256": hashlib.sha256(diff).hexdigest(),
    }


def _git(folder: Path, *arguments: str) -> bytes | None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed program, our own arguments
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - git is where the user's PATH has it
            capture_output=True,
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _first_line(error: BaseException) -> str:
    return _first_line_of(str(error) or type(error).__name__).rstrip(".")


def _first_line_of(text: str) -> str:
    return next(iter(text.splitlines()), "")
