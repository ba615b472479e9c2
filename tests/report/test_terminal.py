"""What the terminal says at the end of a study."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from cnnbench.report import terminal_summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.types import StudyView


def printed(view: StudyView, *, colour: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=colour, color_system="truecolor" if colour else None)
    for part in terminal_summary(view):
        console.print(part)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["full", "one_trial_each", "hostile"])
def test_no_line_is_longer_than_80_columns(request: pytest.FixtureRequest, name: str):
    assert max(map(len, printed(request.getfixturevalue(name)).splitlines())) <= 80


def test_the_finding_comes_first_and_effects_have_intervals_and_verdicts(full: StudyView):
    text = printed(full)
    assert text.startswith("Starting on small images (gradual) raised total accuracy")
    row = next(line for line in text.splitlines() if "gradual - none" in line)
    assert "0.0118" in row
    assert "[0.0024, 0.0212]" in row
    assert "different" in row


def test_tests_refusals_exclusions_and_failures_are_told(full: StudyView):
    text = " ".join(printed(full).split())
    assert "depth \N{MULTIPLICATION SIGN} regime" in text
    assert "no error term is left for it. add a replicate." in text
    assert "Cells not run: 1 infeasible" in text
    assert "1 trial failed" in text
    assert "9 further contrasts, exploratory" in text


def test_without_colour_there_is_no_escape_sequence(full: StudyView):
    assert "\x1b" not in printed(full)
    assert "\x1b" in printed(full, colour=True)


def test_names_are_not_read_as_markup(hostile: StudyView):
    assert "[bold]b[/]" in printed(hostile).replace("\n", "")


def test_exploratory_findings_say_so_first(make_view: Callable[..., StudyView]):
    assert printed(make_view(findings={"confirmatory": False})).startswith("Exploratory")


def test_a_study_without_an_analysed_trial_says_so(make_view: Callable[..., StudyView]):
    assert "No trial has been analysed" in printed(make_view(findings={"responses": ()}))


def test_many_failures_are_counted_not_listed(full: StudyView):
    text = printed(replace(full, failures=full.failures * 30))
    assert "30 trials failed" in text
    assert "and 25 more" in text


def test_the_primary_hypothesis_of_further_responses_is_told(full: StudyView):
    also = [effect for found in full.findings.responses[1:] for effect in found.effects if effect.key == "primary"]
    text = " ".join(printed(full).split())
    assert also
    assert all(f"{effect.sentence} {str(effect.verdict).capitalize()}." in text for effect in also)
