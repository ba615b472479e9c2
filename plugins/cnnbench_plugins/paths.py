"""Paths in study files: ``~`` and ``${VARIABLE}`` are expanded when a file is opened, so a study can travel."""

from __future__ import annotations

import os
import re
from pathlib import Path

from cnnbench.errors import DataError

__all__ = ["expand_path"]

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def expand_path(text: str) -> Path:
    """Return the path that a study file means.

    Raises:
        DataError: It names an environment variable that is not set.
    """
    for name in _PLACEHOLDER.findall(text):
        if not os.environ.get(name):
            rest = text.partition(f"${{{name}}}")[2].lstrip("/\\")
            points_to = f"the folder that holds `{rest}`" if rest else "the data"
            raise DataError(
                f"the study's path `{text}` needs the environment variable {name}, which is not set; "
                f"set it to {points_to}."
            )
    return Path(_PLACEHOLDER.sub(lambda match: os.environ[match[1]], text)).expanduser()
