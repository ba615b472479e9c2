"""`cnnbench power`: how many seeds the primary hypothesis of a study needs."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cnnbench.cli.plan_text import count, duration
from cnnbench.design import factors_of, planned_cells, responses_of
from cnnbench.errors import AnalysisError
from cnnbench.registry import Registry
from cnnbench.report.export import plain
from cnnbench.spec import StudySpec
from cnnbench.stats import AssumedNoise, Pilot, SeedQuestion, plan_seeds
from cnnbench.store import Study
from cnnbench.types import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from cnnbench.cli.commands import Invocation
    from cnnbench.types import DesignPower, PowerPoint, ResponseInfo, SeedPlan

FORMAT = 1
"""Version of the JSON; raised when a key changes its meaning or goes."""
_MOST_ROWS = 12
_BAR = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the options say."""

    pilot: Path | None
    sd: float | None
    correlation: float
    effect: float | None
    power: float

    def check(self) -> None:
        """Check what can be checked without study and pilot.

        Raises:
            AnalysisError: An option is missing, out of range, or contradicts another.
        """
        if (self.pilot is None) == (self.sd is None):
            which = "not both" if self.sd is not None else "one of them is needed"
            raise AnalysisError(
                f"the noise comes either from a pilot (--from runs/NAME) or from an assumed SD (--sd): {which}."
            )
        for option, value in (("--sd", self.sd), ("--effect", self.effect)):
            if value is not None and not (isfinite(value) and value > 0):
                raise AnalysisError(f"{option} must be above 0; got {value:g}.")
        if self.correlation and self.sd is None:
            raise AnalysisError("--correlation belongs to --sd: a pilot brings its own.")
        if not 0 <= self.correlation < 1:
            raise AnalysisError(f"--correlation must be at least 0 and below 1; got {self.correlation:g}.")
        if not 0.5 <= self.power <= 0.99:
            raise AnalysisError(f"--power must lie between 0.5 and 0.99; got {self.power:g}.")


def show_power(invocation: Invocation, wanted: Wanted, *, as_json: bool, figure: Path | None) -> None:
    """Print the seeds that a study needs; neither its data nor torch is touched.

    Raises:
        SpecError: The study file cannot be used.
        StoreError: The pilot is no run folder, or lacks the study's response.
        AnalysisError: The options, the study or the pilot do not allow an answer, or the figure cannot be written.
    """
    wanted.check()
    if figure is not None and figure.suffix not in {".svg", ".pdf"}:
        raise AnalysisError(f"--figure takes a file that ends in .svg or .pdf; got `{figure.name}`.")
    registry = Registry.discover()
    study = invocation.load(registry)
    spec = study.spec
    infeasible: list[dict[str, Any]] = []
    noise: AssumedNoise | Pilot
    responses = responses_of(spec, registry)
    if wanted.pilot is None:
        noise = AssumedNoise(wanted.sd or 0.0, wanted.correlation)
        other = False
    else:
        noise, infeasible, other = _pilot(wanted.pilot, spec, responses)
    planned = planned_cells(spec)[0]
    cells = tuple(cell for cell in planned if cell not in infeasible)
    plan = plan_seeds(
        SeedQuestion(
            study=spec.name,
            factors=factors_of(spec),
            cells=cells,
            analysis=spec.analysis,
            responses=responses,
            paired=spec.design.pairing == "shared",
            replicates=spec.design.replicates,
            noise=noise,
            effect=wanted.effect,
            power=wanted.power,
        )
    )
    if isinstance(plan, Refusal):
        raise AnalysisError(f"{plan.what}: {plan.why} {plan.remedy}")
    plan = replace(plan, notes=(*_remarks(len(planned) - len(cells), other=other), *plan.notes))
    if figure is not None:
        _draw(plan, figure)
    if as_json:
        document = {"format": FORMAT, "profile": study.profile, **plain(plan)}
        sys.stdout.write(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n")
        return
    console = Console(highlight=False)
    for part in power_text(plan):
        console.print(part)
    step = _next_step(plan, invocation)
    if step:
        console.print(Text(f"\n{step}"), soft_wrap=True)  # a command is there to be copied


def _pilot(run: Path, spec: StudySpec, responses: Sequence[ResponseInfo]) -> tuple[Pilot, list[dict[str, Any]], bool]:
    """Return a run as a pilot, the cells that it found infeasible, and whether its recipe or levels differ."""
    opened = Study.open(run)
    primary = spec.analysis.primary
    name = (primary.response if primary is not None else None) or spec.analysis.response
    read = replace(opened, responses=tuple(info for info in responses if info.response.name == name))
    if not read.stored:
        raise AnalysisError(f"{run} holds no finished trial yet; run the pilot first.")
    ran = StudySpec.model_validate(opened.folder.read_json("plan.json")["spec"])
    infeasible = [dict(one.cell) for one in opened.exclusions if one.kind == "infeasible"]
    other = (ran.trial, ran.factors) != (spec.trial, spec.factors)
    return Pilot(str(run), opened.factors, read.trials, ran.design.pairing == "shared"), infeasible, other


def _remarks(num_infeasible: int, *, other: bool) -> Iterator[str]:
    if other:
        yield "The pilot's recipe or levels are not those of this study, so its noise is a guess for it."
    if num_infeasible:
        cells = "cell that the pilot could not build is" if num_infeasible == 1 else "cells that it could not build are"
        yield f"{num_infeasible} {cells} left out."


def power_text(plan: SeedPlan) -> Iterator[RenderableType]:
    """Yield what is printed: the question, the answer, the curve, and what it rests on."""
    own = plan.designs[0]
    yield Text(f"{plan.study}: {plan.hypothesis} ({plan.response}, alpha {plan.alpha:g})", style="bold")
    yield Text(f"{_noise(plan)}\n")
    for line in (*plan.sentences, *_cost(plan, own)):
        yield Text(line)
    yield _curve(plan)
    for note in plan.notes:
        yield Text(note)


def _noise(plan: SeedPlan) -> str:
    noise = plan.noise
    sd = f"SD {noise.sd:.3g} within a cell{'' if plan.scale == 'raw' else f' ({plan.scale} scale)'}"
    alike = "" if noise.correlation is None else f", correlation {noise.correlation:.2f} between cells of one seed"
    if noise.pilot is None:
        return f"Noise as assumed: {sd}{alike}."
    return f"Noise of {noise.pilot}, {count(noise.seeds or 0, 'seed')} per cell: {sd}{alike}."


def _cost(plan: SeedPlan, own: DesignPower) -> list[str]:
    if own.trials is None:
        return []
    either = "settle the question" if plan.margin is None else "settle it either way"
    trials = f"{own.seeds} seeds {either}: {own.trials:,} trials in {count(plan.num_cells, 'cell')}"
    if own.seconds is None:
        return [f"{trials}."]
    return [f"{trials}, about {duration(own.seconds)} one after the other at the pilot's times."]


def _curve(plan: SeedPlan) -> RenderableType:
    """Draw the power of both kinds of seeds as a table with bars."""
    own, other = plan.designs
    others = {point.seeds: point for point in other.curve}
    marked = {plan.replicates: "planned", **({} if own.seeds is None else {own.seeds: "needed"})}
    if own.seeds == plan.replicates:
        marked[plan.replicates] = "planned, needed"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Seeds", justify="right")
    table.add_column(f"Power, {own.pairing} seeds", no_wrap=True)
    if plan.margin is not None:
        table.add_column("Equivalence", justify="right", no_wrap=True)
    table.add_column(other.pairing.capitalize(), justify="right", no_wrap=True)
    table.add_column("")
    for point in _rows(own, set(marked)):
        bar = "█" * round(_BAR * point.power)
        beside = others.get(point.seeds)
        cells = [str(point.seeds), f"{_percent(point.power)} {bar}"]
        cells += [] if plan.margin is None else [_percent(point.equivalence)]
        cells += [_percent(None if beside is None else beside.power), marked.get(point.seeds, "")]
        table.add_row(*map(Text, cells))
    return table


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:3.0f} %"


def _rows(own: DesignPower, wanted: set[int]) -> list[PowerPoint]:
    """Return a dozen points of the curve up to half as many seeds again as needed, and those that are wanted."""
    last = max([12, *wanted, *([] if own.seeds is None else [3 * own.seeds // 2])])
    shown = [point for point in own.curve if own.seeds is None or point.seeds <= last]
    step = -(-len(shown) // _MOST_ROWS)
    return [point for index, point in enumerate(shown) if index % step == 0 or point.seeds in wanted]


def _next_step(plan: SeedPlan, invocation: Invocation) -> str:
    seeds = plan.designs[0].seeds
    if seeds is None or seeds <= plan.replicates:
        return ""
    profile = [] if invocation.profile is None else ["--profile", invocation.profile]
    sets = [word for assignment in invocation.assignments for word in ("--set", assignment)]
    words = ["cnnbench", "study", str(invocation.study), *profile, *sets, "--set", f"design.replicates={seeds}"]
    return f"Next     {shlex.join(words)}"


def _draw(plan: SeedPlan, path: Path) -> None:
    from cnnbench.report.figures import power_figure  # noqa: PLC0415 - altair, only where a figure is wanted

    drawing = power_figure(plan)
    try:
        path.write_bytes(drawing.svg_file() if path.suffix == ".svg" else drawing.pdf_file())
    except OSError as error:
        raise AnalysisError(f"{path} cannot be written ({error.strerror}); choose another place.") from error
