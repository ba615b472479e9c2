from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cnnbench.spec import StudyFile, StudySpec, analysis_hash

if TYPE_CHECKING:
    from tests.spec.conftest import Complaints, Load

PRIMARY = '[analysis]\nprimary = { slope = ["depth"] }\n'
SEEDS = "[design]\nseeds = { until_half_width = 0.01 }\n"
STAGES = '[design]\nkind = "sequential"\nstage = [{ factor = "regime" }, { factor = "depth" }]\n'


def sentences(found: list[str]) -> list[str]:
    return [line.split(": ", 1)[1] for line in found]


def test_a_two_stage_rule_has_a_pilot_of_5_and_a_maximum_of_30(load: Load):
    seeds = load(add=SEEDS + PRIMARY).spec.design.seeds

    assert (seeds.until_half_width, seeds.pilot, seeds.max) == (0.01, 5, 30)


@pytest.mark.parametrize(
    ("add", "expected"),
    [
        (
            SEEDS,
            "`seeds` narrows the interval of the primary hypothesis, and there is none; declare `analysis.primary`.",
        ),
        (
            SEEDS + '[analysis]\nprimary = { interaction = ["depth", "regime"] }\n',
            (
                "`design.seeds` needs a primary hypothesis with an interval, and an interaction as a whole has none; "
                "declare a contrast or a slope over two ordered factors, or give `design.replicates`."
            ),
        ),
        (
            f"{SEEDS}replicates = 5\n{PRIMARY}",
            "`seeds` decides how many replicates are run; leave `replicates` out.",
        ),
        (
            f'{SEEDS}pairing = "independent"\n{PRIMARY}',
            (
                'the two-stage rule of `seeds` needs one value for each seed; set `pairing = "shared"`, or give '
                "`replicates`."
            ),
        ),
        (
            "[design]\nseeds = { until_half_width = 0.01, pilot = 9, max = 8 }\n" + PRIMARY,
            "`max` is smaller than `pilot`.",
        ),
        ("[design]\nseeds = { until_half_width = 0.01, pilot = 2 }\n" + PRIMARY, "must be at least 3; got 2."),
        ("[design]\nseeds = { until_half_width = 0 }\n" + PRIMARY, "must be above 0; got 0."),
        (
            f"{STAGES}seeds = {{ until_half_width = 0.01 }}\n",
            (
                "`seeds` cannot be used in a sequential design, whose stages have no single primary effect; set "
                "`replicates`."
            ),
        ),
    ],
)
def test_a_two_stage_rule_that_cannot_keep_its_promise_is_refused(complaints: Complaints, add: str, expected: str):
    assert sentences(complaints(add=add)) == [expected]


@pytest.mark.parametrize(
    ("add", "expected"),
    [
        (
            STAGES.replace('{ factor = "regime" }, ', ""),
            ["no stage varies `regime`; add a `[[design.stage]]`, or put a constant into `[trial]`."],
        ),
        (
            STAGES.replace("regime", "depth"),
            [
                "no stage varies `regime`; add a `[[design.stage]]`, or put a constant into `[trial]`.",
                "the factor `depth` has a stage already.",
            ],
        ),
        (
            STAGES.replace("regime", "regmie"),
            [
                "no stage varies `regime`; add a `[[design.stage]]`, or put a constant into `[trial]`.",
                "there is no factor `regmie`; did you mean `regime`?",
            ],
        ),
        ('[design]\nkind = "sequential"\n', ['`[[design.stage]]` and `kind = "sequential"` belong together.']),
        ("[design]\nconfirm = false\n", ['`confirm` belongs to `kind = "sequential"`.']),
        (
            STAGES + PRIMARY,
            [
                (
                    "the primary hypothesis of a sequential design is `selected - baseline`, tested on the new seeds "
                    "of its last stage; put this one into `analysis.further`, or set `design.confirm = false`."
                )
            ],
        ),
        (
            STAGES + '[analysis]\nfurther = [{ interaction = ["depth", "regime"] }]\n',
            [
                (
                    "a sequential design varies one factor at a time, so it shows no interaction; ask about one "
                    'factor, or use `kind = "factorial"`.'
                )
            ],
        ),
        (
            STAGES + '[[reference]]\nsource = "x"\nresponse = "accuracy"\nvalue = 0.5\n',
            ["name a level of the factor in whose stage the published number belongs."],
        ),
        (
            (
                f'{STAGES}[[reference]]\nsource = "x"\nresponse = "accuracy"\nexpected = "positive"\n'
                'each = ["regime"]\nclaim = { slope = ["depth"] }\n'
            ),
            ["a stage varies one factor only, so a claim has no levels of others here."],
        ),
        (
            f'{STAGES}[analysis]\nfurther = [{{ slope = ["depth"], at = {{ regime = "none" }} }}]\n',
            ["a sequential design holds all other factors at what was chosen before; leave `at` out."],
        ),
        (
            f'{STAGES}[responses]\nsetting = {{ metric = "loss" }}\n',
            ["`setting` names something else in the results of a sequential design; rename it."],
        ),
    ],
)
def test_stages_that_do_not_fit_their_study_are_refused(complaints: Complaints, add: str, expected: list[str]):
    assert sorted(sentences(complaints(add=add))) == sorted(expected)


def test_a_hypothesis_about_one_factor_fits_a_sequential_design(load: Load):
    spec = load(add=f'{STAGES}confirm = false\n{PRIMARY}further = [{{ contrast = "small - none", over = "regime" }}]\n')

    assert [stage.factor for stage in spec.spec.design.stage] == ["regime", "depth"]


@pytest.mark.parametrize("add", [SEEDS + PRIMARY, STAGES])
def test_what_was_validated_is_valid_again(load: Load, add: str):
    spec = load(add=add).spec

    assert StudySpec.model_validate(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    ("base", "old", "new"),
    [
        (SEEDS + PRIMARY, "0.01", "0.02"),
        (SEEDS + PRIMARY, "0.01 }", "0.01, max = 9 }"),
        (SEEDS + PRIMARY, SEEDS, ""),
        (STAGES, '"sequential"', '"sequential"\nconfirm = false'),
        (STAGES, '"sequential"', '"sequential"\nbaseline = { depth = 14 }'),
        (STAGES, '{ factor = "regime" }, { factor = "depth" }', '{ factor = "depth" }, { factor = "regime" }'),
    ],
)
def test_the_rule_is_part_of_what_is_declared(load: Load, base: str, old: str, new: str):
    def declared(study: StudyFile) -> str:
        return analysis_hash(study.spec)

    assert old in base
    assert declared(load(add=base)) != declared(load(add=base.replace(old, new)))
