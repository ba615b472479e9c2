"""Python values as R reads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnbench.report.r import literals

RSCRIPT = shutil.which("Rscript")


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        ("depth", '"depth"'),
        ('say "x"', '"say \\"x\\""'),
        ("a\\b\n", '"a\\\\b\\n"'),
        ("Größe", '"Gr\\u{00f6}\\u{00df}e"'),
        ("\N{GRINNING FACE}", '"\\U{0001f600}"'),
        ("\x07", '"\\u{0007}"'),
        ("\0", '"\\u{fffd}"'),
        ("", '""'),
    ],
)
def test_strings_are_written_in_plain_ascii(value: str, literal: str):
    assert literals.text(value) == literal


@pytest.mark.r
@pytest.mark.skipif(RSCRIPT is None, reason="R is not installed")
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=20, max_size=200))
def test_r_reads_exactly_the_characters_that_were_meant(tmp_path: Path, values: list[str]):
    script = tmp_path / "strings.R"
    literal = literals.vector(literals.text(value) for value in values)
    script.write_text(f"for (x in {literal}) cat(utf8ToInt(x), '\\n')\n", "ascii")
    done = subprocess.run([RSCRIPT, str(script)], capture_output=True, text=True, check=True)
    read = ["".join(chr(int(code)) for code in line.split()) for line in done.stdout.splitlines()]
    assert read == values


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_all_their_digits(value: float):
    assert float(literals.number(value)) == value


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=30), min_size=1, max_size=60))
def test_long_vectors_are_wrapped_without_loss(parts: list[str]):
    lines = literals.wrapped("x <- c(", parts, ")")
    joined = " ".join(line.strip() for line in lines).removeprefix("x <- c(").strip().removesuffix(")")
    assert [part.strip() for part in joined.split(",")] == parts
    assert all(len(line) <= literals.WIDTH + 1 for line in lines)


@given(st.text())
def test_a_comment_cannot_end_before_its_text_does(sentence: str):
    lines = literals.comment(sentence)
    assert all(line.startswith("#") for line in lines)
    assert not any(character in line for line in lines for character in "\n\r")
    assert " ".join(line[1:].strip() for line in lines).split() == sentence.split()
