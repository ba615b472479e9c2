"""Tables of results as anybody may have them."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from cnnbench.errors import AnalysisError
from cnnbench.spec import AnalysisSpec, Hypothesis
from cnnbench.stats import TableQuestion, analyse, flat_columns, flat_rows, read_table
from cnnbench.types import (
    Accuracy,
    Cell,
    Choice,
    Classical,
    Comparison,
    DesignAudit,
    Effect,
    EstimatedMean,
    ExampleComparison,
    ExampleGroup,
    ExamplePair,
    Factor,
    Findings,
    Interval,
    LevelRank,
    Look,
    MixedModel,
    NullRate,
    OtherScale,
    PlanDifference,
    RandomComponent,
    RankComparison,
    Refusal,
    Residuals,
    ResponseFindings,
    Retraining,
    SelfCheck,
    Source,
    StageFindings,
    Standing,
    TestRow,
    TestTable,
    VarianceBudget,
    VarianceComponent,
)

HEADER = "depth,kind,seed,accuracy\n"
ROWS = ("1,a,0,0.5", "1,b,0,0.6", "2,a,0,0.7", "2,b,0,0.9", "1,a,1,0.51", "1,b,1,0.63", "2,a,1,0.72", "2,b,1,0.94")


PLAN = {"response", "primary", "pool_environments"}


def asked(**changes: object) -> TableQuestion:
    plan = {"response": "accuracy"} | {key: changes.pop(key) for key in list(changes) if key in PLAN}
    return TableQuestion(**{"factors": ("depth", "kind"), "analysis": AnalysisSpec(**plan)} | changes)


def written(tmp_path: Path, *rows: str, header: str = HEADER) -> Path:
    path = tmp_path / "t.csv"
    path.write_text(header + "".join(f"{row}\n" for row in rows), "utf-8")
    return path


def test_levels_that_look_like_numbers_are_numbers_in_order_and_others_text(tmp_path: Path):
    data = read_table(written(tmp_path, *ROWS[::-1]), asked(ordered={"depth": "log2"}))
    assert data.factors == (Factor("depth", (1, 2), "log2"), Factor("kind", ("b", "a")))


def test_without_a_block_trials_are_independent_and_numbered_within_their_cell(tmp_path: Path):
    data = read_table(written(tmp_path, *ROWS), asked())
    assert data.paired is False
    assert data.trials["replicate"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert data.replicates == 2


def test_with_a_block_the_analysis_is_paired(tmp_path: Path):
    path = written(tmp_path, *(row.replace(",1,", ",7,") for row in ROWS))
    data = read_table(path, asked(block="seed"))
    assert data.paired is True
    assert data.trials["replicate"].tolist() == [0, 0, 0, 0, 7, 7, 7, 7]
    assert analyse(data).responses[0].audit.complete_replicates == (0, 7)


def test_blocks_with_names_are_numbered_in_the_order_of_the_rows(tmp_path: Path):
    rows = [row.replace(",0,", ",zoe,").replace(",1,", ",adam,") for row in ROWS]
    data = read_table(written(tmp_path, *rows), asked(block="seed"))
    assert data.trials["replicate"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


NESTED = ("1,a,0,0.5", "1,b,0,0.6", "1,a,1,0.7", "1,b,1,0.9", "2,a,2,0.51", "2,b,2,0.63", "2,a,3,0.72", "2,b,3,0.94")


def test_blocks_of_one_level_each_are_nested_in_that_factor(tmp_path: Path):
    data = read_table(written(tmp_path, *NESTED), asked(block="seed"))
    assert (data.paired, data.nested_in, data.replicate_names) == (True, ("depth",), None)
    assert data.trials["replicate"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    crossed = read_table(written(tmp_path, *ROWS), asked(block="seed"))
    assert crossed.nested_in == ()


def test_reused_names_of_nested_blocks_are_told_apart(tmp_path: Path):
    reused = [row.replace(",2,0.", ",0,0.").replace(",3,0.", ",1,0.") for row in NESTED]
    crossed = read_table(written(tmp_path, *reused), asked(block="seed"))
    nested = read_table(written(tmp_path, *reused), asked(block="seed", nested_in=("depth",)))
    assert crossed.nested_in == ()
    assert nested.nested_in == ("depth",)
    assert nested.trials["replicate"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert nested.replicate_names[2] == "0 (depth 2)"


def test_a_nested_block_that_is_left_out_is_named(tmp_path: Path):
    reused = [row.replace(",2,0.", ",0,0.").replace(",3,0.", ",1,0.") for row in NESTED[:-1]]
    data = read_table(written(tmp_path, *reused), asked(block="seed", nested_in=("depth",)))
    audit = analyse(data).responses[0].audit
    assert audit.nested_in == ("depth",)
    assert audit.complete_replicates == (0, 1, 2)
    shared, left_out, nested = audit.sentences[1:]
    assert shared.startswith("Replicates share their seeds over all cells of their level of depth, so that each")
    assert shared.endswith("3 of 4 are complete.")
    assert left_out == "Tests leave out replicate 1 (depth 2) where it lacks a cell that they need."
    assert nested.startswith(
        "A split-plot design: replicates are nested in depth (2 for each level), so depth is tested"
    )


def test_spaces_and_a_byte_order_mark_and_blank_lines_are_no_content(tmp_path: Path):
    plain = read_table(written(tmp_path, *ROWS), asked())
    path = written(tmp_path, *(row.replace(",", " , ") for row in ROWS), "", header="\ufeff" + HEADER)
    assert analyse(read_table(path, asked())).responses == analyse(plain).responses


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (["1,a,0"], "line 2 has 3 values, but the first line names 4 columns"),
        ([], "t.csv has no rows below its column names"),
        (["1,a,0,0.5", "2,a,0,"], "line 3: `accuracy` is empty"),
        (["1,a,0,0.5", "2,a,0,nan"], "line 3: `accuracy` is nan; leave rows without a result out"),
        (["1,a,0,0.5", "2,a,0,-inf"], "line 3: `accuracy` is -inf"),
        (["1,a,0,0.5", "", "2,a,0,high"], "line 4: `accuracy` holds `high`, which is no number"),
        (["1,a,0,0.5", "2,a,0,1_0"], "line 3: `accuracy` holds `1_0`, which is no number"),
        (["1,a,0,0.5", ",b,0,0.6"], "line 3: `depth` is empty; give every row a level"),
        (["1,a,0,0.5", "2,NaN,0,0.6"], "line 3: `kind` is NaN, which stands for a missing value"),
        (["1,a,0,0.5", "NA,b,0,0.6"], "line 3: `depth` is NA, which stands for a missing value"),
        (["1,a,0,0.5", "1,b,0,0.6"], "`depth` is 1 in every row; a factor needs at least two levels"),
        ([row[:6] + "0.5" for row in ROWS], "`accuracy` is 0.5 in every row, so there is nothing to analyse"),
        ([*ROWS, ROWS[0]], "lines 2 and 10: seed 0 has two trials in the same cell"),
        (["1,a,0,0.5", "1,b,1,0.6", "2,a,2,0.7"], "no seed has trials in two cells, so there is nothing to pair"),
        (['1,a,0,"0.5'], "t.csv is no CSV file"),
    ],
)
def test_a_bad_table_gets_one_clear_sentence(tmp_path: Path, rows: list[str], sentence: str):
    with pytest.raises(AnalysisError) as error:
        read_table(written(tmp_path, *rows), asked(block="seed"))
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\xff\xfe", "is no CSV file"),
        (b"depth;kind;accuracy\n1;a;0.5\n", "separated by semicolons or tabs"),
        (b"depth,kind,depth,accuracy\n1,a,2,0.5\n", "two columns `depth`"),
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, content: bytes, sentence: str):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(AnalysisError, match=sentence):
        read_table(tmp_path / "t.csv", asked())


def test_a_folder_or_a_missing_file_cannot_be_read(tmp_path: Path):
    with pytest.raises(AnalysisError, match="cannot be read"):
        read_table(tmp_path / "no.csv", asked())


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        (asked(response="acuracy"), "t.csv has no column `acuracy`; did you mean `accuracy`?"),
        (asked(response="depth"), "`depth` can be only one of response, factor and block"),
        (asked(block="kind"), "`kind` can be only one of response, factor and block"),
        (asked(response="replicate"), "`replicate` is taken by the analysis itself"),
        (asked(ordered={"kind": "log2"}), "`kind` has levels that are no numbers, so it cannot be ordered"),
        (asked(ordered={"dept": "log2"}), "`dept` is no factor; did you mean `depth`?"),
        (asked(factors=("depth", "seed"), ordered={"seed": "log2"}), "`seed` has the level 0; log2 needs levels above"),
        (asked(primary=Hypothesis(slope=("depth",))), "say that `depth` is log2 or linear"),
        (asked(primary=Hypothesis(contrast="b - c", over="kind")), "`c` is no level"),
        (
            asked(primary=Hypothesis(contrast="b - c", over="kinds")),
            "`kinds`, which is no factor; did you mean `kind`?",
        ),
        (asked(random="dept"), "--random: `dept` is none of the factors; did you mean `depth`?"),
        (asked(factors=("depth",), random="depth"), "`depth` is the only factor; name a fixed one beside it"),
        (
            asked(random="depth", primary=Hypothesis(contrast="2 - 1", over="depth")),
            "The hypothesis names `depth`, which is random",
        ),
        (asked(nested_in=("depth",)), "--nested-in says what blocks are nested in; name their column with --block"),
        (asked(block="seed", nested_in=("size",)), "--nested-in: `size` is none of the factors"),
        (asked(block="seed", nested_in=("depth", "kind")), "--nested-in names every factor"),
    ],
)
def test_a_question_that_does_not_fit_the_table_is_told(tmp_path: Path, question: TableQuestion, sentence: str):
    with pytest.raises(AnalysisError) as error:
        read_table(written(tmp_path, *ROWS), question)
    assert sentence in str(error.value)


def test_trials_of_several_environments_are_not_tested_together_unless_that_is_wanted(tmp_path: Path):
    rows = [f"{row},{'here' if row.startswith('1') else 'there'}" for row in ROWS]
    path = written(tmp_path, *rows, header="depth,kind,seed,accuracy,environment_key\n")
    apart = analyse(read_table(path, asked(block="seed")))
    pooled = analyse(read_table(path, asked(block="seed", pool_environments=True)))
    unknown = analyse(read_table(written(tmp_path, *ROWS), asked(block="seed")))

    (refusal,) = [one for one in apart.responses[0].refusals if one.what == "all tests"]
    assert "2 environments" in refusal.why
    assert "--pool-environments" in refusal.remedy
    assert not apart.responses[0].tests
    assert pooled.responses[0].tests == unknown.responses[0].tests != ()


def test_the_flat_table_has_a_row_for_each_test_and_effect(tmp_path: Path):
    findings = analyse(read_table(written(tmp_path, *ROWS), asked(primary=Hypothesis(contrast="b - a", over="kind"))))
    (found,) = findings.responses
    rows = list(flat_rows(findings))
    assert [row["key"] for row in rows if row["kind"] == "effect"] == [
        effect.key for effect in (*found.effects, *found.further_effects)
    ]
    assert {tuple(row) for row in rows} == {flat_columns()}
    first = next(row for row in rows if row["table"] == "anova_type3")
    table = next(table for table in found.tests if table.key == "anova_type3")
    assert (first["key"], first["statistic"], first["p"]) == ("depth", table.rows[0].statistic, table.rows[0].p)
    pair = next(row for row in rows if row["key"] == "pairs:kind:a - b")
    effect = next(effect for effect in found.effects if effect.key == "pairs:kind:a - b")
    assert pair["classical_p_tukey"] == effect.classical.p_tukey
    assert pair["classical_interval_low"] == effect.classical.interval.low
    further = [table.key for table in found.further_tests]
    assert further == ["welch_james", "anova_hc3", "simple_effects:depth", "simple_effects:kind"]
    assert set(further) < {row["table"] for row in rows}


@pytest.mark.parametrize(
    "kind",
    [
        *(Findings, ResponseFindings, DesignAudit, Cell, Interval, TestTable, TestRow, Effect, Classical, Refusal),
        *(OtherScale, Residuals, VarianceBudget, VarianceComponent, MixedModel, RandomComponent, EstimatedMean),
        *(RankComparison, LevelRank, ExampleComparison, Accuracy, ExamplePair),
        *(NullRate, SelfCheck, Look, StageFindings, Choice, Standing),
    ],
)
def test_every_key_of_the_json_is_described(kind: type):
    text = (Path(__file__).parents[3] / "docs" / "statistics.md").read_text("utf-8")
    section = text[text.index("## The findings as JSON and CSV") :].split("\n## ")[0]
    described = set(re.findall(r"[a-z][a-z_0-9]*", section))
    assert {field.name for field in fields(kind)} <= described


@pytest.mark.parametrize("kind", [Comparison, Source, ExampleGroup, Retraining, PlanDifference])
def test_every_key_of_a_comparison_is_described(kind: type):
    text = (Path(__file__).parents[3] / "docs" / "statistics.md").read_text("utf-8")
    section = text[text.index("## Comparing runs") :].split("\n## ")[0]
    assert {field.name for field in fields(kind)} <= set(re.findall(r"[a-z][a-z_0-9]*", section))


def test_what_is_taken_for_granted_without_a_block_is_said(tmp_path: Path):
    path = written(tmp_path, *ROWS)
    alone = analyse(read_table(path, asked())).responses[0].audit.sentences
    assert "No block was named, so all trials are taken as independent." in alone
    assert any("name it with --block seed" in sentence for sentence in alone)
    assert not any("has seeds of its own" in sentence for sentence in alone)
    blocked = " ".join(analyse(read_table(path, asked(block="seed"))).responses[0].audit.sentences)
    assert "--block" not in blocked
    assert "taken as independent" not in blocked
    own = [f"{row.rsplit(',', 2)[0]},{number},{row.rsplit(',', 1)[1]}" for number, row in enumerate(ROWS)]
    apart = analyse(read_table(written(tmp_path, *own), asked())).responses[0].audit.sentences
    assert "No block was named, so all trials are taken as independent." in apart
    assert not any("--block seed" in sentence for sentence in apart)


def test_rows_that_are_copies_are_counted(tmp_path: Path):
    twice = analyse(read_table(written(tmp_path, *ROWS, ROWS[0]), asked())).responses[0].audit.sentences
    assert "1 row is the same as an earlier one in every column, and counted as further trials." in twice
    thrice = analyse(read_table(written(tmp_path, *ROWS, *ROWS), asked())).responses[0].audit.sentences
    assert "8 rows are the same as an earlier one in every column, and counted as further trials." in thrice
