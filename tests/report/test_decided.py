from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cnnbench.report import format as fmt
from cnnbench.report import terminal_summary
from cnnbench.report.decided import look_table, stage_trials, standings_table
from cnnbench.report.page import render_page
from cnnbench.types import Choice, Factor, Look, StageFindings, Standing, StudyView

LOOK = Look("2026-01-01", "loss", "log", "b - a", 0.1, (0, 2, 3), 0.0123, 0.01, 17, 12, capped=True, reached=0.0119)
STANDINGS = (
    Standing(8, 5, 0, 0.91, 0.01, 0.25, 0.4, among_best=True),
    Standing(14, 5, 0, 0.92, 0.01, 0.75, 1.0, among_best=True),
    Standing(20, 5, 0, 0.7, 0.01, 0.0, 0.001, among_best=False),
    Standing(26, 0, 5, None, None, None, None, among_best=False),
)
HELD = {"dataset": "digits"}
CHOICE = Choice("now", "depth", 14, HELD, "total-accuracy", "raw", True, 0.05, (), 0.004, STANDINGS)
DEPTH = Factor("depth", (8, 14, 20), "log2")


def test_the_look_history_has_when_on_what_and_what_came_of_it():
    shown = dict(look_table(LOOK).rows)

    assert shown == {
        "Looks": "1",
        "Taken at": "2026-01-01",
        "Hypothesis": "b - a",
        "Pilot seeds that count": "3",
        "Standard deviation of the per-seed effect in the pilot": "0.01230",
        "Half width of the 90\N{NO-BREAK SPACE}% interval aimed at": "0.01000",
        "Seeds needed": "17",
        "Seeds run": "12 (the study has no more)",
        "Half width reached": "0.01190",
    }
    assert "loss (log scale)" in look_table(LOOK).caption


def test_the_levels_of_a_stage_say_how_they_stand():
    table = standings_table(CHOICE)

    assert [row[-1] for row in table.rows] == [
        "cannot be told from the best",
        "chosen",
        "worse than the best",
        "cannot be chosen",
    ]
    assert [row[5] for row in table.rows] == [f"{share}\N{NO-BREAK SPACE}%" for share in (25, 75, 0)] + [fmt.ABSENT]
    assert table.rows[3][1:3] == ("0", "5")


def a_stage(view: StudyView, choice: Choice | None, name: str = "depth") -> StageFindings:
    held = HELD if choice else {"depth": 14, **HELD}
    return StageFindings(name, held, (0, 1, 2, 3, 4), choice, ("Chosen: depth 14.",), view.findings.responses)


def test_the_page_has_a_part_for_each_stage_but_the_one_that_it_leads_with(make_view: Callable[..., StudyView]):
    view = make_view((DEPTH,))
    stages = (a_stage(view, CHOICE), a_stage(view, None, "confirm"))
    view = replace(view, findings=replace(view.findings, stages=stages, look=LOOK))
    view = replace(view, trials=view.trials.assign(dataset="digits"))

    html, drawings = render_page(view, ())

    assert '<h2 id="stages">Stage by stage</h2>' in html
    assert html.index("Depth, at dataset digits") < html.index("The levels of depth in their stage")
    assert html.count("effects, tests and cells of this stage") == len(view.findings.responses)
    assert "Look history of the two-stage rule" in html
    assert any(drawing.key.startswith("depth-total-accuracy-cells") for drawing in drawings)
    assert any(drawing.key.startswith("confirm-total-accuracy-cells") for drawing in drawings)
    assert len({drawing.key for drawing in drawings}) == len(drawings)


def test_a_page_without_stages_says_nothing_of_them(make_view: Callable[..., StudyView]):
    html, _ = render_page(make_view((DEPTH,)), ())

    assert "Stage by stage" not in html
    assert "Look history" not in html


def test_rows_of_the_last_stage_say_which_setting_they_have():
    stage = StageFindings("confirm", {"depth": 14}, (3, 4), None, (), ())
    rows = [{"depth": depth, "replicate": k} for depth in (8, 14) for k in (2, 3)]

    found = list(stage_trials(stage, rows))

    assert [(row["depth"], row["replicate"], row["setting"]) for row in found] == [
        (8, 3, "baseline"),
        (14, 3, "selected"),
    ]


def test_the_terminal_tells_each_choice_once(make_view: Callable[..., StudyView]):
    view = make_view((DEPTH,))
    stages = (a_stage(view, CHOICE), a_stage(view, CHOICE, "regime"))
    view = replace(view, findings=replace(view.findings, stages=stages))

    told = [str(getattr(part, "renderable", "")) for part in terminal_summary(view)]

    assert [text for text in told if text.startswith("Stage ")] == ["Stage depth. Chosen: depth 14."]
