"""The critical-difference diagram and the tables of comparisons over blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cnnbench.report import figures, tables
from cnnbench.report.page import render_page
from cnnbench.spec import FactorSpec, StudySpec, dataset_factor
from cnnbench.stats.examples.compare import compare_examples
from cnnbench.types import LevelRank, RankComparison

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnbench.types import Blocks, StudyView


def ranks_of(
    ranks: Sequence[float], groups: Sequence[tuple[str, ...]] = (), blocks: Blocks = "datasets"
) -> RankComparison:
    levels = tuple(LevelRank(f"m{index}", rank) for index, rank in enumerate(ranks))
    return RankComparison("model", blocks, 10, 0, True, levels, 0.5, 1.93, 0.95, tuple(groups))


DEMSAR = ranks_of([3.75, 4.1, 3.55, 1.9, 1.7], [("m4", "m3", "m2"), ("m3", "m2", "m0"), ("m2", "m0", "m1")])


@pytest.fixture
def ranked(make_view: Callable[..., StudyView]) -> Callable[[RankComparison | None], StudyView]:
    """A study whose response has these ranks."""
    from tests.report.conftest import DEPTH, REGIME

    view = make_view((DEPTH, REGIME), 2)

    def make(ranks: RankComparison | None) -> StudyView:
        (first, *others) = view.findings.responses
        return replace(view, findings=replace(view.findings, responses=(replace(first, ranks=ranks), *others)))

    return make


def rows(drawing: figures.Drawing, layer: dict[str, Any]) -> list[dict[str, Any]]:
    data = layer["data"]
    return data["values"] if "values" in data else drawing.spec["datasets"][data["name"]]


def all_rows(drawing: figures.Drawing) -> list[dict[str, Any]]:
    return [row for layer in drawing.spec["layer"] for row in rows(drawing, layer)]


def texts(drawing: figures.Drawing) -> list[str]:
    return [row["text"] for row in all_rows(drawing) if "text" in row]


def bars(drawing: figures.Drawing) -> list[dict[str, Any]]:
    thick = [layer for layer in drawing.spec["layer"] if layer["mark"].get("strokeWidth", 0) > 4]
    return [row for layer in thick for row in rows(drawing, layer)]


def test_every_level_is_named_with_its_rank_and_each_group_has_a_bar(ranked):
    found = ranked(DEMSAR).findings.responses[0]
    drawing = figures.ranks_figure("ranks", found)
    assert drawing is not None
    assert {"m4 (1.70)", "m1 (4.10)", "1", "5", "critical difference 1.93"} <= set(texts(drawing))
    drawn = bars(drawing)
    assert len(drawn) == 3
    assert len({bar["y"] for bar in drawn}) == 3
    assert all(bar["x"] < bar["x2"] for bar in drawn)
    assert "rank 1 is the highest" in drawing.caption
    assert "m4 1.70, m3 1.90" in drawing.alt


def test_marks_stand_at_their_ranks_best_on_the_left(ranked):
    drawing = figures.ranks_figure("ranks", ranked(DEMSAR).findings.responses[0])
    assert drawing is not None
    points = rows(drawing, next(layer for layer in drawing.spec["layer"] if layer["mark"]["type"] == "circle"))
    first, last = points[0]["x"], points[-1]["x"]
    ticks = {row["text"]: row["x"] for row in all_rows(drawing) if row.get("align") == "center"}
    per_rank = (ticks["5"] - ticks["1"]) / 4
    assert first == pytest.approx(ticks["1"] + 0.7 * per_rank)
    assert last == pytest.approx(ticks["1"] + 3.1 * per_rank)


def test_without_groups_there_is_no_bar_and_the_caption_says_so(ranked):
    drawing = figures.ranks_figure("ranks", ranked(ranks_of([1, 3, 5])).findings.responses[0])
    assert drawing is not None
    assert bars(drawing) == []
    assert "All mean ranks differ by at least the critical difference, 1.93" in drawing.caption


def test_long_names_are_cut_and_keep_their_rank(ranked):
    long = replace(DEMSAR, mean_ranks=(LevelRank("a" * 90, 1.0), LevelRank("b", 2.0), LevelRank("c", 3.0)), groups=())
    drawing = figures.ranks_figure("ranks", ranked(long).findings.responses[0])
    assert drawing is not None
    (name,) = [text for text in texts(drawing) if text.startswith("aaa")]
    assert name.endswith("… (1.00)")
    assert drawing.spec["width"] <= 890


def test_many_levels_are_left_to_the_table(ranked):
    many = ranks_of([float(rank) for rank in range(1, 40)])
    assert figures.ranks_figure("ranks", ranked(many).findings.responses[0]) is None
    assert figures.ranks_figure("ranks", ranked(None).findings.responses[0]) is None


@pytest.mark.parametrize(("blocks", "open_"), [("datasets", True), ("seeds", False)])
def test_ranks_over_datasets_stand_in_the_open(ranked, blocks: Blocks, open_):
    html, drawings = render_page(ranked(replace(DEMSAR, blocks=blocks)), [])
    assert any(drawing.key.endswith("ranks") for drawing in drawings)
    tests = html[html.index('<h2 id="tests">') : html.index('<h2 id="cells">')]
    assert (f"Mean ranks over 10 {blocks}." in tests.split("<details>")[0]) == open_


def test_a_study_without_ranks_has_no_diagram(ranked):
    html, drawings = render_page(ranked(None), [])
    assert "Mean ranks" not in html
    assert not [drawing for drawing in drawings if "ranks" in drawing.key]


def test_the_table_of_pairs_says_what_each_alone_has_right():
    import numpy as np

    answers_NT = np.array([[1, 0], [1, 0], [0, 1], [1, 1]], dtype=bool)
    found = compare_examples(["a", "b"], answers_NT, 0.05)
    table = tables.example_pairs_table(found)
    assert table.rows[0][:2] == ("a - b", "2 : 1")
    assert tables.accuracies_table(found).rows[0][:2] == ("a", "3")


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        ({"path": "dataset", "levels": {"a": {"use": "digits"}, "b": {"use": "shapes"}}}, "data"),
        ({"levels": {"a": {"dataset": {"use": "digits"}}, "b": {"dataset": {"use": "shapes"}}}}, "data"),
        ({"levels": {"a": {"dataset": {"use": "digits"}}, "b": {"batch_size": 4}}}, None),
        ({"path": "model.depth", "levels": [8, 14]}, None),
    ],
)
def test_the_factor_that_sets_the_dataset_is_found(factor: dict[str, Any], expected: str | None):
    width = FactorSpec(path="model.width", levels=(2, 4))
    spec = StudySpec.model_construct(factors={"width": width, "data": FactorSpec.model_validate(factor)})
    assert dataset_factor(spec) == expected
