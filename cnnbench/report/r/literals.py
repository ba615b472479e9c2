"""Python values as R writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH = 118
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def text(value: str) -> str:
    """Return a string literal that holds exactly these characters, whatever the locale of the R that reads it.

    R strings cannot hold the character U+0000, which becomes U+FFFD.
    """
    return f'"{"".join(map(_character, value))}"'


def _character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if " " <= character <= "~":
        return character
    code = ord(character) or 0xFFFD
    if 0xD800 <= code <= 0xDFFF:
        code = 0xFFFD
    return f"\\u{{{code:04x}}}" if code <= 0xFFFF else f"\\U{{{code:08x}}}"


def number(value: float) -> str:
    """Return a number with all its digits."""
    return repr(float(value)).removesuffix(".0") if value == value else "NA"  # noqa: PLR0124 - nan alone differs


def vector(values: Iterable[str]) -> str:
    """Return ``c(...)`` of values that are written already."""
    return f"c({', '.join(values)})"


def wrapped(head: str, parts: Sequence[str], tail: str) -> list[str]:
    """Return ``head part, part, ... tail`` in lines that fit a page."""
    lines, line = [], head
    for index, part in enumerate(parts):
        piece = part + (", " if index < len(parts) - 1 else "")
        if len(line) + len(piece) > WIDTH and line.strip():
            lines.append(line.rstrip())
            line = "    "
        line += piece
    return [*lines, line + tail]


def comment(sentence: str) -> list[str]:
    """Return a comment of one or more lines; line breaks inside become spaces."""
    lines, line = [], "#"
    for word in " ".join(sentence.split()).split(" "):
        if len(line) + len(word) + 1 > WIDTH and line != "#":
            lines.append(line)
            line = "#"
        line += f" {word}"
    return [*lines, line]
