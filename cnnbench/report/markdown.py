"""A study as one page of Markdown with its figures beside it, for documentation, pull requests and supplements."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from cnnbench.errors import StoreError
from cnnbench.report import format as fmt
from cnnbench.report.page import page_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.report.figures import Drawing
    from cnnbench.types import Section, StudyView

_TEMPLATES = Path(__file__).parent / "templates"
_SPECIAL = re.compile(r"([\\`*_\[\]<>|])")
_BLANK_LINES = re.compile(r"\n{3,}")


def write_markdown(view: StudyView, sections: Sequence[Section], directory: Path) -> Path:
    """Write ``NAME.md``, or ``NAME-PROFILE.md``, and its figures into ``directory``; return the path of the page.

    Figures are ``figures/NAME-KEY.svg``; those that an earlier page of that name left there are removed.

    Raises:
        StoreError: A file cannot be written.
    """
    name = view.name if view.profile is None else f"{view.name}-{view.profile}"
    text, drawings = render_markdown(view, sections, name)
    figures, page = directory / "figures" / name, directory / f"{name}.md"
    try:
        figures.mkdir(parents=True, exist_ok=True)
        for old in figures.glob("*.svg"):
            old.unlink()
        for drawing in drawings:
            (figures / f"{drawing.key}.svg").write_bytes(drawing.svg_file())
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"The page cannot be written to {directory} ({error.strerror}); make room or permit writing there."
        ) from error
    return page


def render_markdown(view: StudyView, sections: Sequence[Section], name: str) -> tuple[str, list[Drawing]]:
    """Return the page as Markdown, and the figures that it shows."""
    context, drawings = page_context(view, sections)
    shown: list[Drawing] = []

    def figure_path(drawing: Drawing) -> str:
        shown.append(drawing)
        return f"figures/{name}/{drawing.key}.svg"

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=False,  # noqa: S701 - Markdown; its special characters are escaped by the filters
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"fmt": fmt, "figure_path": figure_path}
    environment.filters |= {"text": escaped, "cell": escaped, "line": _line}
    text = environment.get_template("page.md.j2").render(**context)
    kept = [drawing for drawing in drawings if drawing in shown]
    return _BLANK_LINES.sub("\n\n", text).strip() + "\n", kept


def escaped(text: object) -> str:
    """Return a text in one line whose characters mean themselves in Markdown, in a table, too."""
    return _SPECIAL.sub(r"\\\1", _line(text))


def _line(text: object) -> str:
    return " ".join(str(text).split())
