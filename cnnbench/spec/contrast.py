"""Contrasts as researchers write them: ``gradual - none``, ``0.5 gradual + 0.5 stepwise - none``."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.types import Level

_OPERATOR = re.compile(r"\s+([+-])\s+")
_WEIGHTED = re.compile(r"([+-]?\d+(?:\.\d+)?(?:/\d+)?)(?:\s*\*\s*|\s+)(\S.*)")


def parse_contrast(text: str, levels: Sequence[Level]) -> tuple[float, ...]:
    """Return the weight of each of ``levels`` in a contrast.

    Terms are joined by ``+`` or ``-`` with spaces around them, so that level names may contain hyphens. A term is a
    level, or a weight (``0.5``, ``1/3``) and a level, with or without ``*`` between them. A level whose name holds a
    sign as a word of its own (``a - b``, ``a -``) cannot be told from an operator, and is refused.

    Raises:
        ValueError: A term is no level, a level comes twice, or the weights do not sum to zero.
    """
    by_name = {_name(level): index for index, level in enumerate(levels)}
    weights = [0.0] * len(levels)
    seen: set[str] = set()
    parts = _OPERATOR.split(text.strip())
    for sign, term in zip(["+", *parts[1::2]], parts[0::2], strict=True):
        weight, name = _term(term, by_name)
        if name in seen:
            raise ValueError(f"the contrast names level `{name}` twice.")
        seen.add(name)
        weights[by_name[name]] = weight if sign == "+" else -weight
    if not math.isclose(sum(weights), 0, abs_tol=1e-9):
        raise ValueError(f"the weights of the contrast sum to {sum(weights):g}; they must sum to 0.")
    if all(weight == 0 for weight in weights):
        raise ValueError("all weights of the contrast are 0; give two levels a weight.")
    return tuple(weights)


def _name(level: Level) -> str:
    """Return a level as it is written in a study file."""
    return str(level).lower() if isinstance(level, bool) else str(level)


def _term(term: str, by_name: dict[str, int]) -> tuple[float, str]:
    if term in by_name:
        return 1.0, term
    weighted = _WEIGHTED.fullmatch(term)
    if weighted and weighted[2] in by_name:
        numerator, _, denominator = weighted[1].partition("/")
        if denominator and float(denominator) == 0:
            raise ValueError(f"the weight `{weighted[1]}` of the contrast divides by zero.")
        return float(numerator) / float(denominator or 1), weighted[2]
    known = ", ".join(f"`{name}`" for name in by_name)
    odd = next((name for name in by_name if {"+", "-"} & set(name.split())), None)
    rename = f" The level `{odd}` cannot be told from an operator; rename it." if odd is not None else ""
    raise ValueError(f"`{term}` is no level; the levels are {known}, and terms are joined by ` + ` or ` - `.{rename}")
