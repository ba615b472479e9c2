"""Numbers, units, levels and names as a reader wants them: the same in the page, the figures and the terminal."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cnnbench.types import Interval, Level

ABSENT = "\N{EN DASH}"
"""Printed where there is no number."""

NO_BREAK = "\N{NO-BREAK SPACE}"
"""Keeps a number and its unit on one line."""

MINUS = "\N{MINUS SIGN}"
_SUPERSCRIPTS = str.maketrans("0123456789-.", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻·")
_UNIT_EXPONENT = re.compile(r"(?<=[A-Za-z])(-?\d+(?:\.\d+)?)")


def number(value: float | None, decimals: int | None = None) -> str:
    """A number with ``decimals`` places, or with four significant digits where they are not given."""
    if value is None or math.isnan(value):
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or math.isinf(value):
        return f"{value:,}".replace("-", MINUS).replace("inf", "∞")
    return _real(value, decimals)


def _real(value: float, decimals: int | None) -> str:
    if decimals is None:
        decimals = 3 - math.floor(math.log10(abs(value))) if value else 0
        if not -12 <= decimals <= 8:
            return _scientific(value)
        decimals = max(decimals, 0)
    elif value and round(value, decimals) == 0 and decimals >= 8:
        return _scientific(value)
    text = f"{value:,.{decimals}f}"
    if not text.strip("-0.,"):
        text = text.lstrip("-")  # a negative that rounds to nothing is no "-0.00"
    return text.replace("-", MINUS)


def _scientific(value: float) -> str:
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa} \N{MULTIPLICATION SIGN} 10{str(int(exponent)).translate(_SUPERSCRIPTS)}".replace("-", MINUS)


def decimals_for(half_widths: Iterable[float | None]) -> int | None:
    """Places that show the narrowest of some uncertainties with two significant digits; None where none is known."""
    known = [width for width in half_widths if width is not None and math.isfinite(width) and width > 0]
    return min(max(1 - math.floor(math.log10(min(known))), 0), 8) if known else None


def half_width(interval: Interval | None) -> float | None:
    """Half the length of an interval, in its own unit."""
    return None if interval is None else (interval.high - interval.low) / 2


def ratio(value: float | None, decimals: int | None = None) -> str:
    """A ratio, which is never zero, however wide the interval is that decides on the digits."""
    lost = value and decimals is not None and math.isfinite(value) and round(value, decimals) == 0
    return number(value, None if lost else decimals)


def interval_text(interval: Interval | None, decimals: int | None = None, *, ratios: bool = False) -> str:
    """An interval as ``[low, high]``."""
    if interval is None:
        return ABSENT
    places = decimals_for([half_width(interval)]) if decimals is None else decimals
    low, high = (ratio(limit, places) if ratios else number(limit, places) for limit in (interval.low, interval.high))
    return f"[{low}, {high}]"


def percent(level: float) -> str:
    """A confidence level, e.g. ``95 %``."""
    return f"{100 * level:.4g}\N{NO-BREAK SPACE}%"


def p_value(p: float | None) -> str:
    """A p value with three places, never as 0 or 1."""
    if p is None or math.isnan(p):
        return ABSENT
    if p < 0.001:
        return "<\N{NO-BREAK SPACE}0.001"
    return ">\N{NO-BREAK SPACE}0.999" if p > 0.999 else f"{p:.3f}"


def p_sentence(p: float | None) -> str:
    """A p value as it stands in a sentence: ``p = 0.013`` or ``p < 0.001``."""
    text = p_value(p)
    return f"p {text}" if text[0] in "<>" else f"p = {text}"


def degrees(df: float | None) -> str:
    """Degrees of freedom: whole where they are whole."""
    if df is None or math.isnan(df):
        return ABSENT
    return number(round(df)) if math.isclose(df, round(df), abs_tol=1e-9) else number(df, 1)


def statistic(value: float | None) -> str:
    """A test statistic with two places, or none for large ones."""
    return number(value, 2 if value is None or abs(value) < 1000 else 0)


def level(value: Level) -> str:
    """A factor's level as tables and axes show it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def cell(levels: Mapping[str, Level]) -> str:
    """The levels of a cell, e.g. ``depth 8, regime gradual``; ``all trials`` for no levels."""
    return ", ".join(f"{name} {level(value)}" for name, value in levels.items()) or "all trials"


def name(key: str) -> str:
    """A key such as ``total-accuracy`` as words."""
    return key.replace("-", " ").replace("_", " ").strip() or key


def unit(text: str) -> str:
    """A UDUNITS unit with real exponents, e.g. ``s⁻⁰·⁵``; empty for fractions and counts (``1``)."""
    if text in {"", "1"}:
        return ""
    return _UNIT_EXPONENT.sub(lambda match: match[1].translate(_SUPERSCRIPTS), text)


def with_unit(label: str, unit_key: str) -> str:
    """A label with its unit in parentheses, e.g. ``train s (s)``."""
    shown = unit(unit_key)
    return f"{label} ({shown})" if shown else label


def capitalised(text: str) -> str:
    """The text with its first letter large; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def plural(count: int, singular: str, several: str | None = None) -> str:
    """A count with its noun, e.g. ``1 cell``, ``27 cells``."""
    return f"{count:,} {singular if count == 1 else several or singular + 's'}"


def sentence(text: str) -> str:
    """The text with a full stop, unless it ends as a sentence already."""
    stripped = text.strip()
    return stripped if not stripped or stripped[-1] in ".!?…" else stripped + "."


def flops(value: float | None) -> str:
    """Floating-point operations with an SI prefix, e.g. ``1.23 T``."""
    if value is None or math.isnan(value):
        return ABSENT
    for factor, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{number(value / factor)}\N{NO-BREAK SPACE}{prefix}"
    return number(value, 0)
