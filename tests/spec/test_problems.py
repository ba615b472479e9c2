from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from cnnbench.spec import check_table, did_you_mean

Complaints = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("epochs = 1", 'epochs = "1"', '12:1 trial.phases.0.epochs: must be a whole number; got "1".'),
        ("epochs = 1", "epochs = 1.0", "12:1 trial.phases.0.epochs: must be a whole number; got 1.0."),
        ("epochs = 1", "epochs = true", "12:1 trial.phases.0.epochs: must be a whole number; got true."),
        ("epochs = 1", "epochs = 0", "12:1 trial.phases.0.epochs: must be at least 1; got 0."),
        ("size_px = 16", 'size_px = 16\nlr = "x"', '14:1 trial.phases.0.lr: must be a number; got "x".'),
        ("size_px = 16", "size_px = 16\nlr = nan", "14:1 trial.phases.0.lr: must be a finite number; got nan."),
        ("size_px = 16", "size_px = 16\nlr = 0", "14:1 trial.phases.0.lr: must be above 0; got 0."),
        ("0.2 }", '0.2, stratify = "yes" }', '7:29 trial.split.stratify: must be true or false; got "yes".'),
        ("0.2 }", "1 }", "7:11 trial.split.validation: must be below 1; got 1."),
        ("{ validation = 0.2 }", "0.2", "7:1 trial.split: must be a table; got 0.2."),
        ('"Which?"', "3", "3:1 question: must be a text in quotes; got 3."),
        ('"Which?"', '""', '3:1 question: must be a text that is not empty; got "".'),
        ('["accuracy", "loss"]', '"loss"', '9:1 trial.metrics: must be a list; got "loss".'),
        ('["accuracy", "loss"]', "[]", "9:1 trial.metrics: must have at least 1 entry; it has 0."),
        (
            '"tiny"',
            '"Tiny!"',
            '2:1 name: must be lower case letters, digits, `-` and `_`, beginning with a letter; got "Tiny!".',
        ),
        ("format = 1", "format = 2", "1:1 format: must be 1; got 2."),
        ('"sgd"', '"sgd"\nprecision = "fp16"', '9:1 trial.precision: must be "fp32" or "bf16"; got "fp16".'),
        (
            "size_px = 16",
            'size_px = 16\nevaluate = ["plain", "tt"]',
            '14:22 trial.phases.0.evaluate.1: must be "plain" or "tta"; got "tt".',
        ),
        (
            "size_px = 16",
            'size_px = 16\ntrainable = "heads"',
            '14:1 trial.phases.0.trainable: must be "all" or "head" or a table; got "heads".',
        ),
        (
            "size_px = 16",
            "size_px = 16\ntrainable = { head = -1 }",
            "14:15 trial.phases.0.trainable.head: must be at least 0; got -1.",
        ),
        (
            "size_px = 16",
            "size_px = 16\nschedule = 3",
            "14:1 trial.phases.0.schedule: must be the name of a component or a table with `use`; got 3.",
        ),
        ("[8, 14]", "8", "16:1 factors.depth.levels: must be a list or a table; got 8."),
        (
            "[8, 14]",
            "[8, [14]]",
            "16:14 factors.depth.levels.1: must be true or false, a number or a text in quotes; got a list.",
        ),
        ("[8, 14]", '[8, "x"]', "14:1 factors.depth: `order` needs numeric levels."),
        ("[8, 14]", "[0, 14]", '14:1 factors.depth: `order = "log2"` needs levels above 0.'),
        ("[8, 14]", "[8, 8]", "14:1 factors.depth: `levels` names a value twice."),
        ("[8, 14]", "[8]", "14:1 factors.depth: a factor needs at least two levels; put a constant into `[trial]`."),
        (
            'path = "model.depth"',
            "",
            "14:1 factors.depth: a list of levels needs `path`, the recipe value that they set.",
        ),
        ("epochs = 1", "", "10:1 trial.phases.0.epochs: this key is required."),
        (
            "size_px = 16",
            'size_px = 16\nevaluate = ["tta"]',
            '10:1 trial.phases.0: `evaluate` must contain "plain": learning curves are drawn from it.',
        ),
        ('["accuracy", "loss"]', '["loss", "loss"]', "4:1 trial: `metrics` names `loss` more than once."),
        (
            "0.2 }",
            "0.6, test = 0.4 }",
            "7:1 trial.split: `validation` and `test` together leave nothing to train on; lower one of them.",
        ),
        (
            '"sgd"',
            '"sgd"\nlr_finder = { low = 0.1, high = 0.1 }',
            "9:1 trial.lr_finder: `low` must be below `high`.",
        ),
        (
            'small = { "phases.one.size_px" = 8 }',
            "small = 8",
            "18:1 factors.regime: level `small` must be a table of recipe paths, or give the factor a `path`.",
        ),
        (
            'path = "model.depth"',
            'path = ""',
            (
                "15:1 factors.depth.path: the recipe has no ``; there is `model`, `dataset`, `split`, `loss`, "
                "`optimizer`, `lr_finder`, `batch_size`, `precision`, `compile`, `augmentation`, `tta_views`, "
                "`resize`, `normalization`, `oversample`, `metrics`, `save_weights`, `phases`."
            ),
        ),
        (
            "[[trial.phases]]",
            "[trial.phases]",
            "10:1 trial.phases: must be a list; got a table. Write each of its tables as `[[trial.phases]]`.",
        ),
    ],
)
def test_a_wrong_value_is_told_in_one_sentence(complaints: Complaints, old: str, new: str, expected: str):
    assert complaints(old, new) == [expected]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("format = 1", "format = 1\nquestoin = 3", "2:1 questoin: unknown key; did you mean `question`?"),
        ("0.2 }", "0.2, tset = 1 }", "7:29 trial.split.tset: unknown key; did you mean `test`?"),
        ("size_px = 16", "size_px = 16\nepoch = 1", "14:1 trial.phases.0.epoch: unknown key; did you mean `epochs`?"),
        (
            'order = "log2"',
            'order = "log2"\nlevel = 1',
            "18:1 factors.depth.level: unknown key; did you mean `levels`?",
        ),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest(complaints: Complaints, old: str, new: str, expected: str):
    assert complaints(old, new) == [expected]


def test_a_key_that_stands_one_table_too_high_is_told_where_it_belongs(complaints: Complaints):
    assert complaints("format = 1", "format = 1\nreplicates = 3") == [
        "2:1 replicates: unknown key; did you mean `design.replicates`?"
    ]


def test_an_unknown_key_without_likeness_is_told_with_all_there_are(complaints: Complaints):
    assert complaints("0.2 }", "0.2, x = 1 }") == [
        "7:29 trial.split.x: unknown key; there is `groups`, `stratify`, `test`, `use`, `validation`."
    ]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("[design]\nreplicates = 0", "22:1 design.replicates: must be at least 1; got 0."),
        ('[design]\nkind = "cells"', '21:1 design: `cells` and `kind = "cells"` belong together.'),
        (
            "[design]\nbaseline = { depth = 8 }",
            '21:1 design: `baseline` belongs to `kind = "ofat"` and to `kind = "sequential"`.',
        ),
        (
            '[design]\nexclude = [{ cell = { depth = {} }, reason = "x" }]',
            (
                "22:23 design.exclude.0.cell.depth: must be true or false, a number, a text in quotes or a list; "
                "got a table."
            ),
        ),
        (
            '[analysis]\nprimary = { contrast = "a - b" }',
            "22:1 analysis.primary: `contrast` and `over` (its factor) belong together.",
        ),
        (
            '[analysis]\nprimary = { slope = ["depth"], interaction = ["depth", "regime"] }',
            "22:1 analysis.primary: a hypothesis is exactly one of `contrast`, `slope` and `interaction`.",
        ),
        (
            '[analysis]\nprimary = { slope = ["depth", "depth"] }',
            "22:1 analysis.primary: `slope` names a factor twice.",
        ),
        (
            '[analysis]\nprimary = { interaction = ["depth"] }',
            "22:13 analysis.primary.interaction: must have at least 2 entries; it has 1.",
        ),
        (
            '[[reference]]\nsource = "x"\nresponse = "loss"',
            "21:1 reference.0: a reference is either a `value` or a `claim`.",
        ),
        (
            '[[reference]]\nsource = "x"\nresponse = "loss"\nclaim = { slope = ["depth"] }',
            "21:1 reference.0: `claim` and `expected` belong together.",
        ),
        (
            '[reference]\nsource = "x"\nresponse = "loss"\nvalue = 1',
            "21:1 reference: must be a list; got a table. Write each of its tables as `[[reference]]`.",
        ),
    ],
)
def test_parts_of_a_study_that_do_not_go_together_are_told(complaints: Complaints, section: str, expected: str):
    assert complaints(add=f"{section}\n") == [expected]


class Inner(BaseModel):
    """A part of a component's parameters."""

    model_config = ConfigDict(extra="forbid")
    rate: float = 0.5


class Parameters(BaseModel):
    """What a plugin may declare."""

    model_config = ConfigDict(extra="forbid")
    code: str = Field("a1", pattern="^[a-z][0-9]$")
    step: int = Field(2, multiple_of=2)
    names: tuple[str, ...] = Field((), max_length=1)
    mode: Literal["on", "off"] | int | None = None
    parts: tuple[Inner, ...] = ()
    even: int = 0

    @field_validator("even")
    @classmethod
    def _is_even(cls, even: int) -> int:
        if even % 2:
            raise AssertionError("an odd number")
        return even


@pytest.mark.parametrize(
    ("table", "path", "sentence"),
    [
        ({"code": "A"}, ("code",), "string should match pattern '^[a-z][0-9]$'; got \"A\"."),
        ({"step": 3}, ("step",), "must be a multiple of 2; got 3."),
        ({"names": ["a", "b"]}, ("names",), "must have at most 1 entry; it has 2."),
        ({"mode": 1.5}, ("mode",), 'must be "on" or "off" or a whole number; got 1.5.'),
        ({"parts": [{"rat": 1}]}, ("parts", 0, "rat"), "unknown key; did you mean `rate`?"),
        ({"parts": [3]}, ("parts", 0), "must be a table; got 3."),
        ({"even": 3}, ("even",), "an odd number."),
    ],
)
def test_parameters_of_plugins_are_explained_alike(
    table: dict[str, object], path: tuple[str | int, ...], sentence: str
):
    assert check_table(Parameters, table) == (None, [(path, sentence)])


def test_a_good_table_gives_its_values():
    found, problems = check_table(Parameters, {"names": ["a"], "mode": 3, "parts": [{"rate": 1}]})
    assert problems == []
    assert found == Parameters(names=("a",), mode=3, parts=(Inner(rate=1.0),))


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("epoch", ["epochs", "size_px"], "did you mean `epochs`?"),
        ("ACCURACY", ["Accuracy"], "did you mean `Accuracy`?"),
        ("x", ["b", "a"], "there is `b`, `a`."),
        ("x", {"b", "a"}, "there is `a`, `b`."),
        ("x", [], "there are none."),
    ],
)
def test_did_you_mean_offers_the_nearest_or_all(word: str, known: list[str], expected: str):
    assert did_you_mean(word, known) == expected
