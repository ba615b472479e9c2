"""A study and its run folder, ready to run: what is planned, what is there, what is to be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from cnnbench.data import PreparedDataset, default_cache_dir, prepare
from cnnbench.design import cell_recipes, dataset_needs, make_plan, planned_cells, responses_of
from cnnbench.errors import Problem, SpecError, StoreError
from cnnbench.execute.probes import CachedProber
from cnnbench.execute.rounds import check_direction, check_rounds, settled, to_come
from cnnbench.execute.splits import check_splits, split_notes
from cnnbench.spec import Oversample, StudySpec, analysis_hash, did_you_mean, differences, shown
from cnnbench.store import RunFolder
from cnnbench.types import COST_RESPONSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.plugin import Dataset
    from cnnbench.registry import Registry
    from cnnbench.spec import StudyFile
    from cnnbench.types import DatasetInfo, Decision, Plan, Response, ResponseInfo, Trial

PrepareProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a study is run; nothing here is part of a trial's identity."""

    runs_dir: Path = Path("runs")
    workers: int | None = None
    """Worker processes; 0 runs in this process; None: as many as are useful."""
    device: str = "auto"
    retry_failed: bool = False
    fresh: bool = False
    checkpoint_every_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Session:
    """A planned study and its run folder."""

    study: StudyFile
    plan: Plan
    folder: RunFolder
    datasets: dict[str, PreparedDataset]
    """By data fingerprint."""
    responses: tuple[ResponseInfo, ...]
    pending: tuple[Trial, ...]
    num_finished: int
    """Planned trials whose results are there."""
    num_failed: int
    """Planned trials that failed before and are not run again."""
    changes: tuple[str, ...]
    """What differs between the study and the one that was run in this folder before."""
    exclusive: bool
    """Whether trials run one at a time, because a response depends on time."""
    decisions: tuple[Decision, ...] = ()
    """What earlier rounds decided, where the plan depends on results."""
    notes: tuple[str, ...] = ()
    """What else the plan has to say, as sentences: what splits keep together, what is copied."""

    @property
    def to_come(self) -> tuple[int, int]:
        """The fewest and the most trials that decisions may still add to the plan."""
        return to_come(self.study.spec, self.plan, len(self.decisions))


def run_name(study: StudyFile) -> str:
    """Return the name of the run folder: the study's, and the profile's if there is one."""
    return study.spec.name if study.profile is None else f"{study.spec.name}-{study.profile}"


def open_session(
    study: StudyFile, registry: Registry, options: RunOptions, progress: PrepareProgress | None = None
) -> Session:
    """Prepare the data, check every cell, and compare the plan with what the run folder holds; nothing there changes.

    Raises:
        CnnbenchError: Data, design or folder cannot be used.
    """
    spec, cache_dir = study.spec, default_cache_dir()
    prepared: dict[Dataset, PreparedDataset] = {}
    source = str(study.path)
    recipes = cell_recipes(spec, registry, planned_cells(spec)[0], source)
    for need in dataset_needs(spec, registry, recipes):
        prepared[need.dataset] = prepare(need.dataset, need.sizes_px, need.resize, cache_dir, progress)

    def info_of(dataset: Dataset) -> DatasetInfo:
        return prepared[dataset].info

    folder = RunFolder(options.runs_dir / run_name(study))
    stored = () if options.fresh else settled(folder, spec)
    decisions = tuple(one.decision for one in stored)
    try:
        with CachedProber(cache_dir) as prober:
            plan = make_plan(spec, registry, info_of, prober, source, decisions=decisions, recipes=recipes)
    except OSError as error:
        raise StoreError(
            f"the cache {cache_dir} cannot be written ({error.strerror}); name another folder in CNNBENCH_CACHE."
        ) from error
    responses = responses_of(spec, registry)
    datasets = {dataset.info.fingerprint: dataset for dataset in prepared.values()}
    check_rounds(plan, spec, stored, folder)
    check_direction(spec, responses, source)
    _check_responses(plan, responses, source)
    check_splits(plan, responses, datasets)
    _check_oversampling(plan, source)
    if options.fresh:
        _check_that_it_may_be_emptied(folder)
    finished = set() if options.fresh else folder.finished()
    skipped = set() if options.fresh or options.retry_failed else folder.failed()
    return Session(
        study=study,
        plan=plan,
        folder=folder,
        datasets=datasets,
        responses=responses,
        pending=tuple(trial for trial in plan.trials if trial.id not in finished and trial.id not in skipped),
        num_finished=sum(trial.id in finished for trial in plan.trials),
        num_failed=sum(trial.id in skipped and trial.id not in finished for trial in plan.trials),
        changes=() if options.fresh else _changes(folder, spec),
        exclusive=_is_exclusive(spec, responses),
        decisions=decisions,
        notes=split_notes(plan, datasets),
    )


def _check_responses(plan: Plan, responses: tuple[ResponseInfo, ...], source: str) -> None:
    """Check that every cell will have what the responses are read from, whatever its levels change in the recipe."""
    problems: dict[str, Problem] = {}
    for trial in {id(trial.recipe): trial for trial in plan.trials}.values():  # replicates share their recipe
        for info in responses:
            fault = _response_fault(trial.recipe, info.response)
            if fault is not None:
                cell = ", ".join(f"{name} = {level}" for name, level in trial.cell.items())
                message = f"the response `{info.response.name}` cannot be read: {fault}."
                problems.setdefault(message, Problem(f"cell {cell}", message))
    if problems:
        raise SpecError(source, list(problems.values()))


def _response_fault(recipe: Mapping[str, Any], response: Response) -> str | None:
    if response.metric in COST_RESPONSES:
        return None
    phases = {phase["name"]: phase for phase in recipe["phases"]}
    name = response.phase if response.phase is not None else recipe["phases"][-1]["name"]
    if response.metric not in (metric["use"] for metric in recipe["metrics"]):
        return f"`metrics` has no `{response.metric}` there; add it"
    if name not in phases:
        return f"there is no phase `{name}` there; keep it, or read the response elsewhere"
    if response.view == "tta" and "tta" not in phases[name]["evaluate"]:
        return f'phase `{name}` does not evaluate it there; add "tta" to its `evaluate`'
    if response.epoch == "best" and recipe["split"]["use"] == "random" and recipe["split"]["test"] == 0:
        return "there is no test part there, and the best epoch is chosen on the validation part; set `split.test`"
    return None


def _check_oversampling(plan: Plan, source: str) -> None:
    """Check that the classes that are to be copied exist."""
    for trial in (trial for trial in plan.trials if trial.replicate == 0 and "oversample" in trial.recipe):
        wanted = Oversample.model_validate(trial.recipe["oversample"]).classes
        names = plan.datasets[trial.data_fingerprint].class_names
        unknown = [name for name in wanted if name not in names] if isinstance(wanted, tuple) else []
        if unknown:
            message = f"the dataset has no class `{unknown[0]}`; {did_you_mean(unknown[0], names)}"
            raise SpecError(source, [Problem("trial.oversample.classes", message)])


def _check_that_it_may_be_emptied(folder: RunFolder) -> None:
    if folder.path.is_dir() and folder.read_json("plan.json") is None and any(folder.path.iterdir()):
        raise StoreError(f"{folder.path} is no run folder of cnnbench; --fresh does not empty it.")


def _is_exclusive(spec: StudySpec, responses: tuple[ResponseInfo, ...]) -> bool:
    if spec.design.timing == "auto":
        return any(info.uses_time for info in responses)
    return spec.design.timing == "exclusive"


# ------------------------------------------------------------------------------------------------ what was run before


def _changes(folder: RunFolder, spec: StudySpec) -> tuple[str, ...]:
    before = folder.read_json("plan.json")
    if before is None:
        return ()
    found = differences(_with_defaults(before["spec"]), spec.model_dump(mode="json"))
    return tuple(f"{key}: {shown(old)} -> {shown(new)}" for key, old, new in found)


def _with_defaults(written: dict[str, Any]) -> dict[str, Any]:
    """Return a study as an earlier version wrote it, with the defaults of keys that came later: they change nothing."""
    try:
        return StudySpec.model_validate(written).model_dump(mode="json")
    except ValidationError:  # it had keys that are gone
        return written


def write_documents(session: Session, environment: dict[str, Any]) -> None:
    """Write what the run folder says about the study: its file, its plan, its analysis plan, its provenance."""
    folder, spec, plan = session.folder, session.study.spec, session.plan
    declared = {"sha256": analysis_hash(spec), "analysis": spec.analysis.model_dump(mode="json")}
    if folder.read_json("analysis.json") is None or not folder.finished():
        folder.write_json("analysis.json", declared)
    folder.write_text("study.toml", session.study.text)
    folder.write_json("environment.json", environment)
    folder.write_json(
        "plan.json",
        {
            "study": plan.study,
            "profile": session.study.profile,
            "assignments": list(session.study.assignments),
            "replicates": plan.replicates,
            "factors": [asdict(factor) for factor in plan.factors],
            "responses": [asdict(info) for info in session.responses],
            "exclusions": [asdict(exclusion) for exclusion in plan.exclusions],
            "datasets": {key: asdict(info) for key, info in plan.datasets.items()},
            "spec": spec.model_dump(mode="json"),
            "trials": [
                {"id": trial.id, "cell": trial.cell, "replicate": trial.replicate, "flops": trial.flops}
                for trial in plan.trials
            ],
            **({"stages": [asdict(stage) for stage in plan.stages]} if plan.stages else {}),
        },
    )
