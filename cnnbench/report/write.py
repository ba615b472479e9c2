"""The report on disk: a page that opens anywhere, the same numbers for programs, the same figures for papers."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench.errors import StoreError
from cnnbench.report.export import findings_json, trials_csv
from cnnbench.report.page import render_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.types import Section, StudyView


def write_report(view: StudyView, sections: Sequence[Section], directory: Path) -> Path:
    """Write the report of a study into ``directory`` and return the path of its page.

    Writes ``figures/*.svg`` and ``*.pdf``, ``trials.csv``, ``findings.json`` and, last, ``index.html``, which needs no
    network and none of the other files. Each file is whole whenever it exists; figures that an earlier report left
    there are removed. The same view gives the same bytes.

    Raises:
        StoreError: A file cannot be written.
    """
    html, drawings = render_page(view, sections)
    files = {f"figures/{drawing.key}.svg": drawing.svg_file() for drawing in drawings}
    files |= {f"figures/{drawing.key}.pdf": drawing.pdf_file() for drawing in drawings}
    files |= {"trials.csv": trials_csv(view).encode(), "findings.json": findings_json(view).encode()}
    page = directory / "index.html"
    try:
        (directory / "figures").mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            _replace(directory / name, content)
        _replace(page, html.encode())
        for path in (directory / "figures").iterdir():
            if path.suffix in {".svg", ".pdf"} and f"figures/{path.name}" not in files:
                path.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(
            f"The report cannot be written to {directory} ({reason}); make room or permit writing there, then write it "
            f"again: the trials are safe."
        ) from error
    return page


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
