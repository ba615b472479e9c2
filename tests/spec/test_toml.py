from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import example, given
from hypothesis import strategies as st

from cnnbench.errors import SpecError
from cnnbench.spec.toml import KeyPath, parse_toml, read_toml

KEYS = st.one_of(st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True), st.text(max_size=6))
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.dates(),
    st.datetimes(),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=5)


def _key_paths(value: Any, path: KeyPath = ()) -> list[KeyPath]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, inner in items for found in [(*path, key), *_key_paths(inner, (*path, key))]]


def _text_at(text: str, position: tuple[int, int]) -> str:
    line, column = position
    return text.split("\n")[line - 1][column - 1 :]


@given(DOCUMENTS, st.booleans())
@example({"a": [{"b": [{"c": 1}, {"c": 2}]}, {"b": [{"c": 3}]}]}, False)
@example({"q": {'"': "'''", "'": '"""', "a.b": "\\", "": "#"}, "s": 'x"""y\n"'}, True)
def test_every_key_of_a_document_has_its_position(document: dict[str, Any], multiline: bool):  # noqa: FBT001 - drawn by position
    text = tomli_w.dumps(document, multiline_strings=multiline)
    parsed = parse_toml(text, "study.toml")
    assert set(parsed.positions) == set(_key_paths(parsed.data))
    for path, position in parsed.positions.items():
        if isinstance(path[-1], str):
            written = tomli_w.dumps({path[-1]: 0}).removesuffix(" = 0\n")
            found = _text_at(text, position)
            assert found.startswith(f"{written} = ") or (found.startswith("[") and written in found)


FEATURES = """\
# a comment with = and [brackets]
plain = 1   # a = 2
"quoted key" = 'literal # no comment'
'single' = "escaped \\" quote # no comment"
a.b . "c.d" = 3
dates = [1979-05-27T07:32:00Z, 1979-05-27, 07:32:00]
text = \"\"\"
fake = 1
[fake]
ends with two quotes\"\"\"\"\"
raw = '''
also.fake = 2 \\'''
after = true
list = [ # comment ]
  1, [2, 3],
  { x = 1, y.z = "," }, # { q = 1 }
]
inline = { p = { q = [ { r = 1 } ] }, s = '}' }

[table]
k = 0x1F
[table."sub table".deep]
k = -inf
[[rows]]
n = 1
[[rows.cells]]
v = 1
[[rows.cells]]
v = 2
[[rows]]
n = 2
[[rows.cells]]
v = 3
[rows.extra]
w = 4
"""


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        (("plain",), 2, 1),
        (("quoted key",), 3, 1),
        (("single",), 4, 1),
        (("a", "b", "c.d"), 5, 1),
        (("dates", 2), 6, 44),
        (("text",), 7, 1),
        (("raw",), 11, 1),
        (("after",), 13, 1),
        (("list", 1), 15, 6),
        (("list", 1, 1), 15, 10),
        (("list", 2, "y", "z"), 16, 12),
        (("inline", "p", "q", 0, "r"), 18, 26),
        (("inline", "s"), 18, 39),
        (("table",), 20, 1),
        (("table", "k"), 21, 1),
        (("table", "sub table", "deep"), 22, 1),
        (("rows",), 24, 1),
        (("rows", 0, "cells", 1, "v"), 29, 1),
        (("rows", 1), 30, 1),
        (("rows", 1, "n"), 31, 1),
        (("rows", 1, "cells", 0, "v"), 33, 1),
        (("rows", 1, "extra", "w"), 35, 1),
    ],
)
def test_a_key_stands_where_the_eye_finds_it(path: KeyPath, line: int, column: int):
    assert parse_toml(FEATURES, "study.toml").positions[path] == (line, column)


def test_nothing_but_keys_has_a_position():
    parsed = parse_toml(FEATURES, "study.toml")
    assert set(parsed.positions) == set(_key_paths(parsed.data))


@pytest.mark.parametrize(
    ("text", "line", "column", "sentence"),
    [
        ("a = 1\nb = entr\n", 2, 5, "no value can be read here; a text needs quotes"),
        ("a = 1\na = 2\nb = 3\n", 2, 6, "the key that ends here is defined twice; remove one of the two"),
        ("[x.y]\n[x.y]\n", 2, 5, "the table `[x.y]` is defined twice; join the two"),
        ('p = "C:\\data"\n', 1, 10, "a backslash in double quotes begins an escape; use single quotes"),
        ('a = "open\nb = 1\n', 1, 10, "the line ends within a text; close its quotes"),
        ("a = [1,", 1, 8, "no value can be read here; a text needs quotes"),
        ("[a\nb = 1", 1, 3, "expected ']' at the end of a table declaration"),
    ],
)
def test_malformed_toml_is_told_with_line_and_column(text: str, line: int, column: int, sentence: str):
    with pytest.raises(SpecError) as caught:
        parse_toml(text, "study.toml")
    assert str(caught.value) == f"study.toml:{line}:{column}: this is not valid TOML: {sentence}."


def _complaint(path: Path) -> str:
    with pytest.raises(SpecError) as caught:
        read_toml(path)
    return str(caught.value)


def test_a_missing_file_is_one_sentence(tmp_path: Path):
    path = tmp_path / "absent.toml"
    assert _complaint(path) == f"{path}: there is no such study file; check the path."


def test_a_folder_is_no_study_file(tmp_path: Path):
    assert _complaint(tmp_path) == f"{tmp_path}: this is a folder; give the study's TOML file."


def test_a_file_within_a_file_cannot_be_read(tmp_path: Path):
    (tmp_path / "file").write_text("", "utf-8")
    path = tmp_path / "file" / "study.toml"
    assert _complaint(path) == f"{path}: the file cannot be read: Not a directory."


def test_a_text_in_another_encoding_is_told_with_its_byte(tmp_path: Path):
    path = tmp_path / "study.toml"
    path.write_bytes("a = 'Größe'".encode("latin-1"))
    assert _complaint(path) == f"{path}: this is no UTF-8 text (byte 7); TOML has to be."


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfa = 1\nb = 2\n", b"a = 1\r\nb = 2\r\n"])
def test_a_byte_order_mark_and_windows_line_ends_move_nothing(tmp_path: Path, content: bytes):
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    parsed = read_toml(path)
    assert parsed.data == {"a": 1, "b": 2}
    assert parsed.positions == {("a",): (1, 1), ("b",): (2, 1)}
