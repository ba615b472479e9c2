"""Tests over blocks in an analysis from end to end: datasets, examples, seeds, and a factor of datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnbench.errors import AnalysisError
from cnnbench.spec import AnalysisSpec, Hypothesis
from cnnbench.stats import TableQuestion, analyse, read_table
from cnnbench.types import Factor

if TYPE_CHECKING:
    from cnnbench.types import ResponseFindings, TestTable
    from tests.stats.conftest import MakeStudy, Same, Simulate

ORACLE = Path(__file__).parent / "oracle"
MODEL = Factor("model", ("a", "b", "c"))


def answers(name: str) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((ORACLE / f"{name}.json").read_text("utf-8"))["results"]
    return results


def found_in(path: Path, response: str, block: str | None, **more: Any) -> ResponseFindings:
    spec = AnalysisSpec(response=response, primary=more.pop("primary", None))
    factors = more.pop("factors", ("model",))
    return analyse(read_table(path, TableQuestion(factors, spec, block, **more))).responses[0]


def tables(found: ResponseFindings) -> dict[str, TestTable]:
    return {table.key: table for table in (*found.tests, *found.further_tests)}


def written(folder: Path, header: str, rows: list[str]) -> Path:
    path = folder / "t.csv"
    path.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    return path


def models_by(blocks: int, name: str = "dataset", shift: float = 0.02) -> list[str]:
    rng = np.random.default_rng(5)
    return [
        f"{model},{name[0]}{block},{0.8 + shift * index + rng.normal(0, 0.01):.4f}"
        for block in range(blocks)
        for index, model in enumerate("abc")
    ]


# ------------------------------------------------------------------------------------------------ datasets


def test_over_datasets_the_ranks_decide_and_equal_r(same: Same):
    found = found_in(ORACLE / "c13_models_datasets.csv", "accuracy", "dataset", higher_is_better=True, control="m0")
    r = answers("c13_models_datasets")
    assert [table.key for table in found.tests] == ["iman_davenport"]
    by_key = tables(found)
    assert same(by_key["iman_davenport"].rows[0].p, r["iman_davenport"]["p"])
    assert same(by_key["friedman"].rows[0].statistic, r["friedman"]["chisq"])
    assert {row.term: row.p_adjusted for row in by_key["rank_control"].rows} == pytest.approx(
        {f"{name} - m0": p for name, p in r["vs_control_m0_z_holm"]["p_holm"].items()}
    )
    dropped = by_key["wilcoxon_without_zeros"].rows
    assert [row.p_adjusted for row in dropped] == pytest.approx([pair["p_holm"] for pair in r["wilcoxon_pairs"]])
    assert found.ranks is not None
    assert found.ranks.kendall_w == pytest.approx(r["kendall_w"])
    assert {each.level: each.mean_rank for each in found.ranks.mean_ranks} == pytest.approx(r["mean_ranks_best_is_1"])
    assert found.ranks.groups == (("m4", "m3", "m2"), ("m3", "m2", "m0"), ("m2", "m0", "m1"))
    assert "rm_anova" in by_key


def test_the_headline_names_ranks_and_pairs_and_no_sentence_speaks_of_seeds():
    found = found_in(ORACLE / "c13_models_datasets.csv", "accuracy", "dataset", higher_is_better=True)
    assert found.headline == (
        "The levels of model differ in their mean ranks over 10 datasets (Iman-Davenport F(4, 36) = 9.28, p < 0.001). "
        "Mean ranks, best first: m4 1.7, m3 1.9, m2 3.55, m0 3.75, m1 4.1. Two of them differ if they are at least "
        "1.93 apart (Nemenyi). That holds for m4 and m0, m4 and m1, m3 and m1."
    )
    assert "Each dataset is a block, with one value for every cell; all 10 are complete." in found.audit.sentences
    words = [*found.notes, *found.audit.sentences, *(f"{e.sentence} {e.method}" for e in found.effects)]
    assert not [text for text in words if "seed" in text]
    assert any("over 10 datasets, one value each" in effect.sentence for effect in found.effects)


def test_lower_is_better_turns_the_mean_ranks(tmp_path: Path):
    path = written(tmp_path, "model,dataset,loss", models_by(6))
    high, low = (found_in(path, "loss", "dataset", higher_is_better=better) for better in (True, False))
    assert high.ranks is not None
    assert low.ranks is not None
    ranks = [[each.mean_rank for each in found.ranks.mean_ranks] for found in (high, low)]
    assert ranks[0] == pytest.approx([4 - rank for rank in ranks[1]])
    assert (high.ranks.higher_is_better, low.ranks.higher_is_better) == (True, False)
    assert tables(high)["iman_davenport"].rows[0].p == tables(low)["iman_davenport"].rows[0].p


def test_where_nobody_says_which_way_is_better_a_note_says_what_rank_1_is():
    found = found_in(ORACLE / "c13_models_datasets.csv", "accuracy", "dataset")
    assert "Rank 1 is the highest value, as nothing says that lower is better." in found.notes
    assert found.higher_is_better is None


def test_a_declared_hypothesis_leads_and_the_ranks_follow():
    primary = Hypothesis(contrast="m4 - m0", over="model")
    found = found_in(ORACLE / "c13_models_datasets.csv", "accuracy", "dataset", primary=primary)
    assert found.headline.startswith("With model m4, accuracy is 0.019 higher than with m0")
    assert any(note.startswith("The levels of model differ in their mean ranks") for note in found.notes)


def test_four_datasets_are_refused(tmp_path: Path):
    found = found_in(written(tmp_path, "model,dataset,accuracy", models_by(4)), "accuracy", "dataset")
    assert found.ranks is None
    (refusal,) = [refusal for refusal in found.refusals if refusal.what == "ranks of model over datasets"]
    assert refusal.why == "Only 4 have every level of model; at least 5 are needed."
    assert [table.key for table in found.tests] == ["rm_anova"]


def test_a_dataset_without_a_level_is_left_out_and_said_so(tmp_path: Path):
    found = found_in(written(tmp_path, "model,dataset,accuracy", models_by(7)[:-1]), "accuracy", "dataset")
    assert found.ranks is not None
    assert (found.ranks.num_blocks, found.ranks.left_out) == (6, 1)
    assert "Rank tests leave out 1 of 7 datasets that lack a level." in found.notes


def test_two_models_over_datasets_are_compared_by_wilcoxon(tmp_path: Path):
    rows = [row for row in models_by(8) if not row.startswith("c")]
    found = found_in(written(tmp_path, "model,dataset,accuracy", rows), "accuracy", "dataset")
    assert found.ranks is None
    assert found.tests[0].key == "wilcoxon"
    assert found.headline.startswith("a - b over 8 datasets: Wilcoxon's signed-rank test, V = ")


def test_models_that_never_differ_are_refused(tmp_path: Path):
    rows = [f"{model},d{block},{0.5 + block / 10}" for block in range(6) for model in "abc"]
    found = found_in(written(tmp_path, "model,dataset,accuracy", rows), "accuracy", "dataset")
    assert any(refusal.what == "ranks of model" for refusal in found.refusals)
    assert found.ranks is None


# ------------------------------------------------------------------------------------------------ examples


def test_over_examples_cochran_decides_and_equals_r(same: Same):
    found = found_in(ORACLE / "c12_example_level.csv", "correct", "example")
    r = answers("c12_example_level")
    assert [table.key for table in found.tests] == ["cochran_q", "mcnemar"]
    by_key = tables(found)
    row = by_key["cochran_q"].rows[0]
    assert (row.term, row.df1, row.df2) == ("model", 4, None)
    assert same(row.statistic, r["cochran_q"]["Q"])
    for name, key in (("mcnemar", "p_exact"), ("mcnemar_chisq", "p"), ("mcnemar_chisq_corrected", "p_corrected")):
        assert [each.p for each in by_key[name].rows] == pytest.approx([pair[key] for pair in r["mcnemar_pairs"]])
    holm = [pair["p_exact_holm"] for pair in r["mcnemar_pairs"]]
    assert [each.p_adjusted for each in by_key["mcnemar"].rows] == pytest.approx(holm)
    assert by_key["mcnemar"].family == "all pairs of model (10 tests, Holm)"
    assert found.examples is not None
    assert found.examples.num_examples == 400
    assert found.ranks is None
    assert "rm_anova" not in by_key


def test_the_headline_says_that_examples_say_nothing_about_training_again():
    found = found_in(ORACLE / "c12_example_level.csv", "correct", "example")
    assert found.headline.startswith("Right answers to 400 examples: m4 77.5 %, m2 70.2 %")
    assert "(Cochran's Q(4) = 20.8, p < 0.001)" in found.headline
    assert "tell apart m0 and m4 (p = 0.00399), m1 and m4 (p = 0.00232), m3 and m4 (p = 0.00125)" in found.headline
    assert found.headline.endswith("it says nothing about what training them again would give.")


def test_a_mean_of_right_answers_is_the_accuracy_and_its_difference_the_same():
    found = found_in(ORACLE / "c12_example_level.csv", "correct", "example")
    assert found.examples is not None
    effects = {effect.label: effect.estimate for effect in found.effects}
    for pair in found.examples.pairs:
        assert effects[f"{pair.first} - {pair.second}"] == pytest.approx(pair.difference)


def test_right_and_wrong_by_seed_keeps_the_analysis_and_adds_the_tests(tmp_path: Path):
    rng = np.random.default_rng(2)
    shares = {"a": 0.3, "b": 0.6, "c": 0.9}
    rows = [f"{model},{seed},{int(rng.random() < p)}" for seed in range(20) for model, p in shares.items()]
    found = found_in(written(tmp_path, "model,seed,converged", rows), "converged", "seed")
    assert found.tests[0].key == "rm_anova"
    assert {"cochran_q", "mcnemar"} < {table.key for table in found.further_tests}


def test_examples_of_several_factors_keep_the_f_tests(tmp_path: Path):
    rng = np.random.default_rng(2)
    rows = [f"{m},{s},{e},{rng.integers(2)}" for e in range(30) for m in "ab" for s in (16, 32)]
    path = written(tmp_path, "model,size,example,correct", rows)
    found = found_in(path, "correct", "example", factors=("model", "size"))
    assert found.tests[0].key == "rm_anova"
    assert any("compare the levels of one factor" in note for note in found.notes)
    assert any("nothing about what training them again" in note for note in found.notes)


# ------------------------------------------------------------------------------------------------ seeds and studies


def test_over_seeds_ranks_stand_beside_and_decide_nothing(study: MakeStudy, simulate: Simulate):
    frame = simulate((MODEL,), lambda cell: {"a": 0.7, "b": 0.75, "c": 0.8}[cell["model"]], n=6)
    found = analyse(study(frame, (MODEL,))).responses[0]
    assert [table.key for table in found.tests] == ["rm_anova"]
    assert "iman_davenport" in tables(found)
    assert found.ranks is not None
    assert (found.ranks.blocks, found.ranks.num_blocks, found.ranks.higher_is_better) == ("seeds", 6, True)
    assert found.headline.startswith("No hypothesis was declared for this response.")


def test_four_seeds_have_no_ranks_and_no_refusal_about_them(study: MakeStudy, simulate: Simulate):
    found = analyse(study(simulate((MODEL,), lambda _: 0.7, n=4), (MODEL,))).responses[0]
    assert found.ranks is None
    assert not [refusal for refusal in found.refusals if "ranks" in refusal.what]


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_a_factor_of_datasets_is_ranked_by_means_over_replicates(
    study: MakeStudy, simulate: Simulate, *, paired: bool, turned: bool
):
    data = Factor("data", ("d1", "d2", "d3", "d4", "d5"))
    factors = (data, MODEL) if turned else (MODEL, data)
    frame = simulate(factors, lambda cell: {"a": 0.7, "b": 0.75, "c": 0.72}[cell["model"]], n=3, sd=0.03)
    found = analyse(study(frame, factors, paired=paired, dataset_factor="data")).responses[0]
    means = frame.pivot_table("accuracy", "data", "model").rank(axis=1, ascending=False).mean()
    assert found.ranks is not None
    assert (found.ranks.factor, found.ranks.blocks, found.ranks.num_blocks) == ("model", "datasets", 5)
    assert {each.level: each.mean_rank for each in found.ranks.mean_ranks} == pytest.approx(means.to_dict())
    assert {"iman_davenport", "nemenyi", "wilcoxon"} <= set(tables(found))
    assert found.tests[0].key == ("rm_anova" if paired else "ats")


def test_a_factor_of_three_datasets_is_not_ranked(study: MakeStudy, simulate: Simulate):
    factors = (MODEL, Factor("data", ("d1", "d2", "d3")))
    found = analyse(study(simulate(factors, lambda _: 0.7, n=5), factors, dataset_factor="data")).responses[0]
    assert found.ranks is None


def test_two_factors_without_datasets_are_not_ranked(study: MakeStudy, simulate: Simulate):
    factors = (MODEL, Factor("size", (1, 2, 3, 4, 5)))
    found = analyse(study(simulate(factors, lambda _: 0.7, n=5), factors)).responses[0]
    assert found.ranks is None


# ------------------------------------------------------------------------------------------------ reading tables


@pytest.mark.parametrize(
    ("block", "values", "told", "expected"),
    [
        ("dataset", "0.5,0.6", None, "datasets"),
        ("Datasets", "0.5,0.6", None, "datasets"),
        ("image", "0.5,0.6", None, "examples"),
        ("row", "0,1", None, "examples"),
        ("seed", "0,1", None, "seeds"),
        ("row", "0.5,0.6", None, "seeds"),
        ("dataset", "0.5,0.6", "seeds", "seeds"),
        ("corpus", "0.5,0.6", "datasets", "datasets"),
    ],
)
def test_what_blocks_are_is_told_by_name_and_values(tmp_path: Path, block: str, values: str, told: Any, expected: str):
    low, high = values.split(",")
    path = written(tmp_path, f"model,{block},y", [f"a,1,{low}", f"b,1,{high}", f"a,2,{high}", f"b,2,{low}"])
    asked = TableQuestion(("model",), AnalysisSpec(response="y"), block, blocks_are=told)
    read = read_table(path, asked)
    assert (read.blocks, read.binary) == (expected, values == "0,1")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"block": None, "blocks_are": "datasets"}, "name it with `--block`"),
        ({"block": None, "control": "a"}, "name one factor and `--block`"),
        ({"control": "aa"}, "The control `aa` is no level of `model`; did you mean `a`?"),
    ],
)
def test_a_question_about_blocks_that_does_not_fit_is_told(tmp_path: Path, changes: dict[str, Any], sentence: str):
    path = written(tmp_path, "model,dataset,y", models_by(5))
    asked: dict[str, Any] = {"block": "dataset"} | changes
    with pytest.raises(AnalysisError) as error:
        read_table(path, TableQuestion(("model",), AnalysisSpec(response="y"), **asked))
    assert sentence in str(error.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=2, max_size=9),
    st.sampled_from(["dataset", "example", "seed"]),
    st.booleans(),
)
def test_no_table_of_blocks_makes_the_analysis_fail(tmp_path: Path, counts: list[list[int]], block: str, binary: bool):  # noqa: FBT001
    values = np.array(counts) > 1 if binary else np.array(counts) / 4
    if len(set(values.ravel().tolist())) < 2:
        return
    rows = [f"{m},{b},{float(v):g}" for b, line in enumerate(values) for m, v in zip("abc", line, strict=True)]
    found = found_in(written(tmp_path, f"model,{block},y", rows), "y", block)
    for table in tables(found).values():
        for row in table.rows:
            assert row.p is None or 0 <= row.p <= 1
            assert row.statistic is None or np.isfinite(row.statistic)


def test_the_order_of_rows_and_percent_for_fractions_change_no_rank_test(tmp_path: Path):
    frame = pd.read_csv(ORACLE / "c13_models_datasets.csv")
    frame["percent"] = (100 * frame["accuracy"]).round(6)
    frame.sample(frac=1, random_state=3).to_csv(tmp_path / "m.csv", index=False)
    first = found_in(ORACLE / "c13_models_datasets.csv", "accuracy", "dataset")
    second = found_in(tmp_path / "m.csv", "percent", "dataset")
    p = [{row.term: row.p for row in tables(found)["wilcoxon"].rows} for found in (first, second)]
    for term, value in p[0].items():
        a, b = term.split(" - ")
        assert p[1].get(term, p[1].get(f"{b} - {a}")) == pytest.approx(value, rel=1e-10)
    assert tables(second)["iman_davenport"].rows[0].p == pytest.approx(tables(first)["iman_davenport"].rows[0].p)
