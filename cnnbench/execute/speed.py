"""How fast a study would train in another declared way: in the other precision, or compiled.

Nothing here is chosen for the user, because each way is another recipe with other results; but whoever writes a study
can know what a way is worth on the machine before the first trial. Steps of the ways are taken in turn, a few at a
time, and compared within a turn: what else the machine does meanwhile meets all of them.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from cnnbench.environment import check_compiler, tune_torch
from cnnbench.errors import CnnbenchError
from cnnbench.spec import Recipe
from cnnbench.train.loop import Training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cnnbench.execute.session import Session
    from cnnbench.registry import Registry
    from cnnbench.spec import Phase
    from cnnbench.types import Level, Trial

_TURNS = 7
_TURN_S = 0.25
"""How long each way is measured in a turn, about."""
_COVERED = 0.8
"""Networks are measured, the most expensive first, until they have this share of the study's FLOPs."""
_MOST_KINDS = 3
_SAME_FLOPS = 0.05
"""Networks whose FLOPs differ by less are alike: some classes more, say."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one way of training costs at one place."""

    way: str
    """``as declared``, or the changed key with its value, as in ``precision = bf16``."""
    step_s: float
    """Median time of a training step, seconds."""
    speed: tuple[float, float, float]
    """Times as fast as declared: median, least and most of the turns."""
    ready_s: float
    """What came before the first step, seconds: above all, compiling."""
    is_compiled: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A network at one image size, in whatever cells and phases of the study it is, and how each way does there."""

    cell: Mapping[str, Level]
    """The first of them."""
    num_cells: int
    size_px: int
    batch_size: int
    flops: float
    """Of all planned trials."""
    step_flops: float
    ways: tuple[Measured, ...]
    """The declared one first."""
    refused: Mapping[str, str]
    """Ways that failed, with the reason."""


@dataclass(frozen=True, slots=True)
class Total:
    """What a way would make of the whole study's training."""

    way: str
    train_s: float
    """Seconds of training on one worker, all planned trials together."""
    ready_s: float
    """Seconds of compiling in all, once on a machine."""


def measure_speed(
    session: Session, registry: Registry, device: str, *, compiled: bool, progress: Callable[[str], None]
) -> list[Place]:
    """Measure the ways to train the networks that a study spends most of its arithmetic on.

    Args:
        session: The planned study.
        registry: Its components.
        device: Where to measure.
        compiled: Whether compiled networks are tried, which takes up to minutes for each.
        progress: Is told what comes next.

    Raises:
        SetupError: ``compiled`` is asked for, and there is no compiler.
    """
    tune_torch()
    if compiled:
        check_compiler([device])
    kinds = _kinds(session.plan.trials)
    total = sum(kind.flops for kind in kinds)
    places, covered = [], 0.0
    for kind in kinds[:_MOST_KINDS]:
        if covered >= _COVERED * total:
            break
        covered += kind.flops
        progress(f"{_told(kind.trial.cell)}{kind.phase.size_px} px")
        place = _place(kind, session, registry, torch.device(device), compiled=compiled)
        if place is not None:
            places.append(place)
    return places


def totals(places: Sequence[Place], session: Session) -> list[Total]:
    """Extrapolate from the measured cells to all planned trials, by their FLOPs.

    A way that was not measured everywhere is left out: one that failed, or the other precision where that is a factor.

    Compiling is counted once for each network, image and batch size of the plan.
    """
    kinds = _kinds(session.plan.trials)
    all_flops = sum(kind.flops for kind in kinds)
    measured_flops = sum(place.flops for place in places)
    names = [one.way for one in places[0].ways] if places else []
    found = []
    for name in names:
        ways = [next((one for one in place.ways if one.way == name), None) for place in places]
        if any(way is None for way in ways):
            continue
        there = [way for way in ways if way is not None]
        seconds = sum(
            place.flops / place.step_flops * place.ways[0].step_s / way.speed[0]
            for place, way in zip(places, there, strict=True)
        )
        is_compiled = any(way.is_compiled for way in there)
        ready_s = len(kinds) * statistics.fmean(way.ready_s for way in there) if is_compiled else 0.0
        found.append(Total(name, seconds * all_flops / measured_flops, ready_s))
    return found


@dataclass
class _Kind:
    """Training steps that cost the same: one network, image size and batch size, with the same layers frozen."""

    trial: Trial
    """The first that takes such steps."""
    phase: Phase
    recipe: Recipe
    flops_per_image: float
    flops: float = 0.0
    cells: set[tuple[tuple[str, Level], ...]] = field(default_factory=set)


def _kinds(trials: Sequence[Trial]) -> list[_Kind]:
    """Return the kinds of steps of all trials, the most expensive first."""
    kinds: dict[str, _Kind] = {}
    recipes: dict[tuple[tuple[str, Level], ...], Recipe] = {}
    for trial in trials:
        cell = tuple(trial.cell.items())
        recipe = recipes.setdefault(cell, Recipe.model_validate(trial.recipe))
        # A trial's FLOPs go to its phases by epochs times images times FLOPs for an image: frozen layers cost fewer.
        weights = [each * phase.epochs for each, phase in zip(trial.flops_per_image, recipe.phases, strict=True)]
        for phase, each, weight in zip(recipe.phases, trial.flops_per_image, weights, strict=True):
            # Parameters of the others, such as a learning rate, cost nothing, or little.
            others = [recipe.optimizer.use, *(one.use for one in recipe.augmentation)]
            alike = round(math.log(max(each, 1.0)) / _SAME_FLOPS)
            same = [recipe.model.model_dump(mode="json"), recipe.batch_size, recipe.precision, recipe.compile]
            key = json.dumps([same, others, phase.size_px, alike], sort_keys=True)
            kind = kinds.setdefault(key, _Kind(trial, phase, recipe, each))
            kind.flops += trial.flops * weight / sum(weights) if sum(weights) else 0.0
            kind.cells.add(cell)
    return sorted(kinds.values(), key=lambda kind: kind.flops, reverse=True)


def _ways(recipe: Recipe, *, compiled: bool) -> dict[str, dict[str, object]]:
    other = "fp32" if recipe.precision == "bf16" else "bf16"
    ways: dict[str, dict[str, object]] = {"as declared": {}, f"precision = {other}": {"precision": other}}
    if recipe.compile:
        ways["compile = false"] = {"compile": False}
    elif compiled:
        ways["compile = true"] = {"compile": True}
        ways[f"compile = true, precision = {other}"] = {"compile": True, "precision": other}
    return ways


def _place(kind: _Kind, session: Session, registry: Registry, device: torch.device, *, compiled: bool) -> Place | None:
    """Measure one kind of step; None where it cannot even be taken as declared."""
    recipe, dataset = kind.recipe, session.datasets[kind.trial.data_fingerprint]
    runs: dict[str, _Run] = {}
    refused: dict[str, str] = {}
    for name, changes in _ways(recipe, compiled=compiled).items():
        changed = replace(kind.trial, recipe={**kind.trial.recipe, **changes})
        try:
            training = Training(changed, registry, dataset, device)
            if runs:  # the same ones, which need not be there twice
                training.examples = runs["as declared"].training.examples
            runs[name] = _Run(training, kind.phase)
        except (CnnbenchError, RuntimeError) as error:
            refused[name] = (str(error).splitlines() or [type(error).__name__])[0]
        if "as declared" not in runs:
            return None
    batch_size = min(recipe.batch_size, runs["as declared"].images_per_epoch)
    return Place(
        cell=kind.trial.cell,
        num_cells=len(kind.cells),
        size_px=kind.phase.size_px,
        batch_size=batch_size,
        flops=kind.flops,
        step_flops=batch_size * kind.flops_per_image,
        ways=tuple(_in_turn(runs)),
        refused=refused,
    )


def _told(cell: Mapping[str, Level]) -> str:
    return "".join(f"{name} {level}, " for name, level in cell.items())


class _Run:
    """A trial in the middle of a phase, of which single steps can be taken."""

    def __init__(self, training: Training, phase: Phase) -> None:
        self.training, self._phase, self._epoch = training, phase, 0
        training.examples.images(phase.size_px)  # what is read and moved first, whichever way
        began = time.perf_counter()
        training.enter_phase(phase, on_features=False)
        self.ready_s = time.perf_counter() - began
        self.images_per_epoch = training.examples.per_epoch
        self.steps(2)  # the first ones fetch memory
        self.number = max(1, round(_TURN_S / self.steps(2)))
        """Steps of a turn."""

    def steps(self, number: int) -> float:
        """Take some steps; return the time of one, seconds."""
        taken, seconds = 0, 0.0
        while taken < number:
            most = min(number - taken, self.training.examples.steps_per_epoch)
            seconds += self.training.time_steps(self._phase, self._epoch, most)
            self._epoch += 1
            taken += most
        return seconds / number


def _in_turn(runs: Mapping[str, _Run]) -> Iterator[Measured]:
    """Take some steps of each run in turn, in an order that turns, too."""
    number = runs["as declared"].number
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for turn in range(_TURNS):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            seconds[name].append(runs[name].steps(number))
    for name, run in runs.items():
        ratios = [here / there for here, there in zip(seconds["as declared"], seconds[name], strict=True)]
        speed = (statistics.median(ratios), min(ratios), max(ratios))
        is_compiled = run.training.recipe.compile
        yield Measured(name, statistics.median(seconds[name]), speed, run.ready_s, is_compiled)
