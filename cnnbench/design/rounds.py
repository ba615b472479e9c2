"""Rounds: a plan that depends on results grows by one round of trials with each decision.

Most designs have one round. A two-stage design (`[design] seeds`) has two: the pilot, and the replicates that its
spread asks for. A sequential design has one for each stage, and one that confirms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnbench.design.cells import baseline_of, factors_of
from cnnbench.spec import CONFIRM
from cnnbench.types import Choice, Look, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.spec import StudySpec
    from cnnbench.types import Decision, Level


@dataclass(frozen=True, slots=True)
class Round:
    """Trials that are planned together."""

    cells: tuple[Mapping[str, Level], ...]
    replicates: range
    stage: Stage | None = None

    @property
    def where(self) -> str:
        """The stage in words, for messages; empty where there is none."""
        return "" if self.stage is None else f" in the stage `{self.stage.name}`"


def rounds(spec: StudySpec, cells: Sequence[Mapping[str, Level]], decisions: Sequence[Decision]) -> list[Round]:
    """Return the rounds that are decided; ``cells`` are those of a design without stages."""
    if spec.design.kind == "sequential":
        return _stages(spec, [decision.level for decision in decisions if isinstance(decision, Choice)])
    if spec.design.seeds is None:
        return [Round(tuple(cells), range(spec.design.replicates))]
    pilot = spec.design.seeds.pilot
    look = next((decision for decision in decisions if isinstance(decision, Look)), None)
    more = [] if look is None else [Round(tuple(cells), range(pilot, look.replicates))]
    return [Round(tuple(cells), range(pilot)), *more]


def _stages(spec: StudySpec, chosen: Sequence[Level]) -> list[Round]:
    """Return the stages up to the first without a choice.

    Each stage has replicates, and so seeds, of its own. With the seeds of the stage before, the level that was chosen
    for its luck with them would meet its rivals on the same seeds again.
    """
    by_name = {factor.name: factor for factor in factors_of(spec)}
    setting = baseline_of(spec)
    number = spec.design.replicates
    planned = []
    for index, stage in enumerate(spec.design.stage[: len(chosen) + 1]):
        name = stage.factor
        cells = tuple({**setting, name: level} for level in by_name[name].levels)
        held = {other: level for other, level in setting.items() if other != name}
        planned.append(_stage(Stage(name, name, held, cells, tuple(range(index * number, (index + 1) * number)))))
        setting |= {name: chosen[index]} if index < len(chosen) else {}
    if spec.design.confirm and len(chosen) == len(spec.design.stage):
        first = len(chosen) * number
        baseline = baseline_of(spec)
        cells = (setting,) if setting == baseline else (baseline, setting)
        planned.append(_stage(Stage(CONFIRM, None, setting, cells, tuple(range(first, first + number)))))
    return planned


def _stage(stage: Stage) -> Round:
    return Round(stage.cells, range(stage.replicates[0], stage.replicates[-1] + 1), stage)


def is_last(spec: StudySpec, num_decisions: int) -> bool:
    """Return whether nothing is left to be decided."""
    if spec.design.kind == "sequential":
        return num_decisions == len(spec.design.stage)
    return spec.design.seeds is None or num_decisions == 1


def declared_for(spec: StudySpec, index: int) -> dict[str, Any]:
    """Return all that the study declares and its decision number ``index`` depends on, as plain JSON values.

    Factors, levels, recipe and seeds are in the identities of the trials, which stand beside it.
    """
    analysis, design = spec.analysis.model_dump(mode="json"), spec.design.model_dump(mode="json")
    hypothesis = analysis["primary"] if spec.design.seeds is not None else None
    name = (hypothesis or {}).get("response") or spec.analysis.response
    response = spec.responses.get(name)
    return {
        "response": [name, None if response is None else response.model_dump(mode="json")],
        "analysis": {key: analysis[key] for key in ("scale", "alpha", "pool_environments")},
        "primary": hypothesis,
        "rule": design["seeds"] or [design["stage"][: index + 1], design["replicates"], design["pairing"]],
    }
