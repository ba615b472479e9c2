"""A comparison in a terminal: examples first, then what training again gives, then what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from cnnbench.cli.findings_text import drawn
from cnnbench.report import format as fmt
from cnnbench.spec import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from cnnbench.types import Comparison, ExampleGroup, ExamplePair, PlanDifference, Retraining

_MOST_ROWS = 40
"""More rows than this are left to JSON and CSV."""
_MOST_CHARACTERS = 60


def comparison_text(found: Comparison) -> Iterator[RenderableType]:
    """Yield what is printed."""
    for source in found.sources:
        trials = fmt.plural(source.num_trials, "finished trial")
        yield Text(f"{source.name}  {source.given} (study {source.study}, {trials})")
    yield _paragraph("Nothing of this was declared before the trials ran, so all of it is exploratory.", above=1)
    if found.groups:
        yield from _examples(found)
    for note in found.notes:
        yield _paragraph(note)
    for refusal in found.refusals:
        yield _paragraph(f"Refused: {refusal.what}. {fmt.sentence(refusal.why)} {fmt.sentence(refusal.remedy)}")
    for each in found.retraining:
        yield from _retraining(each)


def _paragraph(text: str, above: int = 0) -> RenderableType:
    return Padding(Text(text), (above, 0, 1, 0))


def _examples(found: Comparison) -> Iterator[RenderableType]:
    first = found.groups[0]
    part = f"{first.split} examples" if len({group.split for group in found.groups}) == 1 else "examples"
    names = [source.name for source in found.sources]
    groups = found.groups[:_MOST_ROWS]
    columns = [*_place(groups), ("n", [f"{group.found.num_examples}" for group in groups])]
    for index, name in enumerate(names):
        accuracies = [group.found.accuracies[index] for group in groups]
        columns.append((name, [_percent(each.share) for each in accuracies]))
        if len(names) == 2:
            columns.append((f"{fmt.percent(1 - found.alpha)} CI", [_interval(each.interval) for each in accuracies]))
    if len(names) > 2:
        columns += [
            ("Cochran's Q", [fmt.statistic(group.found.cochran_q) for group in groups]),
            ("p", [fmt.p_value(group.found.cochran_p) for group in groups]),
        ]
    yield drawn(f"Right answers to the same {part}, in percent", columns)
    yield from _pairs([(group, pair) for group in found.groups for pair in group.found.pairs], several=len(names) > 2)


def _pairs(rows: Sequence[tuple[ExampleGroup, ExamplePair]], *, several: bool) -> Iterator[RenderableType]:
    kept = rows[:_MOST_ROWS]
    pairs = [pair for _, pair in kept]
    names = [f"{pair.first} - {pair.second}" for pair in pairs]
    columns = [
        *_place([group for group, _ in kept]),
        *([("Pair", names)] if several else []),
        ("Only one right", [f"{pair.n10} : {pair.n01}" for pair in pairs]),
        ("Difference", [_signed(pair.difference) for pair in pairs]),
        ("Interval", [_interval(pair.interval) for pair in pairs]),
        ("p", [fmt.p_value(pair.p_exact) for pair in pairs]),
        ("p adj.", [fmt.p_value(pair.p_exact_holm) for pair in pairs]),
    ]
    title = "Differences" if several else f"{names[0]}"
    yield drawn(f"{title} on these examples, in percentage points", columns)
    if len(rows) > _MOST_ROWS:
        yield _paragraph(f"{len(rows) - _MOST_ROWS} more rows with --json or --csv.")
    yield _paragraph(
        "Intervals: paired bootstrap over examples (BCa). p: exact McNemar test; adjusted over "
        f"{rows[0][0].found.family}."
    )


def _place(groups: Sequence[ExampleGroup]) -> list[tuple[str, list[str]]]:
    """Return the columns that say which trials a row is about."""
    replicates = [str(group.replicate) for group in groups]
    if not groups[0].cell:
        return [("Repl.", replicates)]
    return [("Cell", [fmt.cell(group.cell) for group in groups]), ("Repl.", replicates)]


def _percent(share: float) -> str:
    return fmt.number(100 * share, 1)


def _signed(difference: float) -> str:
    return f"{'+' if difference > 0 else ''}{fmt.number(100 * difference, 1)}"


def _interval(interval: object) -> str:
    low, high = getattr(interval, "low", None), getattr(interval, "high", None)
    return fmt.ABSENT if low is None or high is None else f"[{fmt.number(100 * low, 1)}, {fmt.number(100 * high, 1)}]"


def _retraining(found: Retraining) -> Iterator[RenderableType]:
    pair = f"{found.first} - {found.second}"
    if found.overall is not None:
        how = "matching trials share their seeds" if found.paired else "trials are independent"
        yield _paragraph(f"Trained again ({pair}; {how}): {found.overall.sentence}")
    if found.cells:
        places = fmt.decimals_for(fmt.half_width(effect.interval) for effect in found.cells)
        kept = found.cells[:_MOST_ROWS]
        columns = [
            ("Cell", [effect.label for effect in kept]),
            (fmt.with_unit(pair, found.unit), [fmt.number(effect.estimate, places) for effect in kept]),
            ("Interval", [fmt.interval_text(effect.interval, places) for effect in kept]),
            ("n", [f"{effect.n}" for effect in kept]),
            ("p", [fmt.p_value(effect.p) for effect in kept]),
            ("p adj.", [fmt.p_value(effect.p_adjusted) for effect in kept]),
        ]
        yield drawn(f"{fmt.capitalised(fmt.name(found.response))} over trials, cell by cell", columns)
    for refusal in found.refusals:
        yield _paragraph(f"Refused: {refusal.what}. {fmt.sentence(refusal.why)} {fmt.sentence(refusal.remedy)}")
    yield from _differences(f"What differs between the plans of {found.first} and {found.second}", found, found.plan)
    title = f"What differs between the environments of {found.first} and {found.second}"
    yield from _differences(title, found, found.environment)


def _differences(title: str, found: Retraining, rows: Sequence[PlanDifference]) -> Iterator[RenderableType]:
    if not rows:
        return
    kept = rows[:_MOST_ROWS]
    columns = [
        ("Key", [row.path for row in kept]),
        (found.first, [_short(shown(row.first)) for row in kept]),
        (found.second, [_short(shown(row.second)) for row in kept]),
    ]
    yield drawn(title, columns, wrap=True)
    if len(rows) > _MOST_ROWS:
        yield _paragraph(f"{len(rows) - _MOST_ROWS} more with --json.")


def _short(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"
