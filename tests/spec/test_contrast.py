from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cnnbench.spec import parse_contrast

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,5}( [A-Za-z0-9-]{1,4})?", fullmatch=True)
LEVELS = st.one_of(
    st.lists(NAMES, min_size=2, max_size=5, unique=True),
    st.lists(st.integers(-50, 500), min_size=2, max_size=5, unique=True),
    st.lists(st.sampled_from([0.001, 0.01, 0.1, 0.5, 1.5, 1e-07]), min_size=2, max_size=5, unique=True),
)


@given(LEVELS, st.data())
def test_a_contrast_gives_back_the_weights_it_was_written_with(levels: list[str | int | float], data: st.DataObject):
    assume(not any({"+", "-"} & set(str(level).split()) for level in levels))
    drawn = data.draw(
        st.lists(st.fractions(-3, 3, max_denominator=7), min_size=len(levels) - 1, max_size=len(levels) - 1)
    )
    weights = [*drawn, -sum(drawn, Fraction(0))]
    assume(any(weights))
    terms = [f"{abs(weight)} {level}" for weight, level in zip(weights, levels, strict=True)]
    signs = ["-" if weight < 0 else "+" for weight in weights]
    first = f"-{terms[0]}" if signs[0] == "-" else terms[0]
    text = " ".join([first, *(f"{sign} {term}" for sign, term in zip(signs[1:], terms[1:], strict=True))])
    assert parse_contrast(text, levels) == pytest.approx([float(weight) for weight in weights])


@pytest.mark.parametrize(
    ("text", "levels", "weights"),
    [
        ("gradual - none", ("none", "gradual", "stepwise"), (-1, 1, 0)),
        ("0.5 gradual + 0.5 stepwise - none", ("none", "gradual", "stepwise"), (-1, 0.5, 0.5)),
        ("1/3 8 + 2/3 14 - 20", (8, 14, 20), (1 / 3, 2 / 3, -1)),
        ("20 - 8", (8, 14, 20), (-1, 0, 1)),
        ("2 * 14 - 8 - 20", (8, 14, 20), (-1, 2, -1)),
        ("2*b - a - c", ("a", "b", "c"), (-1, 2, -1)),
        ("layer-wise - all at once", ("all at once", "layer-wise"), (-1, 1)),
        ("  a   -   b ", ("a", "b"), (1, -1)),
        ("-1 a + b", ("a", "b"), (-1, 1)),
        ("true - false", (False, True), (-1, 1)),
        ("0.1 - 0.01", (0.01, 0.1), (-1, 1)),
        ("2 a - a", ("2 a", "a"), (1, -1)),
    ],
)
def test_contrasts_are_read_as_researchers_write_them(text: str, levels: tuple[str, ...], weights: tuple[float, ...]):
    assert parse_contrast(text, levels) == pytest.approx(weights)


@pytest.mark.parametrize("level", ["a -", "a - b"])
def test_a_level_that_looks_like_an_operator_has_to_be_renamed(level: str):
    sentence = f"The level `{level}` cannot be told from an operator; rename it."
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse_contrast(f"{level} - c", [level, "c"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a - x", "`x` is no level; the levels are `a`, `b`, `8`, and terms are joined by ` + ` or ` - `."),
        ("a-b", "`a-b` is no level; the levels are `a`, `b`, `8`, and terms are joined by ` + ` or ` - `."),
        ("", "`` is no level; the levels are `a`, `b`, `8`, and terms are joined by ` + ` or ` - `."),
        ("a + b - a", "the contrast names level `a` twice."),
        ("a + b", "the weights of the contrast sum to 2; they must sum to 0."),
        ("0.5 a - 0.4 b", "the weights of the contrast sum to 0.1; they must sum to 0."),
        ("a", "the weights of the contrast sum to 1; they must sum to 0."),
        ("0 a - 0 b", "all weights of the contrast are 0; give two levels a weight."),
        ("1/0 a - b", "the weight `1/0` of the contrast divides by zero."),
    ],
)
def test_a_contrast_that_is_none_is_refused_with_the_reason(text: str, sentence: str):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        parse_contrast(text, ("a", "b", 8))
