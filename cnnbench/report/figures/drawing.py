"""A figure once drawn: a static picture for the page, files for a paper, and the specification behind both."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import vl_convert

from cnnbench.report.export import plain
from cnnbench.report.figures import theme

if TYPE_CHECKING:
    from collections.abc import Mapping

_TAG = re.compile(r"<\w[^<>]*>")
_NOISE = re.compile(r' (?:role|aria-[a-z]+|class|version)="[^"]*"')
_GEOMETRY = re.compile(r' (?:d|transform|x|x1|x2|y|y1|y2|width|height)="[^"]*"')
_LONG_DECIMAL = re.compile(r"(\.\d{2})\d+")
_FONT = re.compile(r' font-family="[^"]*"')
_ID = re.compile(r' id="([^"]+)"')
_ID_USE = re.compile(r"url\(['\"]?#([^)'\"]+)['\"]?\)")
_REMOTE = re.compile(r"""<\w[^<>]*\s(?:xlink:)?(?:href|src)=["'](?!\#|data:)""", re.IGNORECASE)
_PDF_RESOURCES = re.compile(rb"(?:^ *\/\w+ \d+ 0 R\n)+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawn figure."""

    key: str
    """Names its files, e.g. ``accuracy-effects``; unique in a report."""
    caption: str
    """What is drawn: quantities, intervals and n."""
    alt: str
    """For readers who do not see it."""
    svg: str
    """An inline picture in light colours whose ids begin with ``key``."""
    spec: Mapping[str, Any]
    """The Vega-Lite specification, configured, with its data inline."""

    def svg_file(self) -> bytes:
        """The picture as a file of its own, on white."""
        start = self.svg.index(">") + 1
        return f'{self.svg[:start]}<rect width="100%" height="100%" fill="#ffffff"/>{self.svg[start:]}\n'.encode()

    def pdf_file(self) -> bytes:
        """The picture as a PDF with embedded fonts."""
        pdf: bytes = vl_convert.svg_to_pdf(self.svg_file().decode())
        # The writer lists a page's resources in the order of a hash table; sorted, equal figures are equal files.
        return _PDF_RESOURCES.sub(lambda match: b"".join(sorted(match[0].splitlines(keepends=True))), pdf)


def draw(key: str, spec: Mapping[str, Any], *, caption: str, alt: str) -> Drawing:
    """Draw a Vega-Lite specification whose data is inline.

    Raises:
        ValueError: It is not valid Vega-Lite, or it would load something from elsewhere.
    """
    configured = plain(theme.configured({name: value for name, value in spec.items() if name != "$schema"}))
    svg: str = vl_convert.vegalite_to_svg(configured, allowed_base_urls=[])
    if _REMOTE.search(svg):
        raise ValueError("it refers to something outside the report; a report must be readable offline.")
    return Drawing(key=key, caption=caption, alt=alt, svg=_tidy(svg, key), spec=configured)


def _tidy(svg: str, key: str) -> str:
    """The picture without what the page says itself, at a hundredth of a pixel, with ids of its own."""

    def tidy_tag(match: re.Match[str]) -> str:
        tag = _NOISE.sub("", match[0])
        tag = _FONT.sub("", tag)
        tag = _GEOMETRY.sub(lambda geometry: _LONG_DECIMAL.sub(r"\1", geometry[0]), tag)
        return _ID_USE.sub(rf"url(#{key}-\1)", _ID.sub(rf' id="{key}-\1"', tag))

    fonts = theme.FONTS.replace('"', "'")
    return _TAG.sub(tidy_tag, svg).replace("<svg ", f'<svg font-family="{fonts}" ', 1)


@cache
def interactive_bundle() -> str:
    """The JavaScript that makes figures interactive: Vega, Vega-Lite and Vega-Embed, whole, for use offline."""
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle
