"""Which figure is drawn of which design."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cnnbench.report import figures
from cnnbench.report.cost import trial_rows
from cnnbench.report.figures.layout import positions, ratio_ticks
from cnnbench.report.page import render_page
from cnnbench.types import Declared, Factor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnbench.types import StudyView

DATASET = Factor("dataset", ("textures", "digits", "shapes"))
DEPTH = Factor("depth", (8, 14, 20), "log2")
SIZE = Factor("size", (16, 32), "log2")
REGIME = Factor("regime", ("none", "gradual"))


def test_an_ordered_factor_goes_on_the_axis_and_the_factor_asked_about_into_colour():
    layout = figures.arrange((DATASET, DEPTH, REGIME), of_interest="dataset")
    assert (layout.x, layout.colour, layout.column, layout.row) == (DEPTH, DATASET, REGIME, None)


def test_without_a_declared_question_the_last_factor_is_coloured():
    assert figures.arrange((DATASET, DEPTH, REGIME)).colour == REGIME


def test_of_two_ordered_factors_one_is_coloured():
    layout = figures.arrange((DEPTH, SIZE))
    assert (layout.x, layout.colour) == (SIZE, DEPTH)


def test_factors_without_a_place_are_held_at_a_level_that_the_caption_names():
    extra = Factor("batch", (32, 64))
    layout = figures.arrange((extra, Factor("width", (1, 2)), DATASET, DEPTH, REGIME))
    assert len(layout.held) == 1
    assert "are drawn" in layout.held_sentence()


def test_an_ordered_axis_keeps_the_proportions_of_doublings():
    at = positions(Factor("depth", (8, 16, 64), "log2"))
    assert at == {8: 0.0, 16: 1.0, 64: 3.0}
    assert positions(REGIME) == {"none": 0.0, "gradual": 1.0}


@pytest.mark.parametrize(("low", "high"), [(0.9, 1.1), (0.5, 2.0), (0.01, 900.0), (0.999, 1.001)])
def test_ratio_axes_have_a_few_round_ticks(low: float, high: float):
    ticks = ratio_ticks(low, high)
    assert 2 <= len(ticks) <= 14
    assert ticks == sorted(ticks)


@pytest.mark.parametrize(
    "factors",
    [
        (),
        (REGIME,),
        (DEPTH, REGIME),
        (DATASET, DEPTH, REGIME),
        (DATASET, DEPTH, REGIME, SIZE),
        (DATASET, DEPTH, REGIME, SIZE, Factor("flip", (True, False))),
    ],
    ids=len,
)
def test_every_design_is_drawn(make_view: Callable[..., StudyView], factors: Sequence[Factor]):
    _, drawings = render_page(make_view(factors, 2), [])
    keys = {drawing.key for drawing in drawings}
    assert {"total-accuracy-effects", "total-accuracy-cells", "curves-validation-accuracy"} <= keys


def test_a_design_that_is_no_grid_is_drawn_as_a_list_of_cells(make_view: Callable[..., StudyView]):
    view = make_view((DATASET, DEPTH))
    found = view.findings.responses[0]
    sparse = replace(found, cells=tuple(cell for cell in found.cells if cell.levels["depth"] == 8))
    drawing = figures.cells_figure("cells", sparse, trial_rows(view), figures.arrange(view.factors))
    assert drawing is not None
    assert "dataset digits, depth 8" in drawing.svg


def test_single_trials_stand_behind_the_means(make_view: Callable[..., StudyView]):
    view = make_view((DEPTH, REGIME), 3)
    drawing = figures.cells_figure("cells", view.findings.responses[0], trial_rows(view), figures.arrange(view.factors))
    assert drawing is not None
    rows = drawing.spec["datasets"]["rows"]
    assert sum(row["kind"] == "trial" for row in rows) == len(view.trials)
    assert sum(row["kind"] == "mean" for row in rows) == 6


def test_a_trial_without_the_response_is_not_drawn(make_view: Callable[..., StudyView]):
    view = make_view((REGIME,), 2)
    rows = trial_rows(view)
    rows[0]["total-accuracy"] = math.nan
    drawing = figures.cells_figure("cells", view.findings.responses[0], rows, figures.arrange(view.factors))
    assert drawing is not None
    drawn = [row for row in drawing.spec["datasets"]["rows"] if row["kind"] == "trial"]
    assert len(drawn) == len(rows) - 1


def test_ratios_are_drawn_against_one_and_differences_against_zero(full: StudyView):
    first, second = full.findings.responses
    for found, nothing in ((first, "0"), (second, "ratio 1")):
        drawing = figures.effects_figure("effects", found, found.effects, margin=None)
        assert drawing is not None
        assert f"no effect ({nothing})" in drawing.caption


def test_the_margin_is_a_band_and_the_caption_names_it(full: StudyView):
    found = full.findings.responses[0]
    drawing = figures.effects_figure("effects", found, found.effects, margin=0.02)
    assert drawing is not None
    assert "differences within ±0.02" in drawing.caption
    assert '"low": -0.02, "high": 0.02' in json.dumps(drawing.spec)


def test_an_omnibus_test_without_direction_is_left_to_the_table(full: StudyView):
    found = full.findings.responses[0]
    omnibus = replace(found.effects[0], interval=None)
    assert figures.effects_figure("effects", found, (omnibus,), margin=None) is None


def test_ids_in_pictures_begin_with_their_figure():
    clipped = {
        "data": {"values": [{"a": 1, "b": 2}, {"a": 2, "b": 3}]},
        "mark": {"type": "line", "clip": True},
        "encoding": {"x": {"field": "a", "type": "quantitative"}, "y": {"field": "b", "type": "quantitative"}},
    }
    svg = figures.draw("mine", clipped, caption="", alt="").svg
    assert 'id="mine-clip' in svg
    assert "url(#mine-clip" in svg


def test_wide_bands_are_cut_so_that_curves_stay_legible_and_the_caption_says_so(make_view: Callable[..., StudyView]):
    curve = make_view((REGIME,), 2).curves[0]
    wide = replace(curve, low=[-9.0] * len(curve.epoch), high=[9.0] * len(curve.epoch))
    drawing = figures.curves_figure("curves", [wide], figures.curve_layout(figures.arrange((REGIME,))))
    assert drawing is not None
    assert "cut off where they leave the frame" in drawing.caption
    assert min(row["low"] for row in drawing.spec["datasets"]["rows"]) > -1


def test_curves_of_the_response_come_first_and_those_of_the_clock_are_left_out(make_view: Callable[..., StudyView]):
    view = make_view((REGIME,), 2, declared=Declared(metric="loss"))
    seconds = replace(view.curves[0], name="train_s")
    _, drawings = render_page(replace(view, curves=(*view.curves, seconds)), [])
    keys = [drawing.key for drawing in drawings if drawing.key.startswith("curves")]
    assert keys == ["curves-validation-loss", "curves-validation-accuracy", "curves-train-loss"]
