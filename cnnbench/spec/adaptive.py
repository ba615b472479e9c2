"""Designs whose plan depends on results: what their tables must say, and must not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnbench.spec.problems import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cnnbench.spec.model import Hypothesis, StudySpec
    from cnnbench.spec.problems import Finding
    from cnnbench.spec.toml import KeyPath

CONFIRM = "confirm"
"""Name of the stage that runs baseline and selected setting again."""
SETTING = "setting"
"""The factor of that stage."""
RESERVED = ("stage", SETTING)
"""Columns that the results of a sequential design have beside the factors."""


def check_adaptive(data: Mapping[str, Any], spec: StudySpec) -> Iterator[Finding]:
    """Yield what is wrong with a two-stage or a sequential design; ``data`` is the file as it was written."""
    written = data.get("design", {})
    if spec.design.kind != "sequential" and "confirm" in written:
        yield ("design", "confirm"), '`confirm` belongs to `kind = "sequential"`.'
    if spec.design.seeds is not None:
        yield from _check_seeds(written, spec)
    if spec.design.kind == "sequential":
        yield from _check_stages(spec)
        yield from _check_questions(spec)


def _check_seeds(written: Mapping[str, Any], spec: StudySpec) -> Iterator[Finding]:
    primary = spec.analysis.primary
    if "replicates" in written:
        yield ("design", "replicates"), "`seeds` decides how many replicates are run; leave `replicates` out."
    if primary is None:
        yield (
            ("design", "seeds"),
            "`seeds` narrows the interval of the primary hypothesis, and there is none; declare `analysis.primary`.",
        )
    elif primary.interaction is not None:
        yield (
            ("analysis", "primary"),
            (
                "`design.seeds` needs a primary hypothesis with an interval, and an interaction as a whole has none; "
                "declare a contrast or a slope over two ordered factors, or give `design.replicates`."
            ),
        )


def _check_stages(spec: StudySpec) -> Iterator[Finding]:
    """Each factor has one stage, and none has the name of a column of the results."""
    seen: set[str] = set()
    for index, stage in enumerate(spec.design.stage):
        place: KeyPath = ("design", "stage", index, "factor")
        if stage.factor not in spec.factors:
            yield place, f"there is no factor `{stage.factor}`; {did_you_mean(stage.factor, spec.factors)}"
        if stage.factor in seen:
            yield place, f"the factor `{stage.factor}` has a stage already."
        seen.add(stage.factor)
    for name in spec.factors:
        if name not in seen:
            yield (
                ("factors", name),
                f"no stage varies `{name}`; add a `[[design.stage]]`, or put a constant into `[trial]`.",
            )
        if name in (*RESERVED, CONFIRM):
            yield ("factors", name), f"`{name}` names something else in the results of a sequential design; rename it."
    for name in spec.responses:
        if name in RESERVED:
            yield (
                ("responses", name),
                f"`{name}` names something else in the results of a sequential design; rename it.",
            )


def _check_questions(spec: StudySpec) -> Iterator[Finding]:
    """Each stage is a design of one factor, so a hypothesis is about one factor, and references name a level of one."""
    if spec.analysis.primary is not None and spec.design.confirm:
        yield (
            ("analysis", "primary"),
            (
                "the primary hypothesis of a sequential design is `selected - baseline`, tested on the new seeds of "
                "its last stage; put this one into `analysis.further`, or set `design.confirm = false`."
            ),
        )
    asked: list[tuple[KeyPath, Hypothesis | None]] = [(("analysis", "primary"), spec.analysis.primary)]
    asked += [(("analysis", "further", i), entry) for i, entry in enumerate(spec.analysis.further)]
    asked += [(("reference", i, "claim"), entry.claim) for i, entry in enumerate(spec.reference)]
    for place, hypothesis in asked:
        if hypothesis is not None and hypothesis.at:
            yield (
                (*place, "at"),
                "a sequential design holds all other factors at what was chosen before; leave `at` out.",
            )
        if hypothesis is not None and (hypothesis.interaction is not None or len(hypothesis.slope or ()) > 1):
            yield (
                place,
                (
                    "a sequential design varies one factor at a time, so it shows no interaction; ask about one "
                    'factor, or use `kind = "factorial"`.'
                ),
            )
    for i, entry in enumerate(spec.reference):
        if entry.each:
            yield ("reference", i, "each"), "a stage varies one factor only, so a claim has no levels of others here."
        if entry.value is not None and not entry.cell:
            yield ("reference", i, "cell"), "name a level of the factor in whose stage the published number belongs."
