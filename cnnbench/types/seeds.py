"""How many seeds a study needs, as `cnnbench power` finds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class SeedRange:
    """Seeds needed at both ends of the SD's interval that a pilot leaves open."""

    low: int | None
    """None: more than 1,000."""
    high: int | None
    level: float
    """Of the interval of the SD."""


@dataclass(frozen=True, slots=True)
class SeedCount:
    """Seeds per cell for one goal."""

    seeds: int | None
    """None: more than 1,000."""
    range: SeedRange | None
    """None where the SD is an assumption."""


@dataclass(frozen=True, slots=True)
class PowerPoint:
    """Power at one number of seeds per cell."""

    seeds: int
    power: float
    """To detect the effect."""
    equivalence: float | None
    """To show equivalence within the margin if there is no effect; None without a margin."""
    classical: float | None
    """Of the classical F beside the simulated test of an interaction with independent seeds, from the noncentral F."""


@dataclass(frozen=True, slots=True)
class DesignPower:
    """What one kind of seeds needs."""

    pairing: Literal["shared", "independent"]
    planned: bool
    """Whether it is the study's own."""
    test: str
    """The deciding test, in words."""
    monte_carlo_se: float | None
    """Standard error of a simulated power, at the seeds that detect the effect; None where a formula gives it."""
    sd: float | None
    """Of the effect from one seed per cell, on the analysis scale; None for an omnibus test."""
    df: float | None
    """Degrees of freedom behind the noise; None where it is an assumption."""
    seeds: int | None
    """Per cell, to settle the question: to detect the effect and, with a margin, to show equivalence if there is none.
    None: more than 1,000."""
    detect: SeedCount
    equivalence: SeedCount | None
    """None without a margin."""
    observed: SeedCount | None
    """To detect the pilot's own effect, which is optimistic; None where no pilot has one."""
    power: float | None
    """At the planned seeds; None with one seed."""
    equivalence_power: float | None
    detectable: float | None
    """The smallest effect that the planned seeds detect with the power asked for."""
    trials: int | None
    """``seeds`` in every planned cell."""
    seconds: float | None
    """What these trials take one after the other, at the pilot's times."""
    curve: tuple[PowerPoint, ...]


@dataclass(frozen=True, slots=True)
class NoiseSource:
    """Where the noise comes from, and what it is."""

    kind: Literal["pilot", "pooled pilot", "assumed"]
    """``pooled pilot``: one SD and one correlation for all cells, as the pilot has not the study's own cells."""
    pilot: str | None
    """The run folder."""
    seeds: int | None
    """The pilot's seeds in the cell that has the fewest."""
    sd: float
    """Of a trial within its cell, root mean square over the cells in question, on the analysis scale."""
    correlation: float | None
    """Between cells of one seed; None where independent seeds tell nothing of it."""


@dataclass(frozen=True, slots=True)
class SeedPlan:
    """Seeds for a study's primary hypothesis."""

    study: str
    hypothesis: str
    kind: Literal["contrast", "slope", "interaction"]
    response: str
    scale: Literal["raw", "log", "logit"]
    unit: str
    alpha: float
    power: float
    """The power asked for."""
    effect: float
    """To be detected, on the analysis scale; of an interaction its largest difference of differences."""
    effect_source: Literal["given", "margin", "pilot"]
    margin: float | None
    """The study's smallest effect of interest, within which equivalence is shown."""
    observed_effect: float | None
    """The pilot's own."""
    replicates: int
    """Planned seeds per cell."""
    num_cells: int
    noise: NoiseSource
    designs: tuple[DesignPower, ...]
    """The study's own first."""
    sentences: tuple[str, ...]
    """The plan in plain language."""
    notes: tuple[str, ...]
    """What it rests on."""
