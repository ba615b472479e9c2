"""Between rounds of trials: what was decided before, and what the finished round decides.

A decision is taken once. It is stored with fingerprints of all that it rests on; a study that would have decided on
something else is refused, because a rule that is changed after its results are known decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cnnbench.design import baseline_of, declared_for, is_last
from cnnbench.errors import Problem, SpecError, StoreError
from cnnbench.store import StoredDecision, Study, fingerprint, read_decisions, trials_fingerprint
from cnnbench.types import Choice, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cnnbench.spec import StudySpec
    from cnnbench.store import RunFolder
    from cnnbench.types import Decision, Plan, ResponseInfo


def is_adaptive(spec: StudySpec) -> bool:
    """Return whether the plan depends on results."""
    return spec.design.seeds is not None or spec.design.kind == "sequential"


def check_direction(spec: StudySpec, responses: Sequence[ResponseInfo], source: str) -> None:
    """Check that a sequential design knows which of two levels is better.

    Raises:
        SpecError: The response has no better direction.
    """
    if spec.design.kind == "sequential" and responses[0].higher_is_better is None:
        name = responses[0].response.name
        message = f"`{name}` does not say whether higher is better, so no level can be chosen by it; choose another."
        raise SpecError(source, [Problem("analysis.response", message)])


def settled(folder: RunFolder, spec: StudySpec) -> tuple[StoredDecision, ...]:
    """Return the decisions of a folder that this study goes on from.

    Raises:
        StoreError: They were taken under another rule.
    """
    if not is_adaptive(spec):
        return ()
    found = read_decisions(folder)
    for index, stored in enumerate(found):
        known = not is_last(spec, index)
        if not known or fingerprint(declared_for(spec, index)) != stored.declared_sha256:
            raise StoreError(
                f"{folder.path} holds the decision on {_about(stored.decision)}, taken under another rule than the "
                "study file now gives; restore the rule, or begin anew with --fresh or another --runs-dir."
            )
    return found


def check_rounds(plan: Plan, spec: StudySpec, decisions: Sequence[StoredDecision], folder: RunFolder) -> None:
    """Check that each decision rests on trials of this plan.

    Raises:
        StoreError: The study would have run other trials.
    """
    for index, stored in enumerate(decisions):
        if trials_fingerprint(_round_ids(plan, spec, index)) != stored.trials_sha256:
            raise StoreError(
                f"{folder.path} holds the decision on {_about(stored.decision)}, taken on other trials than the study "
                "file now plans (levels, recipe, seeds or data have changed); restore them, or begin anew with "
                "--fresh or another --runs-dir."
            )


def _about(decision: Decision) -> str:
    return f"the level of `{decision.factor}`" if isinstance(decision, Choice) else "the number of seeds"


def _round_ids(plan: Plan, spec: StudySpec, index: int) -> Iterable[str]:
    """Return the ids of the trials that decision number ``index`` rests on."""
    seeds = spec.design.seeds
    replicates = plan.stages[index].replicates if seeds is None else range(seeds.pilot)
    return (trial.id for trial in plan.trials if trial.replicate in replicates)


@dataclass(frozen=True, slots=True)
class Undecided:
    """A round that has finished and decides nothing."""

    reason: str
    """A sentence with a remedy."""


def next_decision(folder: RunFolder, spec: StudySpec, plan: Plan, num_decisions: int) -> StoredDecision | Undecided:
    """Take the decision that the finished trials of a run folder allow; its plan is on disk.

    Raises:
        StoreError: Results cannot be read.
        AnalysisError: They cannot be analysed.
    """
    # A plan, or a study that is finished, comes this far without pandas.
    from cnnbench.stats import choose, look, run_input, stage_input  # noqa: PLC0415 - see above

    data = run_input(Study.open(folder.path))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    found: Decision | Refusal
    if spec.design.seeds is not None:
        found = look(data, spec.design.seeds, now)
    else:
        stage, baseline = plan.stages[num_decisions], baseline_of(spec)
        found = choose(stage_input(data, stage, baseline), stage, baseline[stage.name], now)
    if isinstance(found, Refusal):
        return Undecided(f"{found.what} cannot be settled, so the study stops here: {found.why} {found.remedy}")
    return StoredDecision(
        found, fingerprint(declared_for(spec, num_decisions)), trials_fingerprint(_round_ids(plan, spec, num_decisions))
    )


def to_come(spec: StudySpec, plan: Plan, num_decisions: int) -> tuple[int, int]:
    """Return the fewest and the most trials that decisions may still add to a plan."""
    if is_last(spec, num_decisions):
        return 0, 0
    design = spec.design
    if design.seeds is not None:
        per_replicate = sum(trial.replicate == 0 for trial in plan.trials)
        return 0, (design.seeds.max - design.seeds.pilot) * per_replicate
    left = sum(len(spec.factors[stage.factor].levels) for stage in design.stage[num_decisions + 1 :])
    return (left + design.confirm) * design.replicates, (left + 2 * design.confirm) * design.replicates
