from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cnnbench.design import Feasibility, Probe
from cnnbench.design.plan import canonical_json
from cnnbench.errors import DesignError
from cnnbench.types import DatasetInfo, Exclusion, Plan

MakePlan = Callable[..., Plan]
Replacement = tuple[str, str]


def ids(plan: Plan) -> set[str]:
    """Return the identities of all trials."""
    return {trial.id for trial in plan.trials}


# ------------------------------------------------------------------------------------------------ identity


def test_a_trial_is_named_by_the_hash_of_what_decides_its_result(plan_of: MakePlan):
    trial = plan_of().trials[0]
    identity = {
        "cell": dict(trial.cell),
        "data": trial.data_fingerprint,
        "format": 1,
        "recipe": trial.recipe,
        "seeds": trial.seeds,
    }
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert trial.id == hashlib.sha256(text.encode()).hexdigest()


def test_a_recipe_has_the_parts_that_it_had(plan_of: MakePlan):
    # A change here means that finished trials of users are not found again: raise IDENTITY_FORMAT, and say so.
    assert sorted(plan_of().trials[0].recipe) == RECIPE_KEYS


def test_the_identity_of_a_trial_is_that_of_the_first_version(plan_of: MakePlan):
    # Written down when the first version was made; what later versions add stays out of it while it is not used.
    first = "400f07e8bdd45ad16b42043a6480d6e66ee4a4b998220f286876b38be72edd5f"
    assert plan_of().trials[0].id == first


def test_copies_are_part_of_the_identity_and_of_the_estimate(plan_of: MakePlan):
    info = DatasetInfo("f" * 64, 3, ("a", "b"), (75, 25), 100, 64, 64, has_splits=False, has_test_split=False)
    plain = plan_of(info=info)
    more = plan_of(('optimizer = "sgd"', 'optimizer = "sgd"\noversample = { share = 0.4 }'), info=info)
    assert not ids(plain) & ids(more)
    assert more.trials[0].flops == pytest.approx(plain.trials[0].flops * 1.1)


def test_equal_values_have_equal_json():
    assert canonical_json({"b": [1, 0.5, True, None], "a": "ä"}) == '{"a":"ä","b":[1,0.5,true,null]}'


RECIPE_KEYS = [
    "augmentation",
    "batch_size",
    "dataset",
    "loss",
    "lr_finder",
    "metrics",
    "model",
    "normalization",
    "optimizer",
    "phases",
    "precision",
    "resize",
    "split",
    "tta_views",
]


def test_every_trial_has_an_identity_of_its_own(plan_of: MakePlan):
    plan = plan_of()
    assert len(ids(plan)) == len(plan.trials) == 30


@pytest.mark.parametrize(
    "replacement",
    [
        ("width = 2", "width = 3"),
        ('"sgd"', '"adam"'),
        ('"sgd"', '{ use = "sgd", lr = 0.5 }'),
        ("epochs = 2", "epochs = 3"),
        ('["accuracy", "loss", "confusion-matrix"]', '["accuracy", "loss"]'),
        ('"sgd"', '"sgd"\nsplit = { validation = 0.2 }'),
        ('"sgd"', '"sgd"\naugmentation = ["zoom"]'),
    ],
)
def test_another_recipe_is_another_trial(plan_of: MakePlan, replacement: Replacement):
    assert ids(plan_of()) & ids(plan_of(replacement)) == set()


@pytest.mark.parametrize("design", ["base_seed = 1", 'pairing = "independent"'])
def test_other_seeds_are_other_trials(plan_of: MakePlan, design: str):
    assert ids(plan_of()) & ids(plan_of(add=f"[design]\n{design}\n")) == set()


def test_other_data_are_other_trials(plan_of: MakePlan):
    info = plan_of().datasets["f" * 64]
    assert ids(plan_of()) & ids(plan_of(info=replace(info, fingerprint="e" * 64))) == set()


@pytest.mark.parametrize(
    "replacement",
    [
        ('name = "tiny"', 'name = "huge"'),
        ('"Which?"', '"Which one?"'),
        ('path = "here"', 'path = "elsewhere"'),
        ("depth = 8, width = 2", "width = 2, depth = 8"),
        ("depth = 8, width = 2", "depth = 20, width = 2"),
        ('"sgd"', '{ use = "sgd" }'),
        ('"sgd"', '"sgd"\nbatch_size = 64\ntta_views = 4\nsplit = { stratify = true }'),
        ("epochs = 1\nsize_px = 8", "size_px = 8\nepochs = 1"),
        ("levels = [8, 14]", "levels = [14, 8]"),
    ],
)
def test_what_decides_no_result_is_no_part_of_an_identity(plan_of: MakePlan, replacement: Replacement):
    assert ids(plan_of()) == ids(plan_of(replacement))


@pytest.mark.parametrize(
    "add",
    ['[analysis]\nscale = "log"\n', '[design]\ntiming = "shared"\n', "[profiles.paper.trial]\nbatch_size = 1\n"],
)
def test_what_is_done_with_results_is_no_part_of_an_identity(plan_of: MakePlan, add: str):
    assert ids(plan_of()) == ids(plan_of(add=add))


@pytest.mark.parametrize("pairing", ["shared", "independent"])
def test_more_levels_and_replicates_leave_the_trials_that_there_are(plan_of: MakePlan, pairing: str):
    design = f'[design]\npairing = "{pairing}"\n'
    few = plan_of(add=f"{design}replicates = 2\n")
    many = plan_of(("[4, 8, 16]", "[2, 4, 8, 16]"), ("[8, 14]", "[8, 14, 20]"), add=f"{design}replicates = 3\n")
    assert ids(few) < ids(many)


# ------------------------------------------------------------------------------------------------ order, cost


def test_trials_come_replicate_by_replicate(plan_of: MakePlan):
    plan = plan_of(add="[design]\nreplicates = 2\n")
    assert [trial.replicate for trial in plan.trials] == [0] * 6 + [1] * 6
    assert [trial.cell for trial in plan.trials[:6]] == [trial.cell for trial in plan.trials[6:]]
    assert (plan.study, plan.replicates, plan.exclusions) == ("tiny", 2, ())
    assert {trial.study for trial in plan.trials} == {"tiny"}


def test_shared_seeds_pair_the_cells_of_a_replicate(plan_of: MakePlan):
    plan = plan_of()
    by_replicate = {trial.replicate: trial.seeds for trial in plan.trials}
    assert all(trial.seeds == by_replicate[trial.replicate] for trial in plan.trials)
    assert len({seeds["init"] for seeds in by_replicate.values()}) == 5


def test_the_cost_of_a_trial_is_that_of_all_images_in_all_epochs(plan_of: MakePlan):
    trial = plan_of(('"sgd"', '"sgd"\nsplit = { validation = 0.25, test = 0.25 }')).trials[0]
    assert trial.flops_per_image == (80.0, 160.0)
    assert trial.flops == 50 * (1 * 80.0 + 2 * 160.0)


def test_every_network_is_tried_once_for_each_size(plan_of: MakePlan):
    tried: list[Probe] = []

    def prober(request: Probe) -> Feasibility:
        tried.append(request)
        return Feasibility(None, 1.0)

    plan_of(prober=prober)
    found = [
        (one.model.model_dump()["depth"], one.largest_px, one.size_px, one.channels, one.num_classes) for one in tried
    ]
    assert found == [(8, 16, 8, 3, 2), (8, 16, 16, 3, 2), (14, 16, 8, 3, 2), (14, 16, 16, 3, 2)]


# ------------------------------------------------------------------------------------------------ exclusions


def vanishing(request: Probe) -> Feasibility:
    """Answer as a deep network does that small images vanish in."""
    return Feasibility(f"too small at {request.size_px} px" if request.model.model_dump()["depth"] > 8 else None, 1.0)


def test_a_cell_that_cannot_be_built_is_left_out_and_the_others_go_on(plan_of: MakePlan):
    plan = plan_of(prober=vanishing)
    assert {trial.cell["depth"] for trial in plan.trials} == {8}
    assert plan.exclusions == tuple(
        Exclusion({"depth": 14, "batch": batch}, "infeasible", "too small at 8 px") for batch in (4, 8, 16)
    )


def test_cells_that_are_excluded_by_rule_stand_before_those_that_cannot_be_built(plan_of: MakePlan):
    rule = 'exclude = [{ cell = { depth = 14, batch = [8, 16] }, reason = "slow" }]'
    plan = plan_of(add=f"[design]\n{rule}\n", prober=vanishing)
    assert [(one.kind, one.cell["batch"]) for one in plan.exclusions] == [
        ("excluded", 8),
        ("excluded", 16),
        ("infeasible", 4),
    ]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"prober": lambda _: Feasibility("it vanishes.", 0.0)}, "it vanishes."),
        ({"add": '[design]\nexclude = [{ cell = { depth = [8, 14] }, reason = "Too dear." }]\n'}, "Too dear."),
    ],
)
def test_a_design_with_nothing_left_is_an_error_with_the_first_reason(
    plan_of: MakePlan, options: dict[str, Any], reason: str
):
    with pytest.raises(DesignError) as caught:
        plan_of(**options)
    assert str(caught.value) == f"no cell of `tiny` is left to run; the first reason: {reason}"
