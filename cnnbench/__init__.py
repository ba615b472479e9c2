"""cnnbench: benchmark CNNs with declarative, repeated, honestly tested experiments."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.store import Study

__all__ = ["__version__", "open_study"]

__version__ = version("cnnbench")


def open_study(path: str | Path) -> Study:
    """Open a run folder for reading: ``open_study("runs/entr").trials`` is a pandas table.

    Raises:
        StoreError: The folder is not a run of cnnbench, or a file in it cannot be read.
    """
    from cnnbench.store import Study  # noqa: PLC0415 - `import cnnbench` stays free of h5py and pandas

    return Study.open(path)
