"""Findings held against what is known: studies without an effect, answers of others, published numbers and claims."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.types.estimates import Cell, Effect, Interval
    from cnnbench.types.plan import Level


@dataclass(frozen=True, slots=True)
class NullRate:
    """False positives of the primary test, measured on simulated studies of the same design without an effect."""

    response: str
    effect: str
    """Label of the primary effect."""
    method: str
    """The test that was measured."""
    alpha: float
    studies: int
    rejected: int
    rate: float
    interval: Interval
    """Clopper and Pearson's, of the simulation."""
    verdict: Literal["as declared", "liberal", "conservative"]
    """``liberal`` above 1.2 alpha (6 % at 5 %), ``conservative`` below 0.6 alpha (3 %); of the pair where there is one.
    """
    coverage: float | None
    """Share of the intervals that held the truth; None for omnibus tests, which have none."""
    robust_rate: float | None
    """Rate of the test beside it, where that is simulated."""
    robust_method: str
    pair_rate: float | None
    """How often at least one of the primary slope and the omnibus interaction rejected, after their correction; None
    where the primary test stands alone."""
    pair_method: str
    """The omnibus test of the pair."""
    sentence: str


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """What this installation makes of trials whose answers are known."""

    reference: str
    """Who gave the answers."""
    cases: int
    figures: int
    worst_error: float
    """Largest relative error among the figures."""
    worst_figure: str
    failed: tuple[str, ...]
    """Figures beyond their tolerance."""
    certified_digits: float
    """Fewest correct digits of F over NIST's certified sets."""
    certified_sets: int
    sentence: str


@dataclass(frozen=True, slots=True)
class ReferenceCheck:
    """A published number beside ours."""

    source: str
    quote: str
    response: str
    cell: Mapping[str, Level]
    published: float
    ours: Cell | None
    """None where this study has no such cell."""
    difference: float | None
    """Ours minus published."""
    interval: Interval | None
    p: float | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A published statement, held against this study."""

    source: str
    quote: str
    expected: Literal["positive", "negative", "none"]
    response: str
    effect: Effect | None
    verdict: Literal["confirmed", "refuted", "undetermined"]
    sentence: str
