"""`cnnbench analyse`, as somebody meets it who has nothing but a table of results."""

from __future__ import annotations

import csv
import functools
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any

import pytest

from cnnbench.cli.analyse import Plan
from cnnbench.errors import AnalysisError
from cnnbench.spec import AnalysisSpec, Hypothesis
from cnnbench.stats import read_table

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

Analyse = Callable[..., CompletedProcess[str]]
ORACLE = Path(__file__).parent.parent / "stats" / "oracle"
PAIRED = str(ORACLE / "c07_seed_block.csv")
COLUMNS = ["--response", "accuracy", "--factors", "depth,size"]
SLOPE = ["--block", "seed", "--ordered", "depth=log2,size=log2", "--slope", "depth,size"]
INDEPENDENT = ["--ordered", "depth=log2,size=log2", "--slope", "depth,size"]
GOOD = "depth,size,seed,accuracy\n1,16,0,0.5\n1,32,0,0.6\n2,16,0,0.7\n2,32,0,0.9\n"


@pytest.fixture
def analyse(run: CommandLine) -> Analyse:
    return functools.partial(run, "analyse")


def test_the_text_leads_with_design_and_finding(run: CommandLine):
    done = run.cold("analyse", PAIRED, *COLUMNS, *SLOPE, "--margin", "0.02")

    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert text.startswith("72 trials in 9 of 9 cells, 8 each.")
    assert "Each doubling of size changes the effect of one doubling of depth on accuracy by +0.0025" in text
    assert "The exact sign-flip test (p = 0.0234) agrees." in text
    assert "Exploratory: all pairwise comparisons of depth (3 tests, Holm)" in text
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_json_holds_the_digits_of_r(analyse: Analyse):
    done = analyse(PAIRED, *COLUMNS, *SLOPE, "--json")

    found = json.loads(done.stdout)
    r = json.loads((ORACLE / "c07_seed_block.json").read_text("utf-8"))["results"]["per_seed_interaction_slope"]
    (response,) = found["responses"]
    primary = response["effects"][0]
    assert (found["format"], found["study"], found["confirmatory"]) == (1, "c07_seed_block", None)
    assert (response["response"], primary["key"], primary["n"]) == ("accuracy", "primary", 8)
    assert primary["estimate"] == pytest.approx(r["mean"], rel=1e-8)
    assert primary["p"] == pytest.approx(r["p"], rel=1e-8)


def test_csv_holds_tests_and_effects_one_in_a_row(tmp_path: Path, analyse: Analyse):
    done = analyse(PAIRED, *COLUMNS, *SLOPE, "--json", "--csv", str(tmp_path / "flat.csv"))

    (response,) = json.loads(done.stdout)["responses"]
    with (tmp_path / "flat.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    tests = [row for row in rows if row["kind"] == "test" and row["table"] == "rm_anova"]
    effects = [row for row in rows if row["kind"] == "effect"]
    assert [row["key"] for row in tests] == ["depth", "size", "depth:size"]
    further = [effect["key"] for effect in response["further_effects"]]
    assert [row["key"] for row in effects] == [effect["key"] for effect in response["effects"]] + further
    assert float(effects[0]["estimate"]) == response["effects"][0]["estimate"]
    assert float(effects[0]["interval_low"]) == response["effects"][0]["interval"]["low"]


def test_a_factor_may_be_random(analyse: Analyse):
    table = str(ORACLE / "m03_random_datasets.csv")
    done = analyse(table, "--response", "accuracy", "--factors", "dataset,depth,size", "--random", "dataset", "--json")

    (response,) = json.loads(done.stdout)["responses"]
    assert response["audit"]["random"] == "dataset"
    assert [row["term"] for row in response["tests"][0]["rows"]] == ["depth", "size", "depth:size"]
    assert response["mixed_model"]["components"][0]["group"] == "dataset"


def test_blocks_may_be_nested_in_a_factor(tmp_path: Path, analyse: Analyse):
    lines = (ORACLE / "m02_split_plot.csv").read_text("utf-8").splitlines()
    rows = [line.split(",") for line in lines[1:]]
    first = {depth: min(int(row[2]) for row in rows if row[0] == depth) for depth in {row[0] for row in rows}}
    reused = [",".join([row[0], row[1], str(int(row[2]) - first[row[0]]), row[3]]) for row in rows]
    (tmp_path / "t.csv").write_text("\n".join([lines[0], *reused]) + "\n", "utf-8")

    own = analyse(str(ORACLE / "m02_split_plot.csv"), *COLUMNS, "--block", "seed", "--json")
    told = analyse("t.csv", *COLUMNS, "--block", "seed", "--nested-in", "depth", "--json", cwd=tmp_path)

    tables = [json.loads(done.stdout)["responses"][0]["tests"] for done in (own, told)]
    assert tables[0] == tables[1]
    assert tables[0][0]["key"] == "split_plot"


def test_a_run_folder_is_analysed_by_its_own_plan(tmp_path: Path, study_path: Path, run: CommandLine, analyse: Analyse):
    study = run("study", str(study_path), "--quiet", "--workers", "0", cwd=tmp_path)
    assert study.returncode == 0, study.stderr

    text, as_json = (analyse("runs/tiny", *more, cwd=tmp_path) for more in ((), ("--json",)))
    refused = analyse("runs/tiny", "--response", "accuracy", cwd=tmp_path)

    written = (tmp_path / "runs" / "tiny" / "report" / "findings.json").read_text("utf-8")
    assert text.returncode == 0, text.stderr
    assert "4 trials in 2 of 2 cells" in text.stdout
    assert as_json.stdout == written
    assert refused.returncode == 10
    assert "brings its own analysis plan" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--response", "acuracy", "--factors", "depth"], "no column `acuracy`; did you mean `accuracy`?"),
        (["--factors", "depth"], "say which columns of t.csv mean what: --response and --factors are needed"),
        ([*COLUMNS, "--csv", "no/such/flat.csv"], "no/such/flat.csv cannot be written"),
    ],
)
def test_a_mistake_is_one_sentence_and_an_exit_code(
    tmp_path: Path, arguments: list[str], sentence: str, analyse: Analyse
):
    (tmp_path / "t.csv").write_text(GOOD, "utf-8")

    done = analyse("t.csv", *arguments, cwd=tmp_path)

    assert done.returncode == 10, done.stderr
    assert sentence in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"factors": ","}, "--response and --factors are needed"),
        ({"ordered": "depth=log3"}, "`depth=log3` is not FACTOR=log2 or FACTOR=linear"),
        ({"ordered": "depth"}, "`depth` is not FACTOR=log2"),
        ({"slope": "depth,depth"}, "--slope takes 1 to 2 different factors"),
        ({"interaction": "depth"}, "--interaction takes 2 to 3 different factors"),
        ({"primary": "2 - 1"}, "--primary (a contrast of levels) and --over"),
        ({"over": "depth"}, "--primary (a contrast of levels) and --over"),
        ({"slope": "depth", "interaction": "depth,size"}, "--slope and --interaction are two primary hypotheses"),
        ({"at": "depth=8"}, "--at holds factors at a level for --primary or --slope"),
        ({"slope": "size", "at": "depth"}, "--at: `depth` is not FACTOR=LEVEL"),
        ({"slope": "size", "at": "depth=8,depth=16"}, "--at: `depth` can be held at one level only"),
        ({"slope": "size", "at": " , "}, "--at is empty"),
        ({"slope": "size", "at": "size=8"}, "--at: the hypothesis is about `size` itself"),
        ({"alpha": 0.7}, "--alpha must lie between 0 and 0.5; got 0.7"),
        ({"margin": -1.0}, "--margin must be above 0; got -1"),
        ({"margin": float("nan")}, "--margin must be above 0; got nan"),
    ],
)
def test_options_that_contradict_each_other_are_told(options: dict[str, Any], sentence: str):
    with pytest.raises(AnalysisError) as error:
        Plan(**{"response": "accuracy", "factors": "depth,size"} | options).question("t.csv")
    assert sentence in str(error.value)


def test_options_become_an_analysis_plan():
    plan = Plan("accuracy", "depth, size", "seed", "depth=log2, size=linear", "logit", slope="depth", margin=0.02)
    asked = plan.question("t.csv")
    assert (asked.factors, asked.block) == (("depth", "size"), "seed")
    assert asked.ordered == {"depth": "log2", "size": "linear"}
    assert asked.analysis == AnalysisSpec(
        response="accuracy", scale="logit", primary=Hypothesis(slope=("depth",)), equivalence_margin=0.02
    )


def test_a_level_is_that_of_the_table_however_it_is_typed(tmp_path: Path):
    table = tmp_path / "t.csv"
    rows = [f"{depth},{size},{seed},0.{depth}{seed}" for depth in (8, 16) for size in ("1", "x") for seed in "123"]
    table.write_text("\n".join(["depth,size,seed,accuracy", *rows]) + "\n", "utf-8")

    def primary(at: str) -> Hypothesis | None:
        plan = Plan("accuracy", "depth,size", "seed", primary="16 - 8", over="depth", at=at)
        return read_table(table, plan.question("t.csv")).analysis.primary

    assert primary("size=1") == Hypothesis(contrast="16 - 8", over="depth", at={"size": "1"})
    with pytest.raises(AnalysisError, match="`size` has no level 3; there is `1`, `x`"):
        primary("size=3")
    with pytest.raises(AnalysisError, match="names `width`, which is no factor"):
        primary("width=3")


def test_a_source_that_is_not_there_is_told(tmp_path: Path, analyse: Analyse):
    done = analyse("nowhere.csv", *COLUMNS, cwd=tmp_path)

    assert done.returncode == 10
    assert done.stderr == "error: there is no `nowhere.csv`; name a CSV file or a run folder such as runs/entr.\n"


def test_a_test_size_brings_the_log_odds_beside_the_accuracies(analyse: Analyse):
    case = str(ORACLE / "c08_near_ceiling.csv")
    done = analyse(case, *COLUMNS, *INDEPENDENT, "--test-size", "n_test", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["responses"][0]
    by_key = {table["key"]: table["rows"] for table in found["other_scale"]["tests"]}
    r = json.loads((ORACLE / "c08_near_ceiling.json").read_text("utf-8"))["results"]["binomial_glm"]
    for row, record in zip(by_key["logit:quasi_binomial_type3"], r["quasi_F_type3"], strict=False):
        assert row["statistic"] == pytest.approx(record["F"], rel=1e-8)
    assert [component["name"] for component in found["variance"]["components"]] == ["seed", "examples"]
    assert found["variance"]["mean_examples"] == 10000


@pytest.mark.parametrize(
    ("size", "sentence"),
    [("depth2", "has no column `depth2`"), ("7", "no whole number"), ("accuracy", "no number of examples")],
)
def test_a_test_size_that_does_not_fit_is_told(size: str, sentence: str, analyse: Analyse):
    done = analyse(str(ORACLE / "c08_near_ceiling.csv"), *COLUMNS, "--test-size", size)
    assert done.returncode != 0
    assert sentence in " ".join(done.stderr.split())


def test_the_null_rate_and_this_installation_stand_in_text_and_json(analyse: Analyse):
    done = analyse(PAIRED, *COLUMNS, *SLOPE)
    assert "In 20,000 simulated studies of this design without an effect" in " ".join(done.stdout.split())

    found = json.loads(analyse(PAIRED, *COLUMNS, *SLOPE, "--json").stdout)
    assert found["null_rate"]["rate"] == pytest.approx(0.05, abs=0.006)
    assert found["null_rate"]["interval"]["low"] < found["null_rate"]["rate"]
    assert found["self_check"]["failed"] == []
    assert found["self_check"]["worst_error"] < 1e-8


MARKED = "\ufeffdepth, seed ,accuracy\n08, a, 0.5\n8,b,0.62\n16,a,0.7\n\n,,\n16.0,b,0.9\n"


def test_an_r_script_reads_the_table_by_its_place_beside_it(tmp_path: Path, analyse: Analyse):
    (tmp_path / "data").mkdir()
    (tmp_path / "r").mkdir()
    table, script = tmp_path / "data" / "my results.csv", tmp_path / "r" / "check.R"
    table.write_text(MARKED, "utf-8")
    columns = ["--response", "accuracy", "--factors", "depth", "--block", "seed"]
    done = analyse(str(table), *columns, "--r-script", str(script))
    assert done.returncode == 0, done.stderr
    text = script.read_text("utf-8")
    assert 'read.csv("../data/my results.csv"' in text
    assert 'fileEncoding = "UTF-8-BOM"' in text
    assert 'texts = c("08", "8", "16", "16.0")' in text
    assert 'study$block <- "seed"' in text


@pytest.mark.r
def test_r_computes_the_same_from_a_table_with_spaces_and_marks(tmp_path: Path, analyse: Analyse):
    rscript = shutil.which("Rscript")
    if rscript is None:
        pytest.skip("needs Rscript")
    table, script = tmp_path / "t.csv", tmp_path / "t.R"
    table.write_text(MARKED, "utf-8")
    columns = ["--response", "accuracy", "--factors", "depth", "--block", "seed"]
    done = analyse(
        str(table), *columns, "--primary", "8.0 - 16.0", "--over", "depth", "--json", "--r-script", str(script)
    )
    found = json.loads(done.stdout)
    # Only the t test is of interest here, which needs no package.
    text = script.read_text("utf-8").replace("suppressPackageStartupMessages(library(afex))", "")
    script.write_text(text.replace("\nrm_anova(d)\n", "\n"), "utf-8")
    computed = subprocess.run([rscript, str(script)], capture_output=True, text=True, check=False)
    assert computed.returncode == 0, computed.stderr
    (line,) = [line for line in computed.stdout.splitlines() if line.startswith('"accuracy","effects","primary","p",')]
    assert float(line.rpartition(",")[2]) == pytest.approx(found["responses"][0]["effects"][0]["p"], rel=1e-8)


def test_a_run_has_its_script_already(tmp_path: Path, analyse: Analyse):
    done = analyse(str(tmp_path), "--r-script", str(tmp_path / "x.R"))
    assert done.returncode == AnalysisError.exit_code
    assert "--r-script is for tables" in done.stderr
