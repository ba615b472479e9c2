"""The figures of one report: each with a name of its own, in the order in which the page shows them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnnbench.report.figures import Drawing

_NOT_PLAIN = re.compile(r"[^a-z0-9]+")


class Gallery:
    """Hands out names for figures and collects what was drawn under them."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self.drawings: list[Drawing] = []

    def key(self, *parts: str) -> str:
        """A name for files and ids that is free, made from ``parts``: lower case letters, digits and hyphens."""
        stem = "-".join(plain for part in parts if (plain := _NOT_PLAIN.sub("-", part.lower()).strip("-"))) or "figure"
        name, count = stem, 1
        while name in self._taken:
            count += 1
            name = f"{stem}-{count}"
        self._taken.add(name)
        return name

    def add(self, drawing: Drawing | None) -> Drawing | None:
        """Collect a drawing and return it."""
        if drawing is not None:
            self.drawings.append(drawing)
        return drawing
