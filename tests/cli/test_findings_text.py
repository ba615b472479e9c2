"""Findings in a terminal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from cnnbench.cli.findings_text import findings_text
from cnnbench.spec import AnalysisSpec, Hypothesis
from cnnbench.stats import TableQuestion, analyse, read_table
from cnnbench.types import Findings

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
