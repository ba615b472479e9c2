from __future__ import annotations

import math

import pytest

from cnnbench.report import format as fmt
from cnnbench.types import Interval


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0, "<\N{NO-BREAK SPACE}0.001"),
        (0.0009999, "<\N{NO-BREAK SPACE}0.001"),
        (0.001, "0.001"),
        (0.0312, "0.031"),
        (1.0, ">\N{NO-BREAK SPACE}0.999"),
        (None, fmt.ABSENT),
        (math.nan, fmt.ABSENT),
    ],
)
def test_a_p_value_is_never_printed_as_zero_or_one(p: float | None, text: str):
    assert fmt.p_value(p) == text


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.0118213, None, "0.01182"),
        (-0.0118213, 4, "\N{MINUS SIGN}0.0118"),
        (-0.00001, 3, "0.000"),
        (1234567.0, 0, "1,234,567"),
        (1234567, None, "1,234,567"),
        (2.5e-11, None, "2.50 \N{MULTIPLICATION SIGN} 10⁻¹¹"),
        (math.inf, None, "∞"),
        (-math.inf, None, "\N{MINUS SIGN}∞"),
        (0.0, None, "0"),
        (None, None, fmt.ABSENT),
        (math.nan, 3, fmt.ABSENT),
        (True, None, "yes"),
    ],
)
def test_numbers_are_written_for_readers(value: float | None, decimals: int | None, text: str):
    assert fmt.number(value, decimals) == text


def test_the_narrowest_uncertainty_decides_the_places():
    assert fmt.decimals_for([0.0094, 0.11, None]) == 4
    assert fmt.decimals_for([None, 0.0, math.inf]) is None


def test_an_interval_has_a_real_minus_and_equal_places():
    assert fmt.interval_text(Interval(-0.0051, 0.01711)) == "[\N{MINUS SIGN}0.005, 0.017]"
    assert fmt.interval_text(None) == fmt.ABSENT


def test_units_get_real_exponents_and_fractions_none():
    assert fmt.with_unit("score", "s-0.5") == "score (s⁻⁰·⁵)"
    assert fmt.with_unit("accuracy", "1") == "accuracy"


def test_flops_have_a_prefix():
    assert fmt.flops(2.5e12) == "2.500\N{NO-BREAK SPACE}T"


def test_degrees_of_freedom_are_whole_where_they_are_whole():
    assert [fmt.degrees(df) for df in (4.0, 7.83, None)] == ["4", "7.8", fmt.ABSENT]


def test_a_ratio_is_never_zero():
    assert fmt.ratio(0.000021, 0) == "0.00002100"
    assert fmt.ratio(532.4, 0) == "532"
    assert fmt.ratio(None, 0) == fmt.ABSENT
    assert fmt.interval_text(Interval(0.0369, 7660654.2, 0.95), 0, ratios=True) == "[0.03690, 7,660,654]"
