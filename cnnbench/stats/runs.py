"""A run folder as the input of an analysis, and its analysis whatever the design."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnbench.design import baseline_of
from cnnbench.spec import StudySpec, analysis_hash, dataset_factor, random_factor
from cnnbench.stats.adaptive.stages import Course, analyse_stages
from cnnbench.stats.engine import analyse
from cnnbench.stats.interface import AnalysisInput
from cnnbench.store import read_decisions
from cnnbench.types import Choice, Look

if TYPE_CHECKING:
    from cnnbench.store import Study
    from cnnbench.types import Findings


def run_spec(study: Study) -> StudySpec:
    """Return the study as it was last run in a folder."""
    plan: dict[str, Any] = study.folder.read_json("plan.json")
    return StudySpec.model_validate(plan["spec"])


def run_input(study: Study) -> AnalysisInput:
    """Return the finished trials of a run with its analysis plan; of a sequential design all stages together.

    Raises:
        StoreError: A file of the folder cannot be read.
    """
    spec = run_spec(study)
    fixed = study.folder.read_json("analysis.json") or {}
    missing = set(study.planned) - {trial.id for trial in study.stored}
    failures = tuple(failure for failure in study.folder.failures() if failure.trial.id in missing)
    decisions = [stored.decision for stored in read_decisions(study.folder)] if spec.design.seeds else []
    return AnalysisInput(
        study=study.name,
        question=spec.question,
        factors=study.factors,
        trials=study.trials,
        analysis=spec.analysis,
        responses=study.responses,
        references=spec.reference,
        paired=spec.design.pairing == "shared",
        replicates=study.replicates,
        exclusions=study.exclusions,
        failures=failures,
        pending=len(missing) - len(failures),
        unplanned=len(study.folder.finished().difference(study.planned)),
        confirmatory=fixed.get("sha256") == analysis_hash(spec),
        two_stage=spec.design.seeds is not None,
        random=random_factor(spec),
        dataset_factor=dataset_factor(spec),
        look=next((decision for decision in decisions if isinstance(decision, Look)), None),
    )


def course_of(study: Study, spec: StudySpec) -> Course | None:
    """Return how a sequential study went; None for other designs."""
    if not study.stages:
        return None
    chosen = [stored.decision for stored in read_decisions(study.folder)]
    choices = tuple(decision for decision in chosen if isinstance(decision, Choice))
    same_examples = spec.trial.split.use == "predefined"
    return Course(study.stages, choices[: len(study.stages)], baseline_of(spec), spec.design.confirm, same_examples)


def analyse_run(study: Study, data: AnalysisInput) -> Findings:
    """Analyse a run: as one design, or stage by stage.

    Raises:
        AnalysisError: The trials cannot be analysed at all.
    """
    course = course_of(study, run_spec(study))
    return analyse(data) if course is None else analyse_stages(data, course)
