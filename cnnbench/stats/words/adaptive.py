"""Decisions in plain language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.stats.trials.cells import level_text
from cnnbench.stats.words.wording import amount

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.stats.effects.answers import Setting
    from cnnbench.types import Choice, Level, Look, Standing

UNDECIDED = (
    "The number of seeds is not decided yet: the pilot has not finished. These are interim results, and no number of "
    "seeds will be chosen by them but by the spread of the whole pilot."
)


def look_sentences(look: Look, setting: Setting) -> list[str]:
    """Return what was decided on the pilot, and whether the promise of the study is kept."""
    aimed = amount(look.aimed, setting)
    sentences = [
        (
            f"Seeds were added by Stein's two-stage rule with one look: after {len(look.pilot)} complete pilot seeds "
            f"(standard deviation of the per-seed effect {amount(look.sd, setting)}), an interval of ±{aimed} takes "
            f"{look.needed} seeds."
        ),
    ]
    if look.reached is None:
        return sentences
    reached = amount(look.reached, setting)
    if look.capped:
        return [
            *sentences,
            (
                f"The study's maximum is {look.replicates}, so the promised width is not reached: the interval is "
                f"±{reached} instead of ±{aimed}."
            ),
        ]
    if look.reached > look.aimed * (1 + 1e-9):
        return [
            *sentences,
            (
                f"Seeds are missing (failed, or not run yet), so the promised width is not reached: the interval is "
                f"±{reached} instead of ±{aimed}."
            ),
        ]
    return [*sentences, f"The interval is ±{reached}."]


def choice_sentences(choice: Choice, setting: Setting, *, confirmed: bool, same_examples: bool = False) -> list[str]:
    """Return what a stage chose, how sure that is, and what choosing does to the mean.

    ``confirmed`` says that the study runs the selected setting again, ``same_examples`` that all its trials are
    evaluated on the same examples.
    """
    chosen = next(standing for standing in choice.standings if standing.level == choice.level)
    return [
        _chosen(choice, chosen),
        _certainty(choice, chosen),
        *_rivals(choice),
        *_unable(choice),
        _optimism(choice, setting, confirmed=confirmed, same_examples=same_examples),
    ]


def _chosen(choice: Choice, chosen: Standing) -> str:
    end = "highest" if choice.higher_is_better else "lowest"
    scale = "" if choice.scale == "raw" else f" on the {choice.scale} scale"
    tie = ""
    if choice.tied:
        tie = f"; {_listed(choice.tied)} has the same mean, and the baseline, or else the first level, is kept"
    return (
        f"Chosen: {choice.factor} {level_text(choice.level)}, which has the {end} mean of {choice.response}{scale} "
        f"({chosen.n} seeds{tie})."
    )


def _certainty(choice: Choice, chosen: Standing) -> str:
    if chosen.share is None:
        return "With one seed for each level nothing is known of how sure this choice is."
    if sum(not standing.failed for standing in choice.standings) == 1:
        return "It is the only level that could be chosen."
    return (
        f"Drawn again from the same {chosen.n} seeds, it is chosen in {100 * chosen.share:.0f} % of 10,000 resamples."
    )


def _rivals(choice: Choice) -> list[str]:
    able = [standing for standing in choice.standings if not standing.failed and standing.level != choice.level]
    rivals = [standing.level for standing in able if standing.among_best]
    method = f"multiple comparisons with the best, alpha {choice.alpha:g}"
    if not able or all(standing.p_best is None for standing in able):
        return []
    if not rivals:
        return [f"Every other level is worse than the best ({method})."]
    return [f"It cannot be told from {_listed(rivals)} ({method})."]


def _unable(choice: Choice) -> list[str]:
    unable = [standing for standing in choice.standings if standing.failed]
    each = ", ".join(f"{level_text(one.level)} ({one.failed} of {one.n + one.failed})" for one in unable)
    return [f"Not to be chosen, because trials have no result: {each}."] if unable else []


def _optimism(choice: Choice, setting: Setting, *, confirmed: bool, same_examples: bool) -> str:
    size = f", by about {amount(choice.optimism, setting)} in resamples of the seeds" if choice.optimism else ""
    remedy = (
        f"the stage that confirms measures the selected setting on new seeds{', not on new examples' * same_examples}"
        if confirmed
        else "this study does not measure it again (`confirm = false`)"
    )
    return f"The mean of a level that was chosen for being the best is optimistic{size}; {remedy}."


def confirm_sentences(
    baseline: Mapping[str, Level], selected: Mapping[str, Level], *, same_examples: bool = False
) -> list[str]:
    """Return what the confirming stage compares, and whether choosing has left something in its means.

    New seeds draw new splits. Where the dataset brings its split, ``same_examples``, the stages have chosen what suits
    the very examples on which the selected setting is measured again.
    """
    fitted = "evaluated on the examples that the stages chose by: how well the choice happens to suit them is still in"
    if dict(baseline) == dict(selected):
        return [
            (
                f"The stages selected the baseline ({_cell(selected)}). "
                + (
                    f"It was run again with new seeds, but {fitted} its mean; there is nothing to compare it with."
                    if same_examples
                    else "Its mean on new seeds carries no optimism; there is nothing to compare it with."
                )
            )
        ]
    return [
        f"Selected: {_cell(selected)}. Baseline: {_cell(baseline)}.",
        f"Both were run again with new seeds, but {fitted} this comparison, in favour of what was selected."
        if same_examples
        else "Both were run again with new seeds, so these means carry no optimism.",
    ]


def _cell(cell: Mapping[str, Level]) -> str:
    return ", ".join(f"{name} {level_text(level)}" for name, level in cell.items())


def _listed(levels: Sequence[Level]) -> str:
    *most, last = map(level_text, levels)
    return f"{', '.join(most)} and {last}" if most else last
