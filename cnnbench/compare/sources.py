"""What the command line names: run folders, or the trials in them that have certain levels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench.errors import AnalysisError
from cnnbench.spec import did_you_mean
from cnnbench.stats import level_text
from cnnbench.store import Study
from cnnbench.types import Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.store import StoredTrial
    from cnnbench.types import Level

REPLICATE = "replicate"
"""Chosen like a factor: ``runs/entr:replicate=0``."""

Key = tuple[tuple[str, ...], int]
"""Levels of the factors that trials are matched by, as text, and the replicate (-1 where each side chooses its own)."""


@dataclass(frozen=True, slots=True)
class Side:
    """One source, opened."""

    source: Source
    study: Study
    trials: tuple[StoredTrial, ...]
    """Finished, and chosen."""

    @property
    def free(self) -> tuple[str, ...]:
        """The factors that were not fixed at one level."""
        fixed = {name for name, levels in self.source.selected.items() if len(levels) == 1}
        return tuple(factor.name for factor in self.study.factors if factor.name not in fixed)

    @property
    def one_replicate(self) -> bool:
        """Whether a single replicate was chosen."""
        return len(self.source.selected.get(REPLICATE, ())) == 1


@dataclass(frozen=True, slots=True)
class Matched:
    """Trials of all sides that belong together."""

    cell: Mapping[str, Level]
    replicate: int
    trials: tuple[StoredTrial, ...]
    """One for each side, in their order."""

    @property
    def label(self) -> str:
        """As tables print it, e.g. ``depth 8, replicate 0``."""
        return ", ".join([*([cell_label(self.cell)] if self.cell else []), f"replicate {self.replicate}"])


def cell_label(cell: Mapping[str, Level]) -> str:
    """Return the levels of a cell in words."""
    return ", ".join(f"{name} {level_text(level)}" for name, level in cell.items())


def open_sources(given: Sequence[str]) -> tuple[Side, ...]:
    """Open every source; they are called A, B, ... in their order.

    Raises:
        AnalysisError: A selection names no factor or level of its run, or no finished trial has it; two sources are the
            same trials; the sources leave different factors open.
        StoreError: A folder is no run folder.
    """
    if not 2 <= len(given) <= 26:
        raise AnalysisError(f"name 2 to 26 runs, or parts of runs, to compare; got {len(given)}.")
    sides = tuple(_open(chr(ord("A") + index), text) for index, text in enumerate(given))
    for index, side in enumerate(sides):
        for other in sides[:index]:
            _check_pair(other, side)
    return sides


def _open(name: str, text: str) -> Side:
    folder, chosen = _split(text)
    study = Study.open(folder)
    selected = _selected(study, chosen, folder)
    trials = tuple(trial for trial in study.stored if _has(trial, selected))
    if not trials:
        raise AnalysisError(f"no finished trial belongs to `{text}`; choose other levels, or run the study first.")
    return Side(Source(name, text, study.name, selected, len(trials)), study, trials)


def _split(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the folder and the chosen (factor, level) pairs of ``RUN[:factor=level,...]``."""
    folder, colon, selection = text.rpartition(":")
    if not colon or Path(text).is_dir() or "=" not in selection:
        return text, []
    pairs = []
    for part in selection.split(","):
        name, equals, level = (piece.strip() for piece in part.partition("="))
        if not (name and equals and level):
            raise AnalysisError(f"`{part}` in `{text}` is not FACTOR=LEVEL; write {folder}:FACTOR=LEVEL,FACTOR=LEVEL.")
        pairs.append((name, level))
    return folder, pairs


def _selected(study: Study, chosen: list[tuple[str, str]], folder: str) -> dict[str, tuple[Level, ...]]:
    known: dict[str, dict[str, Level]] = {
        factor.name: {level_text(level): level for level in factor.levels} for factor in study.factors
    }
    known.setdefault(REPLICATE, {str(number): number for number in range(study.replicates)})
    selected: dict[str, tuple[Level, ...]] = {}
    for name, level in chosen:
        if name not in known:
            raise AnalysisError(f"{folder} has no factor `{name}`; {did_you_mean(name, known)}")
        if level not in known[name]:
            raise AnalysisError(f"`{name}` has no level `{level}` in {folder}; {did_you_mean(level, known[name])}")
        selected[name] = tuple(dict.fromkeys([*selected.get(name, ()), known[name][level]]))
    return selected


def _has(trial: StoredTrial, selected: Mapping[str, tuple[Level, ...]]) -> bool:
    levels = {REPLICATE: trial.replicate, **trial.cell}
    return all(levels[name] in chosen for name, chosen in selected.items())


def _check_pair(first: Side, second: Side) -> None:
    a, b = first.source, second.source
    same_folder = first.study.folder.path.resolve() == second.study.folder.path.resolve()
    if same_folder and {trial.id for trial in first.trials} & {trial.id for trial in second.trials}:
        raise AnalysisError(
            f"`{a.given}` and `{b.given}` share trials; choose levels that keep them apart, e.g. RUN:FACTOR=LEVEL."
        )
    for one, other in ((first, second), (second, first)):
        extra = [name for name in one.free if name not in other.free]
        if extra:
            given = one.source.given
            raise AnalysisError(
                f"`{given}` leaves `{extra[0]}` open and `{other.source.given}` does not, so their trials cannot be "
                f"matched; choose one of its levels in `{given}`."
            )


def matched(sides: Sequence[Side]) -> tuple[Matched, ...]:
    """Return the trials that every side has, cell by cell and replicate by replicate, in the order of the first."""
    by_key = [{_key(trial, sides): trial for trial in side.trials} for side in sides]
    common = [key for key in by_key[0] if all(key in trials for trials in by_key[1:])]
    free = sides[0].free
    return tuple(
        Matched(
            {name: by_key[0][key].cell[name] for name in free},
            by_key[0][key].replicate,
            tuple(trials[key] for trials in by_key),
        )
        for key in common
    )


def _key(trial: StoredTrial, sides: Sequence[Side]) -> Key:
    own_replicate = all(side.one_replicate for side in sides)
    levels = tuple(level_text(trial.cell[name]) for name in sides[0].free)
    return levels, -1 if own_replicate else trial.replicate
