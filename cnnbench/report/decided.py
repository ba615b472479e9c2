"""What was decided while the study ran: the look of a two-stage design, the choices of a sequential one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnbench.report import format as fmt
from cnnbench.report.tables import Column, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cnnbench.types import Choice, Look, StageFindings, Standing

_SETTING = "setting"
"""The factor of the stage that confirms."""


def look_table(look: Look) -> Table:
    """The look history: when the number of seeds was decided, on what, and what came of it."""
    values = (
        ("Looks", "1"),
        ("Taken at", look.taken_at),
        ("Hypothesis", look.hypothesis),
        ("Pilot seeds that count", str(len(look.pilot))),
        ("Standard deviation of the per-seed effect in the pilot", fmt.number(look.sd)),
        (f"Half width of the {fmt.percent(1 - look.alpha)} interval aimed at", fmt.number(look.aimed)),
        ("Seeds needed", str(look.needed)),
        ("Seeds run", f"{look.replicates}{' (the study has no more)' if look.capped else ''}"),
        ("Half width reached", fmt.number(look.reached)),
    )
    scale = "" if look.scale == "raw" else f" ({look.scale} scale)"
    caption = (
        f"Look history of the two-stage rule, {fmt.name(look.response)}{scale}. The interval is Stein's: the mean of "
        "all seeds, with the standard deviation and the degrees of freedom of the pilot."
    )
    return Table(caption, (Column("", numeric=False), Column("", numeric=False)), values)


def standings_table(choice: Choice) -> Table:
    """The levels of a stage, and how sure the choice among them is."""
    scale = "" if choice.scale == "raw" else f", {choice.scale} scale"
    sds = [standing.sd / standing.n**0.5 for standing in choice.standings if standing.sd]
    places = fmt.decimals_for(sds)
    rows = tuple(
        (
            fmt.level(one.level),
            fmt.number(one.n),
            fmt.number(one.failed),
            fmt.number(one.mean, places),
            fmt.number(one.sd, places),
            fmt.ABSENT if one.share is None else fmt.percent(round(one.share, 3)),
            fmt.p_value(one.p_best),
            _place(choice, one),
        )
        for one in choice.standings
    )
    titles = (f"Mean of {fmt.name(choice.response)}{scale}", "SD", "Chosen in resamples", "p (best)")
    columns = (
        Column(fmt.name(choice.factor), numeric=False),
        Column("n"),
        Column("Without result"),
        *(Column(title) for title in titles),
        Column("", numeric=False),
    )
    notes = (
        f"p (best): comparisons with the best (one-sided t, Bonferroni); below {choice.alpha:g} a level is worse.",
        "Resamples: 10,000 draws of the same seeds, stretched to the variance of a mean; ties as in the choice itself.",
    )
    return Table(f"The levels of {fmt.name(choice.factor)} in their stage.", columns, rows, notes)


def _place(choice: Choice, one: Standing) -> str:
    if one.level == choice.level:
        return "chosen"
    if one.failed:
        return "cannot be chosen"
    return "cannot be told from the best" if one.among_best else "worse than the best"


def stage_title(stage: StageFindings) -> str:
    """A stage as a heading: its factor and what it held."""
    held = f", at {fmt.cell(stage.held)}" if stage.held and stage.choice is not None else ""
    return f"{fmt.capitalised(fmt.name(stage.name))}{held}"


def stage_trials(stage: StageFindings, trials: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The rows of a stage, each with the setting that it has: the selected one, or the baseline."""
    for trial in trials:
        if trial["replicate"] in stage.replicates:
            selected = all(trial[name] == level for name, level in stage.held.items())
            yield {**trial, _SETTING: "selected" if selected else "baseline"}
