"""TOML with positions: `tomllib` reads the values, and a small scanner finds where each key stands.

`tomllib` checks that the text is well-formed first, so the scanner only has to find its way, not to judge.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnbench.errors import Problem, SpecError

if TYPE_CHECKING:
    from pathlib import Path

KeyPath = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_SCALAR = re.compile(r"[^,\]}#\n]*")
_REMEDIES = (
    (re.compile(r"Cannot overwrite a value"), "the key that ends here is defined twice; remove one of the two"),
    (re.compile(r"Cannot declare (.*) twice"), r"the table \1 is defined twice; join the two"),
    (re.compile(r"Invalid value"), "no value can be read here; a text needs quotes"),
    (re.compile(r"Illegal character '\\n'"), "the line ends within a text; close its quotes"),
    (re.compile(r"Unescaped '\\' in a string"), "a backslash in double quotes begins an escape; use single quotes"),
)
"""What tomllib says of the commonest slips -> what to do about them."""
_AT = re.compile(r"^(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Document:
    """A TOML text with the line and column, both from 1, of every key, table and array item."""

    text: str
    data: dict[str, Any]
    positions: dict[KeyPath, tuple[int, int]]


def read_toml(path: Path) -> Document:
    """Read a TOML file.

    Raises:
        SpecError: The file is missing, unreadable, not UTF-8 or not TOML; the problem carries line and column.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError:
        raise SpecError(path, [Problem("", "there is no such study file; check the path.")]) from None
    except IsADirectoryError:
        raise SpecError(path, [Problem("", "this is a folder; give the study's TOML file.")]) from None
    except UnicodeDecodeError as error:
        raise SpecError(path, [Problem("", f"this is no UTF-8 text (byte {error.start}); TOML has to be.")]) from None
    except OSError as error:
        raise SpecError(path, [Problem("", f"the file cannot be read: {error.strerror}.")]) from None
    return parse_toml(text, path)


def parse_toml(text: str, source: str | Path) -> Document:
    """Parse a TOML text; ``source`` names it in errors."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(source, [_syntax_problem(str(error), text)]) from None
    return Document(text, data, _Scanner(text).scan())


def _syntax_problem(message: str, text: str) -> Problem:
    found = _AT.match(message)
    if not found:
        return Problem("", f"this is not valid TOML: {message}.")
    line = int(found[2]) if found[2] else text.count("\n") + 1
    column = int(found[3]) if found[3] else len(text.rsplit("\n", 1)[-1]) + 1
    return Problem("", f"this is not valid TOML: {_in_plain_words(found[1])}.", line, column)


def _in_plain_words(message: str) -> str:
    for pattern, remedy in _REMEDIES:
        if known := pattern.fullmatch(message):
            return (
                known.expand(remedy).replace("', '", ".").replace("('", "`[").replace("',)", "]`").replace("')", "]`")
            )
    return message[0].lower() + message[1:]


class _Scanner:
    """Walks through a well-formed TOML text and notes where things stand."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.positions: dict[KeyPath, tuple[int, int]] = {}
        self.tables: dict[KeyPath, int] = {}
        """Array of tables -> index of its last table."""
        self.line_starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def scan(self) -> dict[KeyPath, tuple[int, int]]:
        prefix: KeyPath = ()
        while True:
            self._skip(_BLANK)
            if self.at >= len(self.text):
                return self.positions
            prefix = self._header() if self.text[self.at] == "[" else self._pair(prefix)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        assert match is not None  # noqa: S101 - the text is well-formed, so each pattern matches where it is used
        self.at = match.end()
        return match[0]

    def _note(self, path: KeyPath, at: int) -> None:
        line = bisect_right(self.line_starts, at)
        self.positions.setdefault(path, (line, at - self.line_starts[line - 1] + 1))

    def _header(self) -> KeyPath:
        start = self.at
        double = self.text.startswith("[[", start)
        self.at += 2 if double else 1
        path: KeyPath = ()
        keys = self._key()
        for depth, key in enumerate(keys):
            path = (*path, key)
            self._note(path, start)
            if double and depth == len(keys) - 1:
                self.tables[path] = self.tables.get(path, -1) + 1
            if path in self.tables:
                path = (*path, self.tables[path])
                self._note(path, start)
        self.at += 2 if double else 1
        return path

    def _pair(self, prefix: KeyPath) -> KeyPath:
        start = self.at
        path = prefix
        for key in self._key():
            path = (*path, key)
            self._note(path, start)
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)
        return prefix

    def _key(self) -> list[str]:
        keys = []
        while True:
            self._skip(_SPACE)
            if self.text[self.at] in "\"'":
                keys.append(self._string())
            else:
                keys.append(self._skip(_BARE_KEY))
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return keys
            self.at += 1

    def _value(self, path: KeyPath) -> None:
        first = self.text[self.at]
        if first in "\"'":
            self._string()
        elif first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            self._skip(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        while True:
            self._skip(_BLANK)
            if self.text[self.at] == "]":
                break
            self._note((*path, index), self.at)
            self._value((*path, index))
            index += 1
            self._skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
        self.at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self.at += 1
        while True:
            self._skip(_BLANK)
            if self.text[self.at] == "}":
                break
            self._pair(path)
            self._skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
        self.at += 1

    def _string(self) -> str:
        quote = self.text[self.at]
        multiline = self.text.startswith(quote * 3, self.at)
        start = self.at
        self.at += 3 if multiline else 1
        end = quote * 3 if multiline else quote
        while not self.text.startswith(end, self.at):
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        self.at += len(end)
        while multiline and self.text.startswith(quote, self.at):  # up to two quotes may precede the closing three
            self.at += 1
        return str(tomllib.loads(f"key = {self.text[start : self.at]}")["key"])
