from __future__ import annotations

from collections.abc import Callable

import pytest

from cnnbench.spec import StudyFile, random_factor
from cnnbench.spec.checks import in_order

Load = Callable[..., StudyFile]
Complaints = Callable[..., list[str]]

DEPTH = 'path = "model.depth"'
SMALL = 'small = { "phases.one.size_px" = 8 }'
MODEL = 'model = { use = "resnet-small", depth = 8 }'
RESPONSES = "`accuracy`, `flops`, `images_per_s`, `loss`, `parameters`, `peak_memory_bytes`, `total_s`, `train_s`"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            MODEL,
            'model = "resnet-smal"',
            ["5:1 trial.model.use: there is no model `resnet-smal`; did you mean `resnet-small`?"],
        ),
        (
            MODEL,
            'model = { use = "resnet-small", dept = 8 }',
            ["5:33 trial.model.dept: unknown key; did you mean `depth`?"],
        ),
        (
            'optimizer = "sgd"',
            'optimizer = { use = "sgd", lr = "fast", momentum = 1 }',
            [
                '8:28 trial.optimizer.lr: must be a number; got "fast".',
                "8:41 trial.optimizer.momentum: must be below 1; got 1.",
            ],
        ),
        (
            'metrics = ["accuracy", "loss"]',
            'metrics = ["accuracy", { use = "los" }]',
            ["9:26 trial.metrics.1.use: there is no metric `los`; did you mean `loss`?"],
        ),
        (
            "epochs = 1",
            'epochs = 1\nschedule = { use = "cosine", flor = 0 }',
            ["13:30 trial.phases.0.schedule.flor: unknown key; did you mean `floor`?"],
        ),
        (
            'dataset = { use = "textures" }',
            'dataset = { use = "image-folder", path = "x", channels = 2 }',
            ['6:47 trial.dataset.channels: must be "auto", 1 or 3; got 2.'],
        ),
    ],
)
def test_components_are_checked_with_their_parameters(complaints: Complaints, old: str, new: str, expected: list[str]):
    assert complaints(old, new) == expected


def test_components_are_checked_even_where_other_keys_are_wrong(complaints: Complaints):
    assert complaints(MODEL, 'modle = "x"\nmodel = { use = "resnet-small", dept = 8 }') == [
        "5:1 trial.modle: unknown key; did you mean `model`?",
        "6:33 trial.model.dept: unknown key; did you mean `depth`?",
    ]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("modell.depth", "the recipe has no `modell`; did you mean `model`?"),
        ("model.dept", "unknown key; did you mean `depth`?"),
        ("trial.model.depth", "paths begin within `[trial]`; write `model.depth`."),
        ("phases.two.epochs", "the recipe has no `two` on the path `phases.two.epochs`; there is `one`."),
        ("phases.one.epoch", "unknown key; did you mean `epochs`?"),
        ("metrics.accurac.x", "the recipe has no `accurac` on the path `metrics.accurac.x`; did you mean `accuracy`?"),
        ("batch_size.x", "the recipe has no `x` on the path `batch_size.x`; there are none."),
        ("split.tset", "unknown key; did you mean `test`?"),
    ],
)
def test_a_factor_path_that_is_not_in_the_recipe_is_told_once(complaints: Complaints, path: str, sentence: str):
    assert complaints(DEPTH, f'path = "{path}"') == [f"15:1 factors.depth.path: {sentence}"]


@pytest.mark.parametrize(
    "path", ["batch_size", "split.test", "optimizer.lr", "phases.one.epochs", "phases.*.epochs", "loss.label_smoothing"]
)
def test_a_factor_may_set_what_the_file_leaves_at_its_default(load: Load, path: str):
    levels = "[1, 2]" if path.endswith(("size", "epochs")) else "[0.1, 0.2]"
    assert load(DEPTH + "\nlevels = [8, 14]", f'path = "{path}"\nlevels = {levels}').spec.factors["depth"].path == path


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "levels = [8, 14]",
            "levels = [8, 15, 20]",
            (
                "16:14 factors.depth.levels.1: a residual network of three stages with two-layer blocks has 6n "
                "+ 2 layers, "
                "so not 15; use 14 or 20."
            ),
        ),
        (
            SMALL,
            'small = { "phases.one.size_px" = 0 }',
            "20:11 factors.regime.levels.small.phases.one.size_px: must be at least 1; got 0.",
        ),
        (
            SMALL,
            'small = { "phases.one.size" = 8 }',
            "20:11 factors.regime.levels.small.phases.one.size: unknown key; did you mean `size_px`?",
        ),
        (
            SMALL,
            'small = { optimizer = { use = "adma" } }',
            "20:11 factors.regime.levels.small.optimizer: use: there is no optimizer `adma`; did you mean `adam`?",
        ),
        (
            SMALL,
            "small = { phases.one.size_px = 8 }",
            (
                "20:11 factors.regime.levels.small.phases: this sets `phases` as a whole; to set a part of it, "
                "write the "
                'path in quotes: "phases.one.size_px" = ...'
            ),
        ),
        (
            SMALL,
            "small = { optimizer.lr = 8 }",
            (
                "20:11 factors.regime.levels.small.optimizer: this sets `optimizer` as a whole; to set a part "
                "of it, write "
                'the path in quotes: "optimizer.lr" = ...'
            ),
        ),
    ],
)
def test_a_level_that_does_not_fit_is_told_where_it_stands(complaints: Complaints, old: str, new: str, expected: str):
    assert complaints(old, new) == [expected]


def test_two_factors_must_not_set_the_same_path(complaints: Complaints):
    assert complaints(SMALL, 'small = { "model.depth" = 14 }') == [
        "18:1 factors.regime: factor `depth` sets `model.depth`, too; only one of them would have an effect."
    ]


@pytest.mark.parametrize("name", ["replicate", "trial_id", "train_s", "images_per_s", "accuracy"])
def test_a_factor_must_not_be_called_like_a_column_of_the_results(complaints: Complaints, name: str):
    assert complaints("[factors.depth]", f"[factors.{name}]") == [
        f"14:1 factors.{name}: `{name}` is the name of another column of the results; rename the factor."
    ]


@pytest.mark.parametrize(
    ("design", "expected"),
    [
        (
            'kind = "ofat"\nbaseline = { depht = 8, regime = "nonne" }',
            [
                "23:14 design.baseline.depht: there is no factor `depht`; did you mean `depth`?",
                "23:25 design.baseline.regime: `nonne` is no level of `regime`; did you mean `none`?",
            ],
        ),
        (
            'exclude = [{ cell = { depth = [8, 9], regim = "none" }, reason = "no" }]',
            [
                "22:23 design.exclude.0.cell.depth: `9` is no level of `depth`; there is `8`, `14`.",
                "22:39 design.exclude.0.cell.regim: there is no factor `regim`; did you mean `regime`?",
            ],
        ),
        (
            'kind = "cells"\ncells = [{ depth = 8 }, { depth = 14, regime = "none" }, { regime = "none", depth = 14 }]',
            [
                "23:10 design.cells.0: the cell gives no level for `regime`.",
                "23:58 design.cells.2: the cell is listed twice; `replicates` says how often each is run.",
            ],
        ),
    ],
)
def test_cells_of_the_design_name_factors_and_levels_that_there_are(
    complaints: Complaints, design: str, expected: list[str]
):
    assert complaints(add=f"[design]\n{design}\n") == expected


def test_one_factor_at_a_time_needs_a_factor(complaints: Complaints):
    factors = (
        f'[factors.depth]\n{DEPTH}\nlevels = [8, 14]\norder = "log2"\n[factors.regime.levels]\nnone = {{}}\n{SMALL}'
    )
    assert complaints(factors, add='[design]\nkind = "ofat"\n') == [
        "16:1 design.kind: one factor at a time needs at least one factor."
    ]


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (
            '{ metric = "f1" }',
            (
                "22:7 responses.a.metric: `f1` is not in `trial.metrics`; add it there, or choose another: there is "
                "`accuracy`, `loss`."
            ),
        ),
        ('{ metric = "loss", phase = "on" }', "22:24 responses.a.phase: there is no phase `on`; did you mean `one`?"),
        (
            '{ metric = "loss", view = "tta" }',
            '22:24 responses.a.view: phase `one` does not evaluate it; add "tta" to its `evaluate`.',
        ),
        (
            '{ metric = "loss", epoch = "best" }',
            (
                "22:24 responses.a.epoch: choosing the best epoch on the split that is reported makes every "
                "result look "
                "better than it is; set `trial.split.test`, or read the last epoch."
            ),
        ),
    ],
)
def test_a_response_must_be_there_to_be_read(complaints: Complaints, response: str, expected: str):
    assert complaints(add=f"[responses]\na = {response}\n") == [expected]


def test_a_response_reads_the_best_epoch_where_there_is_a_test_split(load: Load):
    study = load(
        "validation = 0.2", "validation = 0.2, test = 0.2", add='[responses]\na = { metric = "loss", epoch = "best" }\n'
    )
    assert study.spec.responses["a"].epoch == "best"


@pytest.mark.parametrize(
    ("analysis", "expected"),
    [
        ('response = "los"', ["22:1 analysis.response: there is no metric or response `los`; did you mean `loss`?"]),
        (
            'also = ["loss", "f2"]',
            [f"22:17 analysis.also.1: there is no metric or response `f2`; there is {RESPONSES}."],
        ),
        (
            'primary = { contrast = "none - smal", over = "regime" }',
            [
                (
                    "22:13 analysis.primary.contrast: `smal` is no level; the levels are `none`, `small`, and terms "
                    "are "
                    "joined by ` + ` or ` - `."
                )
            ],
        ),
        (
            'further = [{ slope = ["regime"] }, { contrast = "a - b", over = "regim" }]',
            [
                (
                    '22:14 analysis.further.0.slope: factor `regime` has no `order`; give it `order = "log2"` or '
                    '`"linear"`.'
                ),
                "22:58 analysis.further.1.over: there is no factor `regim`; did you mean `regime`?",
            ],
        ),
        (
            'primary = { interaction = ["depth", "size"], response = "f9" }',
            [
                "22:13 analysis.primary.interaction: there is no factor `size`; there is `depth`, `regime`.",
                f"22:46 analysis.primary.response: there is no metric or response `f9`; there is {RESPONSES}.",
            ],
        ),
    ],
)
def test_a_hypothesis_names_what_there_is(complaints: Complaints, analysis: str, expected: list[str]):
    assert complaints(add=f"[analysis]\n{analysis}\n") == expected


def test_a_claim_of_a_reference_is_checked_like_a_hypothesis(complaints: Complaints):
    reference = '[[reference]]\nsource = "x"\nresponse = "los"\nclaim = { slope = ["regime"] }\nexpected = "positive"\n'
    assert complaints(add=reference) == [
        "23:1 reference.0.response: there is no metric or response `los`; did you mean `loss`?",
        '24:11 reference.0.claim.slope: factor `regime` has no `order`; give it `order = "log2"` or `"linear"`.',
    ]


def test_a_claim_of_consistency_names_other_factors_of_the_study(complaints: Complaints):
    reference = (
        '[[reference]]\nsource = "x"\nresponse = "loss"\nclaim = { contrast = "small - none", over = "regime" }\n'
        'expected = "positive"\neach = ["dept", "regime"]\n'
    )
    assert complaints(add=reference) == [
        "26:1 reference.0.each: there is no factor `dept`; did you mean `depth`?",
        "26:1 reference.0.each: the claim is about `regime` itself, so it cannot hold at each of its levels.",
    ]


@pytest.mark.parametrize(
    ("claim", "complaint"),
    [
        ('{ slope = ["depth"] }', "`best` belongs to a `claim` that is a contrast"),
        ('{ contrast = "small - none", over = "regime" }\nexpected = "none"', "with a direction `expected`"),
        ('{ contrast = "small - none", over = "regime" }', "write one level against at least two"),
    ],
)
def test_the_best_is_one_level_against_several(complaints: Complaints, claim: str, complaint: str):
    expected = "" if "expected" in claim else '\nexpected = "positive"'
    reference = f'[[reference]]\nsource = "x"\nresponse = "loss"\nclaim = {claim}{expected}\nbest = true\n'
    (said,) = complaints(add=reference)
    assert complaint in said


def test_a_hypothesis_is_held_at_levels_that_there_are(complaints: Complaints):
    at = "{ depth = 9, widht = 4 }"
    analysis = f'[analysis]\nprimary = {{ contrast = "small - none", over = "regime", at = {at} }}\n'
    assert complaints(add=analysis) == [
        "22:57 analysis.primary.at: there is no factor `widht`; there is `depth`, `regime`.",
        "22:64 analysis.primary.at.depth: `depth` has no level `9`; there is `8`, `14`.",
    ]
    own = '[analysis]\nprimary = { contrast = "small - none", over = "regime", at = { regime = "none" } }\n'
    assert "about `regime` itself" in complaints(add=own)[0]
    whole = '[analysis]\nprimary = { interaction = ["depth", "regime"], at = { regime = "none" } }\n'
    assert "`at` belongs to a `contrast` or a `slope`" in complaints(add=whole)[0]


def test_a_claim_may_be_about_a_level_of_another_profile_but_of_a_factor_that_there_is(
    load: Load, complaints: Complaints
):
    claim = '[[reference]]\nsource = "x"\nresponse = "loss"\nexpected = "positive"\nclaim = '
    contrast = 'contrast = "small - none", over = "regime"'
    (reference,) = load(add=f"{claim}{{ {contrast}, at = {{ depth = 50 }} }}\n").spec.reference
    assert reference.claim.at == {"depth": 50}
    as_text = complaints(add=f'{claim}{{ {contrast}, at = {{ depth = "8" }} }}\n')
    assert "`depth` has the level `8`, but not as text" in as_text[0]
    assert "there is no factor `dept`" in complaints(add=f"{claim}{{ {contrast}, at = {{ dept = 50 }} }}\n")[0]
    both = f'{claim}{{ {contrast}, at = {{ depth = 8 }} }}\neach = ["depth"]\n'
    assert "either in `each` or in the claim's `at`" in complaints(add=both)[0]


DATASETS = '[factors.data]\npath = "dataset"\nlevels = { a = "textures", b = "digits" }\n'
RANDOM = '[analysis]\ndatasets = "random"\n'


@pytest.mark.parametrize(
    "factor",
    [
        DATASETS,
        '[factors.data.levels]\na = { dataset = { use = "textures" } }\nb = { dataset = { use = "digits" } }\n',
        '[factors.data]\npath = "dataset.use"\nlevels = ["textures", "digits"]\n',
    ],
)
def test_the_factor_that_chooses_the_dataset_is_random(load: Load, factor: str):
    assert random_factor(load(add=factor + RANDOM).spec) == "data"
    assert random_factor(load(add=factor).spec) is None


def test_random_datasets_need_one_factor_that_chooses_them(complaints: Complaints):
    noise = '[factors.noise]\npath = "dataset.noise"\nlevels = [0.1, 0.2]\n'
    assert complaints(add=noise + RANDOM) == [
        "25:1 analysis.datasets: random datasets need one factor that chooses the dataset; this study has none."
    ]


@pytest.mark.parametrize(
    ("hypothesis", "where"),
    [
        ('primary = { contrast = "a - b", over = "data" }', "26:1 analysis.primary"),
        ('further = [{ interaction = ["data", "depth"] }]', "26:12 analysis.further.0"),
    ],
)
def test_no_hypothesis_may_name_random_datasets(complaints: Complaints, hypothesis: str, where: str):
    sentence = (
        "it names `data`, whose levels are random: they stand for a population, and which of them is better is no "
        'finding; ask about the other factors, or set `datasets = "fixed"`.'
    )
    assert complaints(add=f"{DATASETS}{RANDOM}{hypothesis}\n") == [f"{where}: {sentence}"]


def test_wholes_are_set_before_their_parts():
    paths = ["phases.one.size_px", "model.depth", "phases.*.size_px", "model", "optimizer.lr", "phases"]
    assert [path for path, _ in in_order((path, 0) for path in paths)] == [
        "model",
        "phases",
        "model.depth",
        "optimizer.lr",
        "phases.*.size_px",
        "phases.one.size_px",
    ]
