"""Small results of long computations, kept as JSON files under names that say what they depend on."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any


def kept(folder: Path | None, name: str) -> dict[str, Any] | None:
    """Return what was kept under a name, or None where there is nothing that can be read."""
    if folder is None:
        return None
    try:
        found = json.loads((folder / name).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def keep(folder: Path | None, name: str, value: dict[str, Any]) -> None:
    """Keep a result; a folder that cannot be written costs nothing but time."""
    if folder is None:
        return
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".new", delete=False, encoding="utf-8") as file:
            json.dump(value, file)
        Path(file.name).replace(folder / name)
