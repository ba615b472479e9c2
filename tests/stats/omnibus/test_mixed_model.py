"""Mixed models, split plots and random datasets against R: lmerTest, afex and emmeans."""

from __future__ import annotations

import json
from functools import cache
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cnnbench.spec import AnalysisSpec, Hypothesis
from cnnbench.stats import TableQuestion, analyse, read_table
from cnnbench.stats.omnibus import mixed_model as module
from cnnbench.stats.omnibus.mixed_model import mixed_model
from cnnbench.stats.trials.cells import cell_data, over_levels
from cnnbench.types import Effect, Factor, ResponseFindings, TestRow

ORACLE = Path(__file__).parent.parent / "oracle"
TWO = ("depth", "size")
CASES = {
    "m01_failed_blocks": {"factors": TWO, "block": "seed"},
    "m02_split_plot": {"factors": TWO, "block": "seed"},
    "m03_random_datasets": {"factors": ("dataset", *TWO), "random": "dataset"},
    "m04_singular": {"factors": TWO, "block": "seed"},
    "m05_random_once": {"factors": ("dataset", *TWO), "random": "dataset"},
    "m06_split_plot_four": {"factors": ("depth", "width", "size", "regime"), "block": "seed"},
}
ANOVAS = ["m02_split_plot", "m03_random_datasets", "m05_random_once", "m06_split_plot_four"]


@cache
def found_in(name: str, **changes: Any) -> ResponseFindings:
    plan = {"response": "accuracy", "primary": Hypothesis(slope=TWO)}
    asked = {
        **CASES.get(name, {"factors": TWO, "block": "seed"}),
        "ordered": {"depth": "log2", "size": "log2"},
    } | changes
    question = TableQuestion(analysis=AnalysisSpec(**plan), **asked)
    return analyse(read_table(ORACLE / f"{name}.csv", question)).responses[0]


def answers(name: str) -> dict[str, Any]:
    return json.loads((ORACLE / f"{name}.json").read_text("utf-8"))["results"]


def rows_of(found: ResponseFindings, key: str) -> dict[str, TestRow]:
    tables = {table.key: table for table in (*found.tests, *found.further_tests)}
    return {row.term: row for row in tables[key].rows}


def near(ours: float, theirs: float, rel: float) -> bool:
    if 0 < theirs < 1e-10:
        return abs(log10(ours) - log10(theirs)) < rel * abs(log10(theirs))
    return ours == pytest.approx(theirs, rel=rel)


# ------------------------------------------------------------------------------------------------ lmerTest


@pytest.mark.parametrize("name", CASES)
def test_f_tests_equal_lmertest(name: str):
    """To the digits that the two optimisers leave: complete and incomplete blocks, nested ones, zero variances."""
    found, r = found_in(name), answers(name)["lmer"]
    keys = [table.key for table in found.further_tests if table.key.startswith("mixed_model")]
    for key, kind in zip(keys, ("anova_type3_satterthwaite", "anova_type2_satterthwaite"), strict=False):
        ours = rows_of(found, key)
        assert set(ours) == {record["term"] for record in r[kind]}
        for record in r[kind]:
            row = ours[record["term"]]
            assert row.df1 == record["df1"]
            assert near(row.statistic, record["F"], 1e-4)
            assert near(row.df2, record["df2"], 1e-4)
            assert near(row.p, record["p"], 1e-4)
            assert near(row.sum_sq, record["sum_sq"], 1e-4)


@pytest.mark.parametrize("name", CASES)
def test_variances_and_likelihoods_equal_lme4(name: str):
    mixed, r = found_in(name).mixed_model, answers(name)["lmer"]
    theirs = {key.replace("seed", "replicate"): value for key, value in r["variances"].items()}
    assert {part.group for part in mixed.components} | {"Residual"} == set(theirs)
    assert near(mixed.residual_variance, theirs["Residual"], 1e-4)
    for part in mixed.components:
        wanted = theirs[part.group]
        assert part.variance == 0 if wanted < 1e-9 else near(part.variance, wanted, 1e-4)
        assert part.sd == part.variance**0.5
        record = next(
            row
            for row in r["ranova"]
            if f"({part.group.replace('replicate', 'seed')})" in row["term"].replace("1 | ", "")
        )
        assert part.lr_statistic == pytest.approx(record["LRT"], rel=1e-4, abs=1e-6)
        assert part.p == pytest.approx(record["p"], rel=1e-3, abs=1e-3)
    assert mixed.log_likelihood == pytest.approx(r["reml_loglik"], abs=1e-6)
    assert mixed.singular == (min(theirs.values()) < 1e-9)


@pytest.mark.parametrize("name", CASES)
def test_means_equal_emmeans(name: str):
    mixed, r = found_in(name).mixed_model, answers(name)["lmer"]
    means = {str(mean.levels["depth"]): mean for mean in mixed.means if set(mean.levels) == {"depth"}}
    for record in r["emm"]:
        mean = means[record["level"]]
        assert near(mean.mean, record["mean"], 1e-6)
        assert near(mean.se, record["SE"], 1e-4)
        assert near(mean.df, record["df"], 1e-3)


def test_complete_blocks_equal_the_oracle():
    found, r = found_in("c07_seed_block"), answers("c07_seed_block")["lmer"]
    (part,) = found.mixed_model.components
    assert near(part.variance, r["var_seed"], 1e-4)
    assert near(found.mixed_model.residual_variance, r["var_resid"], 1e-4)
    assert near(found.mixed_model.intraclass_correlation, r["icc"], 1e-4)
    assert near(found.mixed_model.log_likelihood, r["reml_loglik"], 1e-8)
    assert near(part.lr_statistic, r["ranova"]["LRT"], 1e-6)
    ours = rows_of(found, "mixed_model")
    for record in r["anova_type3_satterthwaite"]:
        row = ours[record["term"]]
        assert near(row.statistic, record["F"], 1e-4)
        assert near(row.df2, record["df2"], 1e-4)
    means = {tuple(mean.levels.items()): mean for mean in found.mixed_model.means}
    for record in (*r["emm_depth_satterthwaite"], *r["emm_cells_satterthwaite"]):
        mean = means[tuple((name, record[name]) for name in TWO if name in record)]
        assert near(mean.mean, record["emmean"], 1e-6)
        assert near(mean.se, record["SE"], 1e-4)
        assert near(mean.df, record["df"], 1e-4)
        assert near(mean.interval.low, record["ci_low"], 1e-4)


def test_pairs_and_their_adjustments_equal_the_oracle():
    found, r = found_in("c07_seed_block"), answers("c07_seed_block")["lmer"]
    effects = {effect.key: effect for effect in found.effects}
    for record in r["pairs_depth_tukey_satterthwaite"]:
        mixed = effects[f"pairs:depth:{record['contrast']}"].mixed
        assert near(mixed.estimate, record["estimate"], 1e-6)
        assert near(mixed.se, record["SE"], 1e-4)
        assert near(mixed.df, record["df"], 1e-4)
        assert near(mixed.statistic, record["t"], 1e-4)
        assert mixed.p_tukey == pytest.approx(record["p"], abs=1e-6)


# ------------------------------------------------------------------------------------------------ afex


@pytest.mark.parametrize("name", ANOVAS)
def test_the_deciding_anova_equals_afex(name: str, same: Any):
    """Unequal blocks, two factors between and two within; random datasets with unequal numbers of trials."""
    found, r = found_in(name), answers(name)["aov_car"]
    ours = {frozenset(term.split(":")): row for term, row in rows_of(found, found.tests[0].key).items()}
    corrections = {frozenset(record["term"].split(":")): record for record in r["corrections"] or []}
    for record in r["univariate"]:
        if record["term"] == "(Intercept)":
            continue
        row, corrected = (
            ours[frozenset(record["term"].split(":"))],
            corrections.get(frozenset(record["term"].split(":"))),
        )
        assert same(row.statistic, record["F"])
        assert same(row.sum_sq, record["sum_sq"])
        if corrected is None:
            assert same(row.p, record["p"])
            assert same(row.df2, record["df2"])
            continue
        assert same(row.epsilon, corrected["gg"])
        assert same(row.p, corrected["p_gg"])
        assert same(row.epsilon_hf, corrected["hf"])
        assert same(row.p_hf, corrected["p_hf"])
        assert same(row.p_uncorrected, record["p"])
        assert same(row.df1, corrected["gg"] * record["df1"])


def test_whole_plot_terms_have_no_sphericity_to_correct():
    rows = rows_of(found_in("m02_split_plot"), "split_plot")
    assert rows["depth"].epsilon is None
    assert rows["size"].epsilon < 1


def test_the_classical_figures_of_a_split_plot_are_those_of_emmeans(same: Any):
    effects = {effect.key: effect for effect in found_in("m02_split_plot").effects}
    for factor in TWO:
        for record in answers("m02_split_plot")[f"pairs_{factor}"]:
            classical = effects[f"pairs:{factor}:{record['contrast']}"].classical
            assert same(classical.estimate, record["estimate"])
            assert same(classical.se, record["SE"])
            assert classical.df == record["df"]
            assert same(classical.p, record["p"])


# ------------------------------------------------------------------------------------------------ which model when


def primary(found: ResponseFindings) -> Effect:
    return next(effect for effect in found.effects if effect.key == "primary")


def test_a_random_dataset_gives_one_value(same: Any):
    """The slope of each dataset's cell means, then Student's t over the datasets."""
    frame = pd.read_csv(ORACLE / "m03_random_datasets.csv")
    cells = frame.pivot_table("accuracy", ["depth", "size"], "dataset")
    x = np.log2([depth for depth, _ in cells.index]) - 1
    z = np.log2([size for _, size in cells.index]) - 5
    slopes = (cells.to_numpy().T * x * z).sum(axis=1) / (x * x * z * z).sum()
    effect = primary(found_in("m03_random_datasets"))
    assert same(effect.estimate, slopes.mean())
    assert same(effect.se, slopes.std(ddof=1) / 7**0.5)
    assert (effect.df, effect.n) == (6, 7)
    assert effect.method == "one-sample t over the per-dataset values of 7 datasets"
    assert effect.robust_method == "exact sign-flip test"
    assert effect.classical is None


def test_the_model_of_random_datasets_is_maximal_as_far_as_a_residual_is_left():
    several, once = (found_in(name).mixed_model for name in ("m03_random_datasets", "m05_random_once"))
    assert [part.group for part in several.components] == [
        "dataset",
        "dataset:depth",
        "dataset:size",
        "dataset:depth:size",
    ]
    assert several.left_out == ()
    assert [part.num_groups for part in several.components] == [7, 21, 21, 63]
    assert once.formula == "y ~ depth * size + (1 | dataset) + (1 | dataset:depth) + (1 | dataset:size)"
    assert once.left_out == ("dataset:depth:size",)


def test_shared_seeds_within_random_datasets_have_a_random_effect_of_their_own():
    found = found_in("m03_random_datasets", block="seed")
    assert "dataset:replicate" in [part.group for part in found.mixed_model.components]


def test_independent_seeds_have_no_mixed_model():
    found = found_in("c07_seed_block", block=None)
    assert found.mixed_model is None
    assert all(effect.mixed is None for effect in found.effects)


def test_a_singular_fit_is_a_note():
    found = found_in("m04_singular")
    assert found.mixed_model.components[0].variance == 0
    assert primary(found).mixed.df == pytest.approx(63)
    assert any("singular: the variance of replicate is estimated as exactly zero" in note for note in found.notes)


def test_missing_cells_leave_a_type_2_table():
    """With F and df2 of lmerTest, which drops the empty cell's column."""
    frame = pd.read_csv(ORACLE / "m01_failed_blocks.csv")
    frame = frame[(frame["depth"] != 4) | (frame["size"] != 16)]
    data = cells_of(frame, ("depth", "size"), "seed", paired=True)
    mixed = mixed_model(data, data, None)
    (table,) = module.mixed_tables(mixed)
    r = [(2, 110.383538670818, 39.0218851534), (2, 51.778191751572, 39.0361441655), (3, 0.560400522215, 39.0357712972)]
    assert table.key == "mixed_model"
    for row, (df1, f, df2) in zip(table.rows, r, strict=True):
        assert row.df1 == df1
        assert near(row.statistic, f, 1e-6)
        assert near(row.df2, df2, 1e-4)
    assert module.described(mixed, 0.05).log_likelihood is None
    assert mixed.estimate(np.full(9, 1 / 9), 0.05) is None


def cells_of(frame: pd.DataFrame, factors: tuple[str, ...], replicate: str, *, paired: bool) -> Any:
    made = tuple(Factor(name, tuple(sorted(frame[name].unique().tolist())), None) for name in factors)
    index = [[factor.levels.index(level) for level in frame[factor.name]] for factor in made]
    cell_N = np.ravel_multi_index(index, [len(factor.levels) for factor in made])
    return cell_data(made, cell_N, frame[replicate].to_numpy(), frame["accuracy"].to_numpy(), paired=paired)


def test_too_many_random_effects_are_left_out_with_a_note(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_GROUPS", 7)
    found = found_in.__wrapped__("c07_seed_block")
    assert found.mixed_model is None
    assert any(note.startswith("The mixed model was left out: it is fitted up to 3,000 trials") for note in found.notes)


def test_blocks_that_explain_everything_leave_no_model():
    y_KM = np.arange(4)[:, None] * 0.01 + np.arange(4) * 0.1
    row_N, cell_N = np.indices(y_KM.shape).reshape(2, -1)
    factors = (Factor("a", (1, 2)), Factor("b", (1, 2)))
    data = cell_data(factors, cell_N, row_N, y_KM.ravel(), paired=True)
    assert "explain the trials without a residual" in mixed_model(data, data, None)


def test_a_random_factor_whose_levels_never_differ_is_no_crash():
    """One trial in every cell and no noise but rounding: whatever comes is a model or a sentence."""
    factors = (Factor("dataset", tuple(range(5))), Factor("a", (1, 2)))
    data = cell_data(factors, np.arange(10), np.zeros(10, dtype=int), np.tile([0.1, 0.2], 5), paired=False)
    assert "left out" in mixed_model(data, over_levels(data, 0), 0)
