"""From power to seeds: the fewest that are enough, the smallest effect that is found, and how sure either is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from cnnbench.stats.power.t_test import noise_factors

if TYPE_CHECKING:
    from collections.abc import Callable

POWER = 0.8
MOST_SEEDS = 1000
"""Beyond, a number of seeds is no advice."""
RANGE_LEVEL = 0.8
"""Of the interval of the SD that a pilot leaves open."""


class PowerTest(Protocol):
    """A test whose power is known: one of `cnnbench.stats.power.t_test` or `cnnbench.stats.power.interaction`."""

    @property
    def smooth(self) -> bool:
        """Whether the power is a smooth function of the effect, and no share of simulated studies."""

    @property
    def known_df(self) -> float | None:
        """Degrees of freedom behind the noise; None where it is an assumption."""

    @property
    def unit(self) -> float:
        """An effect whose size is of the order of the noise."""

    def detect(self, seeds: int, effect: float) -> float:
        """Return the power to detect an effect with that many seeds per cell."""

    def equivalence(self, seeds: int, margin: float) -> float:
        """Return the power to show equivalence within the margin where there is no effect."""

    def monte_carlo_se(self, seeds: int, effect: float) -> float | None:
        """Return the standard error of `detect`; None where a formula gives it."""

    def louder(self, factor: float) -> Self:
        """Return the test with ``factor`` times the noise."""


def fewest_seeds(power_of: Callable[[int], float], power: float) -> int | None:
    """Return the smallest number of seeds from 2 on whose power reaches ``power``; None beyond 1,000.

    ``power_of`` has to grow with the seeds, as that of every test here does.
    """
    low, high = 1, 2
    while power_of(high) < power:
        if high == MOST_SEEDS:
            return None
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        if power_of(middle) < power:
            low = middle
        else:
            high = middle
    return high


def seeds_to_detect(test: PowerTest, effect: float, power: float = POWER) -> int | None:
    """Return the seeds per cell at which an effect is detected with that power; None beyond 1,000."""
    return fewest_seeds(lambda seeds: test.detect(seeds, effect), power)


def seeds_for_equivalence(test: PowerTest, margin: float, power: float = POWER) -> int | None:
    """Return the seeds per cell at which equivalence is shown with that power if there is no effect."""
    return fewest_seeds(lambda seeds: test.equivalence(seeds, margin), power)


def seeds_to_settle(test: PowerTest, effect: float, margin: float | None, power: float = POWER) -> int | None:
    """Return the seeds per cell that settle a question either way; None beyond 1,000.

    With a margin: enough to detect an effect of that size, and to show equivalence if there is none. Without: enough to
    detect ``effect``.
    """
    if margin is None:
        return seeds_to_detect(test, effect, power)
    needed = [seeds_to_detect(test, margin, power), seeds_for_equivalence(test, margin, power)]
    return None if None in needed else max(seeds for seeds in needed if seeds is not None)


def seed_range(test: PowerTest, seeds_with: Callable[[PowerTest], int | None]) -> tuple[int | None, int | None] | None:
    """Return the seeds needed at both ends of the SD's 80 % interval; None where the SD is an assumption.

    An end is None where it lies beyond 1,000.
    """
    if test.known_df is None:
        return None
    low, high = noise_factors(test.known_df, RANGE_LEVEL)
    return seeds_with(test.louder(low)), seeds_with(test.louder(high))


def detectable_effect(test: PowerTest, seeds: int, power: float = POWER) -> float | None:
    """Return the smallest effect that ``seeds`` per cell detect with that power; None with a single seed."""
    if seeds < 2:
        return None
    low, high = 0.0, test.unit
    while test.detect(seeds, high) < power:
        low, high = high, 2 * high
    precision = 1e-10 if test.smooth else 2e-3
    while high - low > precision * high:
        middle = (low + high) / 2
        if test.detect(seeds, middle) < power:
            low = middle
        else:
            high = middle
    return high
