"""The parts of the page, each with its figures and tables: a response, a stage, a plugin's section, curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnbench.report import decided, figures, tables
from cnnbench.report import format as fmt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.report.figures import Drawing, Layout
    from cnnbench.report.gallery import Gallery
    from cnnbench.report.tables import Table
    from cnnbench.types import Effect, ResponseFindings, Section, StageFindings, StudyView


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


def stage_frame(stage: StageFindings, frame: Frame) -> Frame:
    """What the parts of one stage share: its own factors and trials."""
    factors = stage.responses[0].audit.factors
    rows = list(decided.stage_trials(stage, frame.trials))
    return Frame(frame.view, frame.gallery, figures.arrange(factors), rows, stage.name)


def stage_part(stage: StageFindings, frame: Frame, *, leads: bool) -> StagePart:
    """A stage with its choice, and with its responses unless the page leads with it."""
    parts: tuple[ResponsePart, ...] = ()
    if stage.responses and not leads:
        own = stage_frame(stage, frame)
        parts = tuple(response_part(found, own) for found in stage.responses)
    standings = decided.standings_table(stage.choice) if stage.choice is not None else None
    return StagePart(stage, decided.stage_title(stage), standings, parts)


def response_part(found: ResponseFindings, frame: Frame) -> ResponsePart:
    """A response with all that was found for it."""
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
        primary=next((effect for effect in found.effects if effect.key == "primary"), None),
        effects_figure=add(figures.effects_figure(key("effects"), found, hypotheses, margin=found.margin)),
        effects_table=tables.effects_table(found, hypotheses, _effects_caption(found)) if hypotheses else None,
        sizes_table=tables.sizes_table(hypotheses, f"Standardised sizes of these effects on {label}."),
        family_figure=add(figures.effects_figure(key("contrasts"), found, family, margin=found.margin)),
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


def section_part(index: int, section: Section, gallery: Gallery) -> SectionPart:
    """A plugin's section, with sentences in the place of figures that cannot be drawn."""
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


def curve_drawings(frame: Frame, metric: str) -> tuple[list[Drawing], list[Drawing]]:
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


def reference_figures(view: StudyView, gallery: Gallery) -> list[Drawing]:
    """A figure for each response that has published numbers."""
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
