from __future__ import annotations

from collections.abc import Callable

import pytest

from cnnbench.design import cell_recipes, dataset_needs, factors_of, planned_cells, responses_of
from cnnbench.errors import SpecError
from cnnbench.registry import Registry
from cnnbench.spec import StudySpec
from cnnbench.types import Exclusion, Factor, Response

MakeSpec = Callable[..., StudySpec]


def pairs(spec: StudySpec) -> list[tuple[object, object]]:
    """Return the cells as (depth, batch)."""
    return [(cell["depth"], cell["batch"]) for cell in planned_cells(spec)[0]]


def test_factors_keep_the_order_of_the_file(make_spec: MakeSpec):
    spec = make_spec(("levels = [8, 14]", 'levels = [14, 8]\norder = "log2"'))
    assert factors_of(spec) == (Factor("depth", (14, 8), "log2"), Factor("batch", (4, 8, 16)))


def test_a_factorial_design_has_every_combination(make_spec: MakeSpec):
    assert pairs(make_spec()) == [(8, 4), (8, 8), (8, 16), (14, 4), (14, 8), (14, 16)]


def test_a_study_without_factors_is_one_cell(make_spec: MakeSpec):
    factors = '[factors.depth]\npath = "model.depth"\nlevels = [8, 14]\n[factors.batch]\npath = "batch_size"\n'
    assert planned_cells(make_spec((f"{factors}levels = [4, 8, 16]\n", ""))) == ([{}], [])


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        ("", [(8, 4), (14, 4), (8, 8), (8, 16)]),
        ("baseline = { batch = 8 }\n", [(8, 8), (14, 8), (8, 4), (8, 16)]),
        ("baseline = { depth = 14, batch = 16 }\n", [(14, 16), (8, 16), (14, 4), (14, 8)]),
    ],
)
def test_one_factor_at_a_time_goes_round_the_baseline(
    make_spec: MakeSpec, baseline: str, expected: list[tuple[int, int]]
):
    assert pairs(make_spec(add=f'[design]\nkind = "ofat"\n{baseline}')) == expected


def test_listed_cells_are_the_cells_with_levels_as_the_factor_writes_them(make_spec: MakeSpec):
    cells = "cells = [{ batch = 16.0, depth = 8 }, { depth = 14, batch = 4 }]"
    found, _ = planned_cells(make_spec(add=f'[design]\nkind = "cells"\n{cells}\n'))
    assert str(found) == "[{'depth': 8, 'batch': 16}, {'depth': 14, 'batch': 4}]"


def test_excluded_cells_keep_their_reason(make_spec: MakeSpec):
    rules = '{ cell = { depth = 14, batch = [8, 16] }, reason = "slow" }, { cell = { batch = 16 }, reason = "large" }'
    cells, excluded = planned_cells(make_spec(add=f"[design]\nexclude = [{rules}]\n"))
    assert [tuple(cell.values()) for cell in cells] == [(8, 4), (8, 8), (14, 4)]
    assert excluded == [
        Exclusion({"depth": 8, "batch": 16}, "excluded", "large"),
        Exclusion({"depth": 14, "batch": 8}, "excluded", "slow"),
        Exclusion({"depth": 14, "batch": 16}, "excluded", "slow"),
    ]


# ------------------------------------------------------------------------------------------------ recipes


def test_a_recipe_is_complete(make_spec: MakeSpec, registry: Registry):
    (one,) = cell_recipes(make_spec(), registry, [{"depth": 14, "batch": 4}], "study.toml")
    assert one.recipe["batch_size"] == 4
    assert one.recipe["model"]["depth"] == 14
    assert one.recipe["model"]["version"] == "1"
    assert one.recipe["model"].keys() >= {"use", "version", "depth", "width", "shortcut", "stem_stride", "dropout"}
    assert one.recipe["split"] == {"use": "random", "validation": 0.1, "test": 0.0, "stratify": True}
    assert [phase["schedule"] for phase in one.recipe["phases"]] == [{"use": "constant", "version": "1"}] * 2
    assert one.recipe["optimizer"]["lr"] == registry.optimizer(make_spec().trial.optimizer).lr
    assert "path" not in one.recipe["dataset"]
    assert one.dataset.model_dump() | {"path": one.dataset.path} == one.dataset.model_dump() | {"path": "here"}
    assert one.model == registry.model(make_spec().trial.model.model_copy(update={"depth": 14}))


LATER = '[factors.net.levels]\nsmall = {}\nblocks = { model = { use = "resnet-small", width = 3 } }\n'


def test_a_level_of_a_part_holds_under_a_level_of_the_whole_in_any_order(make_spec: MakeSpec, registry: Registry):
    cell = {"depth": 14, "batch": 4, "net": "blocks"}
    (one,) = cell_recipes(make_spec(add=LATER), registry, [cell], "study.toml")
    assert (one.recipe["model"]["depth"], one.recipe["model"]["width"]) == (14, 3)


def test_a_level_for_one_phase_holds_under_a_level_for_all(make_spec: MakeSpec, registry: Registry):
    factors = (
        '[factors.first.levels]\nplain = {}\nsmall = { "phases.one.size_px" = 4 }\n'
        '[factors.size]\npath = "phases.*.size_px"\nlevels = [20, 30]\n'
    )
    cell = {"depth": 8, "batch": 4, "first": "small", "size": 30}
    (one,) = cell_recipes(make_spec(add=factors), registry, [cell], "study.toml")
    assert [phase["size_px"] for phase in one.recipe["phases"]] == [4, 30]


CLASH = '[factors.net.levels]\nsmall = {}\nblocks = { model = "block-cnn" }\n'


@pytest.mark.parametrize(("what", "source"), [("recipes", "study.toml"), ("needs", "tiny")])
def test_levels_that_do_not_go_together_are_told_with_their_cells(
    make_spec: MakeSpec, registry: Registry, what: str, source: str
):
    spec = make_spec(add=CLASH)
    cells, _ = planned_cells(spec)
    with pytest.raises(SpecError) as caught:
        cell_recipes(spec, registry, cells, source) if what == "recipes" else dataset_needs(spec, registry)
    start, _, rest = str(caught.value).partition("unknown key;")
    assert start == (
        f"{source}: cell depth = 8, batch = 4, net = blocks (and 5 more): its levels do not go together: model.depth: "
    )
    assert rest.endswith("Change a level, or leave the cell out with `[[design.exclude]]`.")


def test_cells_that_clash_may_be_left_out(make_spec: MakeSpec, registry: Registry):
    rule = 'exclude = [{ cell = { net = "blocks" }, reason = "has no depth" }]'
    spec = make_spec(add=f"{CLASH}[design]\n{rule}\n")
    assert len(cell_recipes(spec, registry, planned_cells(spec)[0], "study.toml")) == 6


# ------------------------------------------------------------------------------------------------ needs, responses


def test_a_dataset_is_needed_at_every_size_of_every_cell(make_spec: MakeSpec, registry: Registry):
    factors = (
        '[factors.size]\npath = "phases.one.size_px"\nlevels = [8, 12]\n'
        '[factors.data.levels]\nfolder = {}\nshapes = { dataset = "shapes", resize = "squash" }\n'
    )
    needs = dataset_needs(make_spec(add=factors), registry)
    assert [(need.dataset.key, need.sizes_px, need.resize) for need in needs] == [
        ("image-folder", (8, 12, 16), "crop"),
        ("shapes", (8, 12, 16), "squash"),
    ]


def test_excluded_cells_need_no_data(make_spec: MakeSpec, registry: Registry):
    add = (
        '[factors.data.levels]\nfolder = {}\nshapes = { dataset = "shapes" }\n'
        '[design]\nexclude = [{ cell = { data = "folder" }, reason = "not here" }]\n'
    )
    assert [need.dataset.key for need in dataset_needs(make_spec(add=add), registry)] == ["shapes"]


def test_responses_are_those_of_analysis_hypotheses_and_references_without_repetition(
    make_spec: MakeSpec, registry: Registry
):
    add = (
        '[responses]\nearly = { metric = "accuracy", phase = "one" }\n'
        '[analysis]\nresponse = "loss"\nalso = ["accuracy", "loss"]\n'
        'primary = { contrast = "14 - 8", over = "depth", response = "early" }\n'
        '[[reference]]\nsource = "x"\nresponse = "accuracy"\nvalue = 1.0\n'
    )
    infos = responses_of(make_spec(add=add), registry)
    assert [info.response for info in infos] == [
        Response("loss", "loss"),
        Response("accuracy", "accuracy"),
        Response("early", "accuracy", "plain", "one", "last"),
    ]
    assert [(info.higher_is_better, info.bounded) for info in infos] == [
        (False, "positive"),
        (True, "unit"),
        (True, "unit"),
    ]


def test_a_cost_of_a_trial_is_a_response_that_needs_no_metric(make_spec: MakeSpec, registry: Registry):
    add = """[analysis]
response = "train_s"
also = ["flops", "parameters", "peak_memory_bytes", "images_per_s", "total_s"]
"""
    infos = responses_of(make_spec(add=add), registry)
    assert infos[0].response == Response("train_s", "train_s")
    assert [(info.unit, info.higher_is_better, info.uses_time) for info in infos] == [
        ("s", False, True),
        ("1", False, False),
        ("1", False, False),
        ("byte", False, False),
        ("s-1", True, True),
        ("s", False, True),
    ]
    assert {info.bounded for info in infos} == {"positive"}


def test_a_table_of_numbers_is_no_response(make_spec: MakeSpec, registry: Registry):
    with pytest.raises(SpecError) as caught:
        responses_of(make_spec(add='[analysis]\nresponse = "confusion-matrix"\n'), registry)
    assert str(caught.value) == (
        "tiny: confusion-matrix: `confusion-matrix` is no single number, so it cannot be a response; choose another "
        "metric."
    )


def test_the_names_of_an_ordered_factors_patches_are_numbers(make_spec: Callable[..., StudySpec], registry: Registry):
    named = 'levels = { 8 = { "model.depth" = 8 }, 14 = { "model.depth" = 14 } }\norder = "log2"'
    exclude = '[[design.exclude]]\ncell = { depth = 8, batch = 16 }\nreason = "as an example"\n'
    spec = make_spec(('path = "model.depth"\nlevels = [8, 14]', named), add=exclude)

    cells, excluded = planned_cells(spec)

    assert factors_of(spec)[0].levels == (8, 14)
    assert [dict(one.cell) for one in excluded] == [{"depth": 8, "batch": 16}]
    assert [one.recipe["model"]["depth"] for one in cell_recipes(spec, registry, cells, "s")] == [8, 8, 14, 14, 14]
