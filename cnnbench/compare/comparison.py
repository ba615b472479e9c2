"""The comparison from end to end."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from typing import TYPE_CHECKING, Literal

from cnnbench.compare.predictions import example_groups
from cnnbench.compare.retraining import Pair, retrained
from cnnbench.compare.sources import matched, open_sources
from cnnbench.errors import AnalysisError
from cnnbench.stats import ABOUT_EXAMPLES
from cnnbench.types import Comparison, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.compare.sources import Side
    from cnnbench.types import ExampleGroup, ExamplePair


@dataclass(frozen=True, slots=True)
class Options:
    """What is read, and how it is tested."""

    split: Literal["test", "validation"] | None = None
    """None: the test part where all have one, else the validation part."""
    view: Literal["plain", "tta"] = "plain"
    response: str | None = None
    """None: the first response of the first run that both record."""
    alpha: float = 0.05


def compare(given: Sequence[str], options: Options) -> Comparison:
    """Compare sources such as ``runs/a`` and ``runs/b:depth=8,replicate=0``: examples, trials, plans.

    Raises:
        AnalysisError: A source cannot be used, the sources cannot be matched, or an option is out of range.
        StoreError: A folder is no run folder, or a file in it cannot be read.
    """
    if not 0 < options.alpha < 0.5:
        raise AnalysisError(f"--alpha must lie between 0 and 0.5; got {options.alpha:g}.")
    sides = open_sources(given)
    groups = matched(sides)
    refusals = []
    if not groups:
        why = "No cell and replicate has a finished trial in every source."
        refusals.append(Refusal("per-example tests", why, "Choose cells that all have, or run the missing trials."))
    found, refused = example_groups(sides, groups, options.split, options.view, options.alpha)
    retraining = []
    for i, j in combinations(range(len(sides)), 2):
        pair = Pair(sides[i], sides[j], matched([sides[i], sides[j]]))
        if pair.groups:
            retraining.append(retrained(pair, options.response, options.alpha))
    return Comparison(
        alpha=options.alpha,
        sources=tuple(side.source for side in sides),
        groups=tuple(found),
        retraining=tuple(retraining),
        notes=(*_notes(found), *_unmatched(sides, len(groups))),
        refusals=(*refusals, *refused),
    )


def _unmatched(sides: Sequence[Side], num_matched: int) -> list[str]:
    """Name the sources with trials that others lack."""
    return [
        f"{each.source.name}: {each.source.num_trials - num_matched} of {each.source.num_trials} trials have no "
        "counterpart in every source."
        for each in sides
        if each.source.num_trials > num_matched
    ]


def _notes(groups: Sequence[ExampleGroup]) -> list[str]:
    if not groups:
        return []
    notes = [ABOUT_EXAMPLES]
    by_pair: dict[tuple[str, str], list[ExamplePair]] = {}
    for group in groups:
        for pair in group.found.pairs:
            by_pair.setdefault((str(pair.first), str(pair.second)), []).append(pair)
    if len(groups) > 1:
        notes.append("Each line is a test of its own; its examples are never counted again with those of another.")
        notes += [_spread(*names, pairs) for names, pairs in by_pair.items()]
    return notes


def _spread(first: str, second: str, pairs: Sequence[ExamplePair]) -> str:
    """Set the spread of the differences over trials beside what the choice of examples alone would give."""
    points = [100 * pair.difference for pair in pairs]
    mean = sum(points) / len(points)
    sd = sqrt(sum((each - mean) ** 2 for each in points) / (len(points) - 1))
    se = 100 * sqrt(sum(pair.se**2 for pair in pairs) / len(pairs))
    return (
        f"{first} - {second} over {len(pairs)} comparisons: {min(points):+.3g} to {max(points):+.3g} percentage "
        f"points, SD {sd:.3g}; the choice of examples alone gives each of them a standard error of {se:.3g}."
    )
