"""The processor cores that this process may use, how busy they are, and whether its forks may work on them."""

from __future__ import annotations

import multiprocessing
import os
import sys


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_average() -> float | None:
    """Return how many processes wanted to run at once in the last minute, on average; None where nobody knows."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):  # not on Windows; not in every container
        return None


def may_fork() -> bool:
    """Return whether this process may be forked: not on Windows, not in a worker, not once it holds a GPU.

    Nor once it has compiled a network: that starts threads of torch's, without which a fork cannot train.
    """
    if "fork" not in multiprocessing.get_all_start_methods() or multiprocessing.current_process().daemon:
        return False
    if "torch._inductor.compile_fx" in sys.modules:
        return False
    torch = sys.modules.get("torch")  # a CUDA context does not survive a fork; planning imports no torch
    return torch is None or not torch.cuda.is_initialized()
