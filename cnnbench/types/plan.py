"""What is decided before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

Level = str | int | float | bool
"""A factor's level as it stands in tables: the value itself, or the name of a patch."""

Stream = Literal["split", "init", "order", "augment", "dropout"]
"""The named streams of randomness; each trial has one seed for each."""

STREAMS: tuple[Stream, ...] = get_args(Stream)


@dataclass(frozen=True, slots=True)
class Factor:
    """A factor of the design with its levels in the study's order."""

    name: str
    levels: tuple[Level, ...]
    order: Literal["log2", "linear"] | None = None
    """The scale on which a numeric factor's levels are ordered; None for an unordered factor."""


@dataclass(frozen=True, slots=True)
class Response:
    """How one number per trial is read from a trial's curves."""

    name: str
    """Column of the trials table, e.g. ``total-accuracy``."""
    metric: str
    """Key of the metric, e.g. ``accuracy``."""
    view: Literal["plain", "tta"] = "plain"
    """Evaluation on the images as they are, or averaged over augmented views (test-time augmentation)."""
    phase: str | None = None
    """Phase at whose end it is read; None for the end of the trial."""
    epoch: Literal["last", "best"] = "last"
    """``best``: the epoch with the best validation value, read on the test split."""


@dataclass(frozen=True, slots=True)
class ResponseInfo:
    """A response with what its metric declares."""

    response: Response
    long_name: str
    unit: str
    higher_is_better: bool | None
    bounded: Literal["unit", "positive", "none"]
    uses_time: bool
    """Whether it depends on measured seconds: trials that ran beside others are then left out."""
    share_of_examples: bool = False
    """Whether its value times the number of evaluated examples is a count of them."""


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What the design has to know of a dataset; found once, then cached on disk."""

    fingerprint: str
    """SHA-256 over pixels, labels, class names, predefined splits and groups."""
    channels: int
    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]
    num_examples: int
    min_side_px: int
    """Shortest native side of any image, px."""
    max_side_px: int
    """Longest native side of any image, px."""
    has_splits: bool
    """Whether the dataset brings its own train / validation / test membership."""
    has_test_split: bool
    """Whether that membership has a test part."""
    num_groups: int = 0
    """Number of groups (patients, ...) that the examples belong to; 0 where the dataset names none."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One training run: everything that decides its result, and nothing else."""

    id: str
    """SHA-256 (hex) of the canonical JSON of cell, seeds, recipe (component versions included) and data fingerprint."""
    study: str
    cell: Mapping[str, Level]
    """Level by factor name."""
    replicate: int
    """Counted from 0."""
    seeds: Mapping[str, int]
    """Seed by stream (see `STREAMS`), each below 2**63."""
    recipe: Mapping[str, Any]
    """The fully resolved recipe as plain JSON values (`cnnbench.spec.Recipe` reads it back)."""
    data_fingerprint: str
    flops: float
    """Forward and backward floating-point operations of the whole training; no part of the id."""
    flops_per_image: tuple[float, ...]
    """The same for one image in each phase; no part of the id."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A cell of the design that will not be run."""

    cell: Mapping[str, Level]
    kind: Literal["infeasible", "excluded"]
    reason: str
    """A sentence; for infeasible cells it names the layer and the shape that vanishes."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a sequential design: one factor is varied, the others are held."""

    name: str
    """The factor's name, or ``confirm``."""
    factor: str | None
    """None in the stage that confirms, which compares two settings."""
    held: Mapping[str, Level]
    """Levels of the other factors; in the confirming stage those of all factors: the selected setting."""
    cells: tuple[Mapping[str, Level], ...]
    """Those that can be run, in the order of the levels; in the confirming stage the baseline and the selected one."""
    replicates: tuple[int, ...]
    """Its own: no stage shares seeds with another."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered trials of a study, as far as they are decided."""

    study: str
    factors: tuple[Factor, ...]
    replicates: int
    trials: tuple[Trial, ...]
    exclusions: tuple[Exclusion, ...]
    datasets: Mapping[str, DatasetInfo]
    """By data fingerprint."""
    stages: tuple[Stage, ...] = ()
    """Of a sequential design: those that are decided so far."""
