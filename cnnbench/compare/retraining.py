"""The same sources over trials: what training again gives, and in what the runs differ."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from cnnbench.compare.sources import cell_label
from cnnbench.errors import AnalysisError
from cnnbench.spec import AnalysisSpec, Hypothesis, StudySpec, did_you_mean, differences
from cnnbench.stats import AnalysisInput, analyse
from cnnbench.types import Factor, PlanDifference, Refusal, Retraining

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cnnbench.compare.sources import Matched, Side
    from cnnbench.store import StoredTrial
    from cnnbench.types import ResponseInfo

_SOURCE, _CELL = "source", "cell"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sources, and the trials of theirs that match."""

    first: Side
    second: Side
    groups: tuple[Matched, ...]
    """With the trial of the first, then that of the second."""

    @property
    def names(self) -> tuple[str, str]:
        """What both are called."""
        return self.first.source.name, self.second.source.name

    @property
    def one_run(self) -> bool:
        """Whether both are parts of one run."""
        return self.first.study.folder.path.resolve() == self.second.study.folder.path.resolve()

    @property
    def shares_seeds(self) -> bool:
        """Whether every two matching trials have the same seed in every stream."""
        return all(dict(first.seeds) == dict(second.seeds) for first, second in (each.trials for each in self.groups))


def retrained(pair: Pair, wanted: str | None, alpha: float) -> Retraining:
    """Compare two sources over their trials: paired where matching trials share their seeds, else independent.

    Raises:
        AnalysisError: ``wanted`` is no response that both record.
    """
    info = _response(pair, wanted)
    a, b = pair.names
    blank = Retraining(a, b, "", "", pair.shares_seeds, None, (), _plan(pair), _environment(pair), ())
    if info is None:
        refusal = Refusal(f"{a} - {b} over trials", "They record no response in common.", "Name runs that do.")
        return replace(blank, refusals=(refusal,))
    found = analyse(_input(pair, info, alpha)).responses[0]
    label = f"{a} - {b}"
    effects = {effect.key: replace(effect, role="family", label=label) for effect in found.effects}
    cells = tuple(
        replace(effect, label=key.removeprefix(f"simple:{_CELL}:"))
        for key, effect in effects.items()
        if key.startswith(f"simple:{_CELL}:")
    )
    concerned = (label, f"analysis of {info.response.name}", f"tests of {info.response.name}")
    left_out = f"{info.response.name} of "
    kept = tuple(
        replace(refusal, what=f"{label} over trials") if refusal.what in concerned else refusal
        for refusal in found.refusals
        if refusal.what in concerned or refusal.what.startswith(left_out)
    )
    return replace(
        blank,
        response=info.response.name,
        unit=info.unit,
        overall=effects.get("primary"),
        cells=cells,
        refusals=kept,
    )


def _response(pair: Pair, wanted: str | None) -> ResponseInfo | None:
    other = {info.response for info in pair.second.study.responses}
    common = {info.response.name: info for info in pair.first.study.responses if info.response in other}
    if wanted is None:
        return next(iter(common.values()), None)
    if wanted not in common:
        raise AnalysisError(f"`{wanted}` is no response that both runs record; {did_you_mean(wanted, common)}")
    return common[wanted]


def _input(pair: Pair, info: ResponseInfo, alpha: float) -> AnalysisInput:
    """Return the trials of both as a study of its own, whose factors are the source and the cell."""
    cells = list(dict.fromkeys(cell_label(group.cell) for group in pair.groups))
    several = len(cells) > 1
    factors = (Factor(_SOURCE, pair.names), *([Factor(_CELL, tuple(cells))] if several else []))
    specs = [StudySpec.model_validate(side.study.folder.read_json("plan.json")["spec"]) for side in _sides(pair)]
    declared = [(spec.analysis.scale, spec.analysis.equivalence_margin) for spec in specs]
    first_one = [side.study.responses[0] for side in _sides(pair)] == [info, info]
    scale, margin = declared[0] if declared[0] == declared[1] and first_one else ("raw", None)
    analysis = AnalysisSpec(
        response=info.response.name,
        scale=scale,
        primary=Hypothesis(contrast=" - ".join(pair.names), over=_SOURCE),
        equivalence_margin=margin,
        alpha=alpha,
        pool_environments=True,  # they are listed beside; the question is what both gave
    )
    return AnalysisInput(
        study=_SOURCE,
        question=f"Does {info.response.name} differ between the sources?",
        factors=factors,
        trials=_table(pair, info, several=several),
        analysis=analysis,
        responses=(info,),
        references=(),
        paired=pair.shares_seeds,
        replicates=max(side.study.replicates for side in _sides(pair)),
        exclusions=(),
        failures=(),
        pending=0,
        confirmatory=True,
    )


def _sides(pair: Pair) -> tuple[Side, Side]:
    return pair.first, pair.second


def _table(pair: Pair, info: ResponseInfo, *, several: bool) -> pd.DataFrame:
    """Return a row for each trial; unpaired ones of cells that both have count, whether they match or not."""
    tables = [side.study.trials.set_index("trial_id") for side in _sides(pair)]
    rows: list[dict[str, Any]] = []
    for position, (side, table) in enumerate(zip(_sides(pair), tables, strict=True)):
        for cell, replicate, trial in _trials(pair, side, position):
            row = table.loc[trial.id]
            rows.append(
                {
                    "trial_id": f"{side.source.name} {trial.id}",
                    _SOURCE: side.source.name,
                    **({_CELL: cell} if several else {}),
                    "replicate": replicate,
                    info.response.name: row[info.response.name],
                    "concurrent_trials": row["concurrent_trials"],
                    "environment_key": row["environment_key"],
                }
            )
    return pd.DataFrame(rows)


def _trials(pair: Pair, side: Side, position: int) -> Iterable[tuple[str, int, StoredTrial]]:
    if pair.shares_seeds:
        for group in pair.groups:
            yield cell_label(group.cell), group.replicate, group.trials[position]
        return
    free = pair.first.free
    common = {cell_label(group.cell) for group in pair.groups}
    for trial in side.trials:
        cell = cell_label({name: trial.cell[name] for name in free})
        if cell in common:
            yield cell, trial.replicate, trial


# ------------------------------------------------------------------------------------------------ what differs


def _plan(pair: Pair) -> tuple[PlanDifference, ...]:
    if pair.one_run:
        return ()
    first, second = (side.study.folder.read_json("plan.json")["spec"] for side in _sides(pair))
    return tuple(PlanDifference(*each) for each in differences(first, second))


def _environment(pair: Pair) -> tuple[PlanDifference, ...]:
    """Return what differs between the trials' environments and, of two runs, between their records of the machine."""
    first, second = (_facts([group.trials[i] for group in pair.groups]) for i in (0, 1))
    found = [PlanDifference(f"trials.{path}", *values) for path, *values in differences(first, second)]
    if not pair.one_run:
        documents = [side.study.folder.read_json("environment.json") or {} for side in _sides(pair)]
        found += [PlanDifference(*each) for each in differences(*documents)]
    return tuple(found)


def _facts(trials: Sequence[StoredTrial]) -> dict[str, Any]:
    """Return each fact of the environments of some trials; all its values where there are several."""
    facts: dict[str, list[Any]] = {}
    for trial in trials:
        for name, value in trial.environment.items():
            values = facts.setdefault(name, [])
            if value not in values:
                values.append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in facts.items()}
