"""cnnbench: benchmark CNNs with declarative, repeated, honestly tested experiments."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from cnnbench.store import Study

__all__ = ["__version__", "load_network", "open_study"]

__version__ = version("cnnbench")


def open_study(path: str | Path) -> Study:
    """Open a run folder for reading: ``open_study("runs/entr").trials`` is a pandas table.

    Raises:
        StoreError: The folder is not a run of cnnbench, or a file in it cannot be read.
    """
    from cnnbench.store import Study  # noqa: PLC0415 - `import cnnbench` stays free of h5py and pandas

    return Study.open(path)


def load_network(run: str | Path, trial_id: str) -> nn.Module:
    """Return the network of a finished trial with the weights that it kept (``trial.save_weights``), on the CPU.

    Raises:
        StoreError: The folder has no such trial, or the trial kept no weights.
    """
    from cnnbench.train import load_network as load  # noqa: PLC0415 - `import cnnbench` stays free of torch

    return load(run, trial_id)
