"""The same questions on another scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cnnbench.errors import AnalysisError
from cnnbench.spec import Hypothesis
from cnnbench.stats import analyse
from cnnbench.types import Factor

if TYPE_CHECKING:
    import pandas as pd

    from cnnbench.types import OtherScale, ResponseFindings
    from tests.stats.conftest import MakeResponse, MakeStudy, Oracle, Same, Simulate

SLOPE = Hypothesis(slope=("depth", "size"))


@pytest.fixture(scope="module")
def near_ceiling(oracle: Oracle, study: MakeStudy, response: MakeResponse) -> ResponseFindings:
    case = oracle("c08")
    frame = case.frame.rename(columns={"n_test": "num_examples"})
    responses = (response(share_of_examples=True),)
    return analyse(study(frame, case.factors, primary=SLOPE, paired=False, responses=responses)).responses[0]


def other(found: ResponseFindings) -> OtherScale:
    assert found.other_scale is not None
    return found.other_scale


def test_the_empirical_logit_with_known_counts_equals_r(near_ceiling: ResponseFindings, oracle: Oracle, same: Same):
    r = oracle("c08").r["empirical_logit"]["anova_type3"]
    table = next(table for table in other(near_ceiling).tests if table.key == "logit:anova_type3")
    theirs = {record["term"]: record for record in r}
    for row in table.rows:
        assert same(row.statistic, theirs[row.term]["F"])
        assert same(row.sum_sq, theirs[row.term]["sum_sq"])


def test_an_interaction_that_the_logit_removes_is_called_a_matter_of_the_scale(near_ceiling: ResponseFindings):
    sentence = other(near_ceiling).sentence
    assert "The primary effect in log odds (p = 0.603) leads to another conclusion" in sentence
    assert "The interaction depth:size is significant as measured" in sentence
    assert "the scale may be all there is to it" in sentence


def test_as_the_declared_scale_the_empirical_logit_gives_the_same_tests(
    near_ceiling: ResponseFindings, oracle: Oracle, study: MakeStudy, response: MakeResponse
):
    case = oracle("c08")
    frame = case.frame.rename(columns={"n_test": "num_examples"})
    declared = study(
        frame,
        case.factors,
        primary=SLOPE,
        paired=False,
        scale="logit",
        responses=(response(share_of_examples=True),),
    )
    found = analyse(declared).responses[0]
    assert found.tests[1].rows == next(t for t in other(near_ceiling).tests if t.key == "logit:anova_type3").rows
    assert other(found).scale == "raw"
    assert other(found).tests[1].rows == near_ceiling.tests[1].rows
    assert "significant as measured (p = 0.0148) but not in log odds" in other(found).sentence


@pytest.fixture(scope="module")
def growing(simulate: Simulate) -> tuple[pd.DataFrame, tuple[Factor, ...]]:
    """Seconds that double with each depth and each size, so that only their logarithms add up."""
    factors = (Factor("depth", (1, 2, 4)), Factor("size", (16, 32, 64)))
    frame = simulate(factors, lambda cell: np.log(cell["depth"] * cell["size"]), sd=0.05)
    frame["accuracy"] = np.exp(frame["accuracy"])
    return frame, factors


def test_times_that_multiply_interact_as_measured_only(
    growing: tuple[pd.DataFrame, tuple[Factor, ...]], study: MakeStudy, response: MakeResponse
):
    seconds = (response(bounded="positive", unit="s", long_name="Time"),)
    found = analyse(study(*growing, primary=Hypothesis(interaction=("depth", "size")), responses=seconds))
    assert other(found.responses[0]).scale == "log"
    assert "depth:size is significant as measured" in other(found.responses[0]).sentence


def test_a_response_without_bounds_has_no_scale_beside_it(
    growing: tuple[pd.DataFrame, tuple[Factor, ...]], study: MakeStudy, response: MakeResponse
):
    found = analyse(study(*growing, primary=SLOPE, responses=(response(bounded="none"),), scale="raw"))
    assert found.responses[0].other_scale is None


def test_a_share_of_no_whole_examples_is_an_error(simulate: Simulate, study: MakeStudy, response: MakeResponse):
    factors = (Factor("depth", (1, 2)),)
    frame = simulate(factors, lambda _: 0.5)
    frame["num_examples"] = 33
    with pytest.raises(AnalysisError, match="no whole number"):
        analyse(study(frame, factors, responses=(response(share_of_examples=True),)))


def test_the_other_scale_borrows_no_estimate_from_the_declared_one(
    growing: tuple[pd.DataFrame, tuple[Factor, ...]], study: MakeStudy, response: MakeResponse
):
    """The mixed model beside the tests is fitted on the declared scale."""
    frame, factors = growing
    gaps = frame.drop(index=frame.index[[0, 7]])
    pair = Hypothesis(contrast="2 - 1", over="depth")
    seconds = (response(bounded="positive", unit="s", long_name="Time"),)
    found = analyse(study(gaps, factors, primary=pair, responses=seconds)).responses[0]
    assert found.effects[0].mixed is not None
    effect = other(found).effect
    assert effect is not None
    assert effect.mixed is None
