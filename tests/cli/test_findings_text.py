"""Findings in a terminal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from cnnbench.cli.findings_text import findings_text
from cnnbench.spec import AnalysisSpec, Hypothesis
from cnnbench.stats import TableQuestion, analyse, read_table
from cnnbench.types import Exclusion, Findings

ORACLE = Path(__file__).parent.parent / "stats" / "oracle"


def findings(case: str, **plan: object) -> Findings:
    table = next(ORACLE.glob(f"{case}_*.csv"))
    return analyse(read_table(table, TableQuestion(("depth", "size"), AnalysisSpec(response="accuracy", **plan))))


def printed(found: Findings) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        for part in findings_text(found):
            console.print(part)
    return capture.get()


def test_on_the_log_scale_effects_are_ratios():
    found = findings("c01", scale="log", primary=Hypothesis(contrast="4 - 1", over="depth"))
    lines = printed(found).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Declared hypotheses"))
    assert lines[start + 2].split()[:2] == ["Effect", "Ratio"]
    ratio = found.responses[0].effects[0].ratio
    assert lines[start + 4].split()[:4] == ["4", "-", "1", f"{ratio:.3f}"]


def test_cells_that_were_not_run_are_named_with_their_reason():
    excluded = Exclusion({"depth": 4, "size": 128}, "infeasible", "the images vanish in block 4")
    text = " ".join(printed(replace(findings("c01"), exclusions=(excluded,))).split())
    assert "Not run (infeasible): depth 4, size 128. The images vanish in block 4." in text


def test_every_table_refusal_and_note_is_there():
    found = findings("c04")
    (response,) = found.responses
    text = " ".join(printed(found).split())
    for table in (*response.tests, *response.further_tests):
        assert table.title in text
    for refusal in response.refusals:
        assert f"Refused: {refusal.what}." in text
    for note in response.notes:
        assert note in text


def test_several_responses_are_named():
    found = findings("c01")
    (one,) = found.responses
    text = printed(replace(found, responses=(one, replace(one, response="loss"))))
    assert text.startswith("accuracy")
    assert "\nloss" in text


def test_what_looks_like_markup_is_text():
    found = findings("c01")
    (one,) = found.responses
    assert "[bold]x[/]" in printed(replace(found, responses=(replace(one, headline="[bold]x[/]"),)))


def blocks(case: str, response: str, block: str) -> Findings:
    question = TableQuestion(("model",), AnalysisSpec(response=response), block)
    return analyse(read_table(next(ORACLE.glob(f"{case}_*.csv")), question))


def test_mean_ranks_are_printed_best_first():
    lines = printed(blocks("c13", "accuracy", "dataset")).splitlines()
    start = next(i for i, line in enumerate(lines) if line.split() == ["model", "Mean", "rank"])
    assert [line.split() for line in lines[start + 2 : start + 7]] == [
        ["m4", "1.70"],
        ["m3", "1.90"],
        ["m2", "3.55"],
        ["m0", "3.75"],
        ["m1", "4.10"],
    ]
    assert "Not told apart: m4, m3, m2; m3, m2, m0; m2, m0, m1." in [line.strip() for line in lines]


def test_right_answers_are_printed_with_their_intervals_and_pairs():
    text = printed(blocks("c12", "correct", "example"))
    words = " ".join(text.split())
    assert "Right answers to 400 examples Classifier Right Share 95 % interval" in words
    assert "m4 310 0.775 [0.732, 0.813]" in words
    assert "41 : 80" in words
    assert max(map(len, text.splitlines())) <= 80
