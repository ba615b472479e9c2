"""Read a run folder, analyse it, and put together what a report is written from."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from cnnbench.data import default_cache_dir
from cnnbench.errors import StoreError
from cnnbench.report import format as fmt
from cnnbench.report.classes import class_reports
from cnnbench.report.export import trials_csv
from cnnbench.report.r import exported_trials, r_script
from cnnbench.stats import analyse_run, prove, run_input, run_spec, summarise_curves
from cnnbench.store import Study, cell_trials
from cnnbench.types import Declared, StudyView

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from cnnbench.spec import StudySpec
    from cnnbench.types import Curve


def build_view(run: Path) -> StudyView:
    """Analyse a run folder.

    Everything comes from the folder: neither the study file nor the plugins that it used are needed.

    Raises:
        StoreError: It is no run folder, or holds no finished trial.
        AnalysisError: The trials cannot be analysed at all.
    """
    study = Study.open(run)
    if not study.stored:
        raise StoreError(f"{run} holds no finished trial yet; run the study first.")
    plan: dict[str, Any] = study.folder.read_json("plan.json")
    spec = run_spec(study)
    data = run_input(study)
    findings = prove(data, analyse_run(study, data), default_cache_dir() / "proofs")
    return StudyView(
        name=study.name,
        question=spec.question,
        profile=plan["profile"],
        study_toml=study.folder.read_text("study.toml") or "",
        assignments=tuple(plan["assignments"]),
        declared=_declared(spec, study),
        factors=study.factors,
        findings=findings,
        trials=data.trials,
        curves=tuple(_curves(study)),
        failures=data.failures,
        environment=_environment(study),
        run_dir=str(run),
        r_script=r_script(data, findings, exported_trials(trials_csv(data.trials), paired=data.paired)),
        class_reports=tuple(class_reports(study.stored, study.responses[0].response)),
    )


def _declared(spec: StudySpec, study: Study) -> Declared:
    primary = spec.analysis.primary
    factors = (primary.interaction or primary.slope or (None,)) if primary is not None else (None,)
    return Declared(
        margin=spec.analysis.equivalence_margin,
        of_interest=primary.over if primary is not None and primary.over else factors[-1],
        metric=study.responses[0].response.metric,
    )


def _curves(study: Study) -> Iterator[Curve]:
    for cell, trials in cell_trials(study.stored).items():
        first = trials[0]
        yield from summarise_curves(
            dict(cell), first.phase, first.size_px.tolist(), [one.scalars for one in trials], first.descriptions
        )


def _environment(study: Study) -> dict[str, Any]:
    described = dict(study.folder.read_json("environment.json") or {})
    return {"trials": _shared_facts([trial.environment for trial in study.stored]), **described}


def _shared_facts(environments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what trials say of the place where they ran; where they differ, each value with their number."""
    facts: dict[str, Any] = {}
    for name in dict.fromkeys(name for environment in environments for name in environment):
        values = Counter(environment.get(name) for environment in environments)
        several = [
            f"{fmt.ABSENT if value is None else value} ({fmt.plural(number, 'trial')})"
            for value, number in values.items()
        ]
        facts[name] = several if len(values) > 1 else next(iter(values))
    return facts
