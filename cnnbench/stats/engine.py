"""The analysis of a study from end to end: every response, then what lies between them and what was published."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from cnnbench.stats.effects.answers import adjusted
from cnnbench.stats.references import check_claim, check_value
from cnnbench.stats.response import ask_primary, finish, hypotheses, run_tests, start
from cnnbench.stats.trials.cells import over_levels
from cnnbench.stats.trials.environments import environment_refusal
from cnnbench.stats.trials.prepare import read_trials
from cnnbench.stats.trials.random_levels import random_position
from cnnbench.stats.words.adaptive import UNDECIDED, look_sentences
from cnnbench.types import Findings, Refusal

if TYPE_CHECKING:
    from cnnbench.spec import Hypothesis
    from cnnbench.stats.effects.answers import Draft, Setting
    from cnnbench.stats.interface import AnalysisInput
    from cnnbench.stats.response import Work
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.types import Claim, Look, ReferenceCheck, ResponseInfo


@dataclass(frozen=True, slots=True, eq=False)
class PrimaryTest:
    """The primary hypothesis with the trials that it was tested on."""

    hypothesis: Hypothesis
    cells: CellData
    setting: Setting
    draft: Draft
    partner: Draft | None
    """The omnibus interaction that shares alpha with it, if one does."""
    correction: str
    """How the two share it."""


def analyse(data: AnalysisInput) -> Findings:
    """Test a study's hypotheses and describe its design, in the order of the decision table of docs/statistics.md.

    Whatever the trials do not bear is a `Refusal` in the findings, never an exception.

    Raises:
        AnalysisError: The table lacks a column, holds something that is no number or a level that the study does not
            name, or has the same replicate of a cell twice.
    """
    data = _told_apart(data)
    trials = read_trials(data)
    apart = environment_refusal(data, trials)
    works = {info.response.name: start(data, trials, info, apart) for info in data.responses}
    for name, work in works.items():
        run_tests(data, work, name)
    _refuse_unrecorded(data, works)
    declared = adjusted(
        [draft for work in works.values() for draft in work.further], "further hypotheses", data.analysis.correction
    )
    for work in works.values():
        own = {id(draft.found): draft for draft in work.further}
        work.further = [draft for draft in declared if id(draft.found) in own]
    look = _promise(data, works)
    return Findings(
        study=data.study,
        question=data.question,
        alpha=data.analysis.alpha,
        confirmatory=data.confirmatory,
        responses=tuple(finish(data, work) for work in works.values()),
        exclusions=data.exclusions,
        references=_references(data, works),
        claims=_claims(data, works),
        versions={name: version(name) for name in ("cnnbench", "numpy", "pandas", "scipy", "statsmodels")},
        look=look,
    )


def _told_apart(data: AnalysisInput) -> AnalysisInput:
    """Call responses of the same metric by their own names; sentences about them could not be told apart else."""
    times = Counter(info.long_name for info in data.responses)
    responses = tuple(
        info if times[info.long_name] == 1 else replace(info, long_name=_own_name(info)) for info in data.responses
    )
    return replace(data, responses=responses)


def _own_name(info: ResponseInfo) -> str:
    name = info.response.name.replace("-", " ").replace("_", " ")
    return name[:1].upper() + name[1:]


def primary_test(data: AnalysisInput) -> PrimaryTest | Refusal:
    """Test the primary hypothesis alone, as `analyse` does, and return what it was tested on.

    Raises:
        AnalysisError: As `analyse`.
    """
    data = _told_apart(data)
    hypothesis, what = data.analysis.primary, "null rate of the primary test"
    if hypothesis is None:
        return Refusal(what, "The study declares no primary hypothesis.", "Declare one in `[analysis]`.")
    name = hypothesis.response or data.responses[0].response.name
    info = next((info for info in data.responses if info.response.name == name), None)
    if info is None:
        return Refusal(
            what,
            f"The trials do not record the response {name}.",
            "Name one of the recorded responses in `[analysis]`.",
        )
    trials = read_trials(data)
    work = start(data, trials, info, environment_refusal(data, trials))
    if work.data is None:
        why = work.refusals[-1]
        return Refusal(what, f"The primary hypothesis was not tested: {why.why}", why.remedy)
    found = ask_primary(data, work, work.data, hypothesis)
    if isinstance(found, Refusal):
        return Refusal(what, f"The primary hypothesis was not tested: {found.why}", found.remedy)
    return PrimaryTest(hypothesis, work.data, work.setting, found, work.partner, data.analysis.correction)


def _refuse_unrecorded(data: AnalysisInput, works: dict[str, Work]) -> None:
    """Refuse hypotheses on responses that no trial records, where the reader looks first."""
    main = works[data.responses[0].response.name]
    for key, hypothesis in hypotheses(data):
        if hypothesis.response is not None and hypothesis.response not in works:
            what = "primary hypothesis" if key == "primary" else f"hypothesis {key.removeprefix('further:')}"
            why = f"The trials do not record the response {hypothesis.response}."
            main.refusals.append(Refusal(what, why, "Name one of the recorded responses in `[analysis]`."))


def _promise(data: AnalysisInput, works: dict[str, Work]) -> Look | None:
    """Say how a two-stage design came to its number of seeds; return the decision with the width that it reached."""
    if not data.two_stage:
        return None
    primary = data.analysis.primary
    home = (primary.response if primary is not None else None) or data.responses[0].response.name
    work = works[home]
    if data.look is None:
        work.promise.append(UNDECIDED)
        return None
    interval = None if work.primary is None else work.primary.effect.interval
    look = replace(data.look, reached=None if interval is None else (interval.high - interval.low) / 2)
    work.promise += look_sentences(look, work.setting)
    return look


def _references(data: AnalysisInput, works: dict[str, Work]) -> tuple[ReferenceCheck, ...]:
    checks = []
    for reference in data.references:
        if reference.value is None:
            continue
        work = works.get(reference.response)
        usable = work is not None and (work.data is not None or not work.reason or bool(work.marginals))
        raw = work.raw if work is not None and usable else None
        why = work.reason if work is not None else f"this study does not record {reference.response}."
        if raw is not None and data.random is not None and data.random not in reference.cell:
            position = random_position(data.random, raw)
            raw = raw if position is None else over_levels(raw, position)
        checks.append(check_value(reference, reference.value, raw, work.setting if work else None, why))
    return tuple(checks)


def _claims(data: AnalysisInput, works: dict[str, Work]) -> tuple[Claim, ...]:
    claims = []
    for number, reference in enumerate(data.references, start=1):
        if reference.claim is None:
            continue
        work = works.get(reference.response)
        why = work.reason if work is not None else f"this study does not record {reference.response}."
        cells, setting = (work.data, work.setting) if work is not None else (None, None)
        trials = None if work is None else work.trials
        claims.append(check_claim(reference, f"claim:{number}", cells, setting, why, trials=trials))
    return tuple(claims)
