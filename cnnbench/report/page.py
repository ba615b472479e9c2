"""The page: every part of the report, ready for the template, which only places it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from cnnbench.report import classes, cost, decided, figures, phases, tables
from cnnbench.report import format as fmt
from cnnbench.report.gallery import Gallery
from cnnbench.report.parts import (
    Frame,
    curve_drawings,
    reference_figures,
    response_part,
    section_part,
    stage_frame,
    stage_part,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cnnbench.report.figures import Drawing
    from cnnbench.report.parts import ResponsePart
    from cnnbench.types import Section, StudyView


_TEMPLATES = Path(__file__).parent / "templates"


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
    lead_frame = frame if leading is None else stage_frame(leading, frame)
    parts = [response_part(found, lead_frame) for found in findings.responses]
    stages = [stage_part(stage, frame, leads=stage is leading) for stage in findings.stages]
    plugin_parts = [section_part(index, section, gallery) for index, section in enumerate(sections)]
    environment, environment_details = cost.environment_tables(view.environment)
    shown_curves, folded_curves = curve_drawings(frame, plan.metric)
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
        "reference_figures": reference_figures(view, gallery),
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
