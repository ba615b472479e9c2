"""The report on disk: a page that opens anywhere, the same numbers for programs, the same figures for papers."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench.errors import StoreError
from cnnbench.report.export import findings_json, trials_csv
from cnnbench.report.page import render_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.types import Section, StudyView


_MADE_FROM = ".made-from"
"""File beside the page that names what it was made from."""


def write_report(view: StudyView, sections: Sequence[Section], directory: Path, *, reuse: bool = False) -> Path:
    """Write the report of a study into ``directory`` and return the path of its page.

    Writes ``figures/*.svg`` and ``*.pdf``, ``trials.csv``, ``findings.json``, ``analysis.R`` and, last, ``index.html``,
    which needs no network and none of the other files. Each file is whole whenever it exists; figures that an earlier
    report left there are removed. The same view gives the same bytes; with ``reuse``, a report that this version wrote
    from the same view is left as it is, because drawing its figures takes seconds.

    Raises:
        StoreError: A file cannot be written.
    """
    made_from, page = _fingerprint(view, sections), directory / "index.html"
    names = ("index.html", "trials.csv", "findings.json", *(["analysis.R"] if view.r_script else []))
    whole = all((directory / name).exists() for name in names)
    if reuse and whole and _read(directory / _MADE_FROM) == made_from:
        return page
    html, drawings = render_page(view, sections)
    files = {f"figures/{drawing.key}.svg": drawing.svg_file() for drawing in drawings}
    files |= {f"figures/{drawing.key}.pdf": drawing.pdf_file() for drawing in drawings}
    files |= {"trials.csv": trials_csv(view.trials).encode(), "findings.json": findings_json(view).encode()}
    files |= {"analysis.R": view.r_script.encode()} if view.r_script else {}
    try:
        (directory / "figures").mkdir(parents=True, exist_ok=True)
        (directory / _MADE_FROM).unlink(missing_ok=True)
        for name, content in files.items():
            _replace(directory / name, content)
        _replace(page, html.encode())
        for path in (directory / "figures").iterdir():
            if path.suffix in {".svg", ".pdf"} and f"figures/{path.name}" not in files:
                path.unlink()
        _replace(directory / _MADE_FROM, made_from)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(
            f"The report cannot be written to {directory} ({reason}); make room or permit writing there, then write it "
            f"again: the trials are safe."
        ) from error
    return page


def _fingerprint(view: StudyView, sections: Sequence[Section]) -> bytes:
    """Name everything that a report is made from, and the version that makes it."""
    parts = [version("cnnbench"), findings_json(view), trials_csv(view.trials), *map(repr, sections)]
    parts += [repr(getattr(view, part.name)) for part in fields(view) if part.name not in {"findings", "trials"}]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest().encode()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that readers see either the old one or the whole new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
