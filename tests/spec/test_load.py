from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnbench.errors import SpecError
from cnnbench.registry import Registry
from cnnbench.spec import StudyFile, load_study

Load = Callable[..., StudyFile]
Complaints = Callable[..., list[str]]

PAPER = """
[profiles.paper.trial]
model = { use = "block-cnn" }
batch_size = 8
[profiles.paper.trial.phases.one]
epochs = 7
[profiles.paper.factors.depth]
path = "model.blocks"
levels = [1, 2]
"""


def test_a_study_is_loaded_with_its_text_and_defaults(load: Load):
    study = load()
    assert study.profile is None
    assert study.assignments == ()
    assert study.text.startswith("format = 1\n")
    assert study.spec.trial.batch_size == 64
    assert study.spec.trial.optimizer.use == "sgd"
    assert study.spec.factors["depth"].levels == (8, 14)


def test_the_studies_that_ship_are_valid(registry: Registry):
    files = sorted((Path(__file__).parents[2] / "studies").glob("*.toml"))
    assert "entr" in [load_study(file, check_component=registry.check).spec.name for file in files]


def test_a_profile_lays_over_the_study(load: Load):
    study = load(add=PAPER, profile="paper")
    assert study.profile == "paper"
    assert study.spec.trial.model.model_dump() == {"use": "block-cnn"}
    assert study.spec.trial.batch_size == 8
    assert (study.spec.trial.phases[0].epochs, study.spec.trial.phases[0].size_px) == (7, 16)
    assert study.spec.factors["depth"].levels == (1, 2)


def test_a_profile_that_is_not_asked_for_changes_nothing(load: Load):
    assert load(add=PAPER).spec == load().spec


def test_assignments_lay_over_the_profile(load: Load):
    assignments = [
        "trial.batch_size=4",
        "trial.phases.one.epochs=3",
        "analysis.scale=log",
        "factors.depth.levels=[1, 3]",
    ]
    study = load(add=PAPER, profile="paper", assignments=assignments)
    assert study.assignments == tuple(assignments)
    assert study.spec.trial.batch_size == 4
    assert study.spec.trial.phases[0].epochs == 3
    assert study.spec.analysis.scale == "log"
    assert study.spec.factors["depth"].levels == (1, 3)


def test_all_problems_are_told_at_once_in_the_order_of_the_file(load: Load):
    with pytest.raises(SpecError) as caught:
        load(
            'name = "tiny"',
            'nmae = "tiny"',
            add='[design]\nreplicates = "many"\n[analysis]\nresponse = 3\n',
            assignments=["trial.model.dept=3"],
        )
    path = caught.value.source
    assert str(caught.value).splitlines() == [
        f"{path}: name: this key is required.",
        f"{path}: trial.model.dept: unknown key; did you mean `depth`? This comes from `--set trial.model.dept=3`.",
        f"{path}:2:1: nmae: unknown key; did you mean `name`?",
        f'{path}:22:1: design.replicates: must be a whole number; got "many".',
        f"{path}:24:1: analysis.response: must be a text in quotes; got 3.",
    ]


@pytest.mark.parametrize(
    ("profile", "complaint"),
    [
        (
            '[profiles.p.trial.phases.one]\nepochs = "x"\n',
            '22:1 trial.phases.0.epochs: must be a whole number; got "x".',
        ),
        ("[profiles.p.trial.phases]\none = 3\n", "21:1 trial.phases.0: must be a table; got 3."),
        ("[profiles.p.trial.phases.two]\nsize_px = 3\n", "21:1 trial.phases.1.epochs: this key is required."),
        (
            '[[profiles.p.trial.phases]]\nname = "one"\nepochs = 1\n',
            "21:1 trial.phases.0.size_px: this key is required.",
        ),
        (
            '[profiles.p.trial]\ndataset = { use = "image-folder" }\n',
            "22:1 trial.dataset.path: this key is required.",
        ),
        ("[profiles.p.trial]\nbatch_size = 0\n", "22:1 trial.batch_size: must be at least 1; got 0."),
        (
            "[profiles.p.factors.depth]\nlevels = [8, 9]\n",
            (
                "22:14 factors.depth.levels.1: a residual network of three stages with two-layer blocks has 6n "
                "+ 2 layers, "
                "so not 9; use 8 or 14."
            ),
        ),
        ("[profiles.p]\ndesgin = 1\n", "22:1 desgin: unknown key; did you mean `design`?"),
    ],
)
def test_a_problem_of_a_profile_is_placed_in_the_profile(complaints: Complaints, profile: str, complaint: str):
    assert complaints(add=profile, profile="p") == [complaint]


def test_a_problem_of_the_file_is_placed_in_the_file_under_a_profile_too(complaints: Complaints):
    assert complaints("epochs = 1", "epochs = 0", add="[profiles.p.trial]\nbatch_size = 8\n", profile="p") == [
        "12:1 trial.phases.0.epochs: must be at least 1; got 0."
    ]


def test_a_profile_that_is_not_there_is_named_with_the_nearest(complaints: Complaints):
    assert complaints(add=PAPER, profile="papr") == [
        "None:None profiles: the study has no profile `papr`; did you mean `paper`?"
    ]
    assert complaints(profile="paper") == ["None:None profiles: the study has no profile `paper`; there are none."]


@pytest.mark.parametrize("profiles", ["profiles = 3\n", "profiles = { paper = 3 }\n"])
def test_profiles_must_be_tables(complaints: Complaints, profiles: str):
    assert complaints("format", f"{profiles}format") == ["1:1 profiles: must be tables, one for each profile."]


@pytest.mark.parametrize(
    ("assignment", "complaint"),
    [
        (
            "trial.batch_size=x",
            'None:None trial.batch_size: must be a whole number; got "x". This comes from `--set trial.batch_size=x`.',
        ),
        (
            "trial.phases.one.epochs=0",
            (
                "None:None trial.phases.0.epochs: must be at least 1; got 0. This comes from "
                "`--set trial.phases.one.epochs=0`."
            ),
        ),
        (
            "trial.split.test=0.9",
            (
                "7:1 trial.split: `validation` and `test` together leave nothing to train on; lower one of them. "
                "`--set trial.split.test=0.9` changed this table."
            ),
        ),
        (
            "trial.phases.two.epochs=1",
            "None:None --set trial.phases.two.epochs=1: the study has no `two` on this path; there is `one`.",
        ),
        ("format.x=1", "None:None --set format.x=1: the study has no `x` on this path; there are none."),
        (
            "trial.batch_size",
            "None:None --set: `trial.batch_size` is no assignment; write path=value, e.g. trial.batch_size=32.",
        ),
    ],
)
def test_a_problem_of_an_assignment_names_it(complaints: Complaints, assignment: str, complaint: str):
    assert complaints(assignments=[assignment]) == [complaint]


JUNK = st.sampled_from(
    ["3", "-1", "1.5", "nan", "true", '"x"', '""', "[]", "[1, 'a']", "{}", "{ a = 1 }", "2020-01-01"]
)
PLACES = st.sampled_from(
    [
        'name = "tiny"',
        'question = "Which?"',
        'model = { use = "resnet-small", depth = 8 }',
        "split = { validation = 0.2 }",
        'optimizer = "sgd"',
        'metrics = ["accuracy", "loss"]',
        'name = "one"',
        "epochs = 1",
        'path = "model.depth"',
        "levels = [8, 14]",
        'order = "log2"',
        "none = {}",
    ]
)
MORE = st.sampled_from(
    [
        "design.cells",
        "design.exclude",
        "design.baseline",
        "responses.x",
        "responses.x.epoch",
        "analysis.primary",
        "analysis.further",
        "analysis.also",
        "reference",
        "trial.phases.one.trainable",
        "trial.phases.one.evaluate",
        "trial.phases.one.schedule",
        "trial.augmentation",
        "trial.lr_finder",
        "factors",
        "factors.z",
        "profiles.x",
    ]
)
LEAKS = ("Input should", "Tuple", "valid ", "model_", "_type", "[", "union", "literal", "constrained", "Or:", "()")


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PLACES, JUNK, st.lists(st.tuples(MORE, JUNK), max_size=2))
def test_whatever_is_wrong_is_told_in_plain_sentences(load: Load, place: str, junk: str, more: list[tuple[str, str]]):
    try:
        load(place, f"{place.partition(' = ')[0]} = {junk}", assignments=[f"{path}={value}" for path, value in more])
    except SpecError as error:
        for problem in error.problems:
            sentence = problem.message.replace("`[trial]`", "").replace("`[[", "").split(" This comes from")[0]
            sentence = sentence.split(" `--set ")[0]
            assert [leak for leak in LEAKS if leak in sentence] == []
            assert sentence[-1] in ".?"


REFERENCES = """
[[reference]]
source = "always"
response = "accuracy"
value = 0.5
[[reference]]
source = "with the paper's data"
profile = "paper"
response = "accuracy"
value = 0.9
"""


def test_a_reference_may_be_held_against_one_profile_only(load: Load):
    def sources(**options: Any) -> list[str]:
        return [one.source for one in load(add=f"{REFERENCES}{PAPER}", **options).spec.reference]

    assert sources() == ["always"]
    assert sources(profile="paper") == ["always", "with the paper's data"]


def test_a_reference_to_a_profile_that_there_is_not_is_told_with_its_place(load: Load):
    with pytest.raises(SpecError, match=r"reference.1.profile: the study has no profile `paper`"):
        load(add=REFERENCES)
