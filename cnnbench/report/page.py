"""The page: every part of the report, ready for the template, which only places it."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from cnnbench.report import classes, cost, decided, figures, phases, tables
from cnnbench.report import format as fmt
from cnnbench.report.gallery import Gallery

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cnnbench.report.figures import Drawing, Layout
    from cnnbench.report.tables import Table
    from cnnbench.types import Effect, ResponseFindings, Section, StageFindings, StudyView

_TEMPLATES = Path(__file__).parent / "templates"
_NUM_OPEN_CURVES = 2
"""Metrics whose curves stand in the open; the others are folded away."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What all parts of a page share."""

    view: StudyView
    gallery: Gallery
    layout: Layout
    trials: Sequence[Mapping[str, Any]]
    """The rows of the trials table, of a stage those of its own."""
    name: str = ""
    """The stage, for the names of its figures."""


@dataclass(frozen=True, slots=True)
class ResponsePart:
    """Everything the page shows of one response."""

    found: ResponseFindings
    title: str
    primary: Effect | None
    effects_figure: Drawing | None
    effects_table: Table | None
    sizes_table: Table | None
    family_figure: Drawing | None
    family_table: Table | None
    family_sizes: Table | None
    tests: tuple[Table, ...]
    further_tests: tuple[Table, ...]
    """Tests that decide nothing, beside the others."""
    other_scale_tests: tuple[Table, ...]
    diagnostics_figure: Drawing | None
    variance_table: Table | None
    ranks_figure: Drawing | None
    ranks_table: Table | None
    ranks_in_open: bool
    """Whether they are over datasets, and stand in the open; over seeds they are folded away."""
    cells_figure: Drawing | None
    cells_table: Table
    marginals_figure: Drawing | None
    marginals_table: Table | None


@dataclass(frozen=True, slots=True)
class StagePart:
    """A stage of a sequential design."""

    found: StageFindings
    title: str
    standings: Table | None
    parts: tuple[ResponsePart, ...]
    """None for the stage that the page leads with."""


@dataclass(frozen=True, slots=True)
class SectionPart:
    """A plugin's section."""

    id: str
    title: str
    paragraphs: tuple[str, ...]
    tables: tuple[Table, ...]
    figures: tuple[Drawing, ...]
    problems: tuple[str, ...]
    """Sentences about figures that could not be drawn."""


def render_page(view: StudyView, sections: Sequence[Section]) -> tuple[str, list[Drawing]]:
    """The page as HTML, and the figures in it."""
    gallery = Gallery()
    context = _context(view, sections, gallery)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["fmt"] = fmt
    html = environment.get_template("index.html.j2").render(**context, **_assets(gallery))
    return html + "\n", gallery.drawings


def page_context(view: StudyView, sections: Sequence[Section]) -> tuple[dict[str, Any], list[Drawing]]:
    """Every part of the report by name, for templates of other formats, and the figures in it."""
    gallery = Gallery()
    return _context(view, sections, gallery), gallery.drawings


def _assets(gallery: Gallery) -> dict[str, Any]:
    """Style, script and specifications, for use inside their elements without escaping."""
    specs = {drawing.key: drawing.spec for drawing in gallery.drawings}
    style = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
    dark = "\n    ".join(figures.dark_rules(".canvas"))
    return {
        "style": Markup(style.replace("/* dark figures */", dark)),  # noqa: S704 - our own file
        "script": Markup((_TEMPLATES / "page.js").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        "bundle": Markup(figures.interactive_bundle()) if specs else "",  # noqa: S704 - Vega's own code
        "specs": Markup(script_json(specs)),  # noqa: S704 - escaped for script elements just there
        "num_figures": len(specs),
    }


def script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in, whatever strings it holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _context(view: StudyView, sections: Sequence[Section], gallery: Gallery) -> dict[str, Any]:
    findings = view.findings
    plan = view.declared
    frame = Frame(view, gallery, figures.arrange(view.factors, plan.of_interest), cost.trial_rows(view))
    leading = next((stage for stage in reversed(findings.stages) if stage.responses), None)
    lead_frame = frame if leading is None else _stage_frame(leading, frame)
    # The margin is declared in units of the primary response's scale, and means nothing on another.
    margins = [plan.margin, *(None for _ in findings.responses[1:])]
    parts = [_response_part(*each) for each in zip(findings.responses, repeat(lead_frame), margins, strict=False)]
    stages = [_stage_part(stage, frame, plan.margin, leads=stage is leading) for stage in findings.stages]
    plugin_parts = [_section_part(index, section, gallery) for index, section in enumerate(sections)]
    environment, environment_details = cost.environment_tables(view.environment)
    shown_curves, folded_curves = _curves(frame, plan.metric)
    context: dict[str, Any] = {
        "view": view,
        "findings": findings,
        "title": view.question.strip() or view.name,
        "lead": parts[0] if parts else None,
        "further": parts[1:],
        "facts": _facts(view),
        "stages": stages,
        "look_table": decided.look_table(findings.look) if findings.look else None,
        "factors_table": tables.factors_table(view.factors) if view.factors else None,
        "exclusions_table": tables.exclusions_table(findings.exclusions) if findings.exclusions else None,
        "failures_table": tables.failures_table(view.failures) if view.failures else None,
        "missing": [fmt.cell(cell) for cell in findings.responses[0].audit.missing] if findings.responses else [],
        "curves": shown_curves,
        "folded_curves": folded_curves,
        "phases_table": phases.phases_table(view.curves),
        "references_table": tables.references_table(findings.references) if findings.references else None,
        "reference_figures": _reference_figures(view, gallery),
        "reference_quotes": [check for check in findings.references if check.quote or check.sentence],
        "claims": [(claim, tables.claim_effect(claim)) for claim in findings.claims],
        "class_tables": [classes.class_table(report) for report in view.class_reports],
        "classes_in_open": len(view.class_reports) <= classes.MOST_IN_OPEN,
        "cost_table": cost.cost_table(view),
        "sections": plugin_parts,
        "environment_table": environment,
        "environment_details": environment_details,
        "trials_table": cost.trials_table(view),
        "command": _command(view),
        "citation": _citation(view),
    }
    context["contents"] = list(_contents(context))
    return context


def _stage_frame(stage: StageFindings, frame: Frame) -> Frame:
    factors = stage.responses[0].audit.factors
    rows = list(decided.stage_trials(stage, frame.trials))
    return Frame(frame.view, frame.gallery, figures.arrange(factors), rows, stage.name)


def _stage_part(stage: StageFindings, frame: Frame, margin: float | None, *, leads: bool) -> StagePart:
    parts: tuple[ResponsePart, ...] = ()
    if stage.responses and not leads:
        own, margins = _stage_frame(stage, frame), [margin, *(None for _ in stage.responses[1:])]
        parts = tuple(_response_part(found, own, one) for found, one in zip(stage.responses, margins, strict=True))
    standings = decided.standings_table(stage.choice) if stage.choice is not None else None
    return StagePart(stage, decided.stage_title(stage), standings, parts)


def _response_part(found: ResponseFindings, frame: Frame, margin: float | None) -> ResponsePart:
    label = fmt.name(found.response)
    hypotheses = [effect for effect in found.effects if effect.role != "family"]
    family = [effect for effect in found.effects if effect.role == "family"]
    factors, add = found.audit.factors, frame.gallery.add

    def key(part: str) -> str:
        return frame.gallery.key(frame.name, found.response, part)

    means = f"Marginal means of {label}, unweighted over all other factors."
    return ResponsePart(
        found=found,
        title=label,
        primary=next((effect for effect in found.effects if effect.role == "primary"), None),
        effects_figure=add(figures.effects_figure(key("effects"), found, hypotheses, margin=margin)),
        effects_table=tables.effects_table(found, hypotheses, _effects_caption(found)) if hypotheses else None,
        sizes_table=tables.sizes_table(hypotheses, f"Standardised sizes of these effects on {label}."),
        family_figure=add(figures.effects_figure(key("contrasts"), found, family, margin=margin)),
        family_table=tables.effects_table(found, family, f"All contrasts of {label}; exploratory.") if family else None,
        family_sizes=tables.sizes_table(family, f"Standardised sizes of the contrasts of {label}."),
        tests=tuple(tables.table_of_tests(table) for table in found.tests),
        further_tests=tuple(tables.table_of_tests(table) for table in found.further_tests),
        other_scale_tests=tuple(
            tables.table_of_tests(table) for table in (found.other_scale.tests if found.other_scale else ())
        ),
        diagnostics_figure=add(figures.diagnostics_figure(key("residuals"), found)),
        variance_table=tables.variance_table(found.variance, found.unit, label) if found.variance else None,
        ranks_figure=add(figures.ranks_figure(key("ranks"), found)),
        ranks_table=None if found.ranks is None else tables.ranks_table(found.ranks),
        ranks_in_open=found.ranks is not None and found.ranks.blocks == "datasets",
        cells_figure=add(figures.cells_figure(key("cells"), found, frame.trials, frame.layout)),
        cells_table=tables.cells_table(factors, found.cells, found.unit, f"Observed cells of {label}."),
        marginals_figure=add(figures.marginals_figure(key("marginals"), found)),
        marginals_table=tables.cells_table(factors, found.marginals, found.unit, means) if found.marginals else None,
    )


def _effects_caption(found: ResponseFindings) -> str:
    scales = {"raw": "", "log": ", analysed as logarithms", "logit": ", analysed as log odds"}
    return f"Effects on {fmt.name(found.response)}{scales[found.scale]}."


def _section_part(index: int, section: Section, gallery: Gallery) -> SectionPart:
    drawn: list[Drawing] = []
    problems: list[str] = []
    for figure in section.figures:
        try:
            drawing = figures.draw(
                gallery.key("section", section.title), figure.vega_lite, caption=figure.caption, alt=figure.caption
            )
        except ValueError as error:  # one plugin's figure must not cost the reader the report
            problems.append(f"A figure ({figure.caption}) could not be drawn: {str(error).strip().splitlines()[0]}")
        else:
            drawn.append(drawing)
            gallery.add(drawing)
    shown = tuple(tables.section_table(table) for table in section.tables)
    return SectionPart(f"section-{index + 1}", section.title, section.paragraphs, shown, tuple(drawn), tuple(problems))


def _facts(view: StudyView) -> list[tuple[str, str]]:
    """The design in a few numbers, for the head of the page."""
    facts = [("Trials", fmt.number(len(view.trials)))]
    if view.findings.responses:
        found = view.findings.responses[0]
        audit = found.audit
        n = str(audit.max_n) if audit.min_n == audit.max_n else f"{audit.min_n} to {audit.max_n}"
        stages = ", ".join(fmt.name(stage.name) for stage in view.findings.stages)
        facts += [
            ("Stages", stages) if stages else ("Cells", fmt.number(audit.num_cells)),
            ("Trials per level" if stages else "Trials per cell", n),
            ("Seeds", "shared by all cells" if audit.paired else "independent"),
            ("Response", fmt.with_unit(fmt.name(found.response), found.unit)),
        ]
    return [*facts, ("Significance level", f"{view.findings.alpha:g}"), ("Profile", view.profile or "default")]


def _curves(frame: Frame, metric: str) -> tuple[list[Drawing], list[Drawing]]:
    """Learning curves, those of the response's metric first: those in the open, and those folded away."""
    placed = figures.curve_layout(frame.layout)
    names = _curve_names(frame.view, metric)
    drawings: dict[str, Drawing] = {}
    for name in names:
        curves = [curve for curve in frame.view.curves if curve.name == name]
        drawing = figures.curves_figure(frame.gallery.key("curves", name), curves, placed)
        if drawing is not None:
            drawings[name] = drawing
            frame.gallery.add(drawing)
    in_open = [name for name in drawings if name.startswith("validation_")][:_NUM_OPEN_CURVES] or list(drawings)[:1]
    folded = [drawing for name, drawing in drawings.items() if name not in in_open]
    return [drawings[name] for name in in_open], folded


def _curve_names(view: StudyView, metric: str) -> list[str]:
    """The curves of metrics: what validation measures, and the same on other splits; not learning rates and seconds."""
    names = list(dict.fromkeys(curve.name for curve in view.curves))
    measured = {name.removeprefix("validation_") for name in names if name.startswith("validation_")}
    kept = [name for name in names if name.partition("_")[2] in measured] or names
    wanted = f"validation_{metric.replace('-', '_')}"
    return sorted(kept, key=lambda name: (name != wanted, not name.startswith("validation_")))


def _reference_figures(view: StudyView, gallery: Gallery) -> list[Drawing]:
    units = {found.response: found.unit for found in view.findings.responses}
    drawings = []
    for response in dict.fromkeys(check.response for check in view.findings.references):
        checks = [check for check in view.findings.references if check.response == response]
        drawing = figures.references_figure(
            gallery.key(response, "published"), response, checks, units.get(response, "")
        )
        if drawing is not None:
            drawings.append(drawing)
            gallery.add(drawing)
    return drawings


def _command(view: StudyView) -> str:
    profile = f" --profile {shlex.quote(view.profile)}" if view.profile else ""
    changed = "".join(f" --set {shlex.quote(assignment)}" for assignment in view.assignments)
    return f"cnnbench study {shlex.quote(view.name + '.toml')}{profile}{changed}"


def _citation(view: StudyView) -> str:
    version = view.findings.versions.get("cnnbench", "")
    tool = f"cnnbench {version}".strip()
    profile = f', profile "{view.profile}"' if view.profile else ""
    trials = fmt.plural(len(view.trials), "trial")
    return f'Study "{view.name}"{profile}: {view.question.strip()} {trials}. Run with {tool}.'


def _contents(context: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """The parts that this page has, in order: id and title."""
    lead: ResponsePart | None = context["lead"]
    yield "finding", "Finding"
    yield "certainty", "How sure one can be"
    if context["stages"]:
        yield "stages", "Stage by stage"
    if lead is not None and lead.tests:
        yield "tests", "Tests"
    if lead is not None and lead.found.cells:
        yield "cells", "Cell by cell"
    if context["class_tables"]:
        yield "classes", "Class by class"
    if context["curves"]:
        yield "curves", "Learning curves"
    if context["references_table"] or context["claims"]:
        yield "references", "Beside what was published"
    if context["cost_table"]:
        yield "cost", "Cost"
    if context["further"]:
        yield "further", "Further responses"
    for section in context["sections"]:
        yield section.id, section.title
    yield "provenance", "Provenance"
    yield "repeat", "Repeat and cite"
