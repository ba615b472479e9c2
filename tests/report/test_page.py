"""What a reader of the page meets."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from cnnbench.report import format as fmt
from cnnbench.report.page import render_page
from cnnbench.report.tables import term
from cnnbench.types import Exclusion, Figure, Interval, NullRate, Section, SelfCheck, TestRow, TestTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.types import StudyView

_VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """The page as its reader's browser sees it; fails where tags do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.scripts: dict[str, str] = {}
        self._script = ""
        self.feed(html)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "script":
            self._script = dict(attrs).get("id") or f"script-{len(self.scripts)}"
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
        self.tags.add(tag)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str):
        assert self.open.pop() == tag

    def handle_data(self, data: str):
        if self.open and self.open[-1] == "script":
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
        elif "style" not in self.open:
            self.texts.append(data)
            if "td" in self.open or "th" in self.open:
                self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def html(full: StudyView, section: Section):
    return render_page(full, [section])[0]


@pytest.fixture(scope="module")
def page(html: str):
    return Page(html)


def test_nothing_is_loaded_from_elsewhere(html: str, page: Page):
    loads = [(tag, name, value) for tag, name, value in page.attributes if name in {"src", "data", "poster", "srcset"}]
    links = [value for _, name, value in page.attributes if name in {"href", "xlink:href"}]
    style = html[html.index("<style>") : html.index("</style>")]
    assert loads == []
    assert not [link for link in links if re.match(r"(?i)[a-z]+:|//", link)]
    assert not re.search(r"@import|url\(", style)
    assert "default-src 'none'" in html


def test_the_page_stays_small(html: str):
    assert len(html.encode()) < 3_000_000


def test_every_estimate_is_printed_with_its_interval(full: StudyView, page: Page):
    for found in full.findings.responses:
        for effect in found.effects:
            rows = [row for row in page.rows if row and row[0] == effect.label]
            printed = {value for row in rows for value in row}
            value = effect.ratio if found.scale == "log" else effect.estimate
            interval = effect.ratio_interval if found.scale == "log" else effect.interval
            assert any(fmt.number(value, places) in printed for places in range(2, 6))
            assert any(fmt.interval_text(interval, places) in printed for places in range(2, 6))


def test_the_headline_and_every_test_stand_on_the_page(full: StudyView, page: Page):
    for found in full.findings.responses:
        assert found.headline in page.text
        for table in found.tests:
            for row in table.rows:
                named = [values for values in page.rows if values and values[0] == term(row.term)]
                shown = {fmt.statistic(row.statistic), fmt.p_value(row.p)}
                assert any(shown <= set(values) for values in named)


def test_refusals_exclusions_and_failures_come_with_reasons(page: Page):
    assert "no error term is left for it" in page.text
    assert "block 4 gets an image of 0 x 0 px" in page.text
    assert "Diverged: the loss became NaN in epoch 3" in page.text


def test_the_cost_table_says_which_seconds_lack_the_features_of_frozen_layers(full: StudyView):
    def text(reused: list[bool]) -> str:
        trials = full.trials.assign(features_reused=reused)
        return Page(render_page(replace(full, trials=trials), [])[0]).text

    num = len(full.trials)
    assert "took the features of frozen layers" not in text([False] * num)
    assert f"{num - 1} trials took the features of frozen layers from an earlier trial" in text(
        [False] + [True] * (num - 1)
    )


def test_claims_and_published_numbers_stand_beside_ours(page: Page):
    assert "Progressive resizing reduces training time without loss of accuracy." in page.text
    published = [row for row in page.rows if row and row[0].startswith("Wanger")]
    assert [row[3] for row in published] == ["0.885", "0.971"]
    assert published[1][4] == "no such cell"


def test_tests_that_decide_nothing_are_folded_away_but_there(make_view: Callable[..., StudyView]):
    row = TestRow("regime at depth 8", 7.25, 2.0, 8.0, 0.0159)
    table = TestTable("simple_effects", "Simple effects of regime", "F within each level of depth.", (row,))
    page = Page(render_page(make_view(found={"further_tests": (table,)}), [])[0])
    printed = next(cells for cells in page.rows if cells and cells[0] == "regime at depth 8")
    assert "7.25" in printed
    assert "0.016" in printed


RATE = NullRate(
    response="total-accuracy",
    effect="gradual - none",
    method="one-sample t over the per-seed values of 5 replicates",
    alpha=0.05,
    studies=20_000,
    rejected=380,
    rate=0.019,
    interval=Interval(0.0172, 0.021),
    verdict="conservative",
    coverage=0.981,
    robust_rate=None,
    robust_method="",
    pair_rate=None,
    pair_method="",
    sentence="In 20,000 simulated studies of this design without an effect, the primary test rejected in 1.9 %.",
)
CHECK = SelfCheck("R 4.2.2", 8, 668, 3e-12, "balanced: ats depth p", (), 4.4, 4, "Against R 4.2.2 on 668 figures.")


def test_the_null_rate_stands_with_what_it_was_measured_on(make_view: Callable[..., StudyView]):
    html = render_page(make_view(findings={"null_rate": RATE}), [])[0]
    assert RATE.sentence.replace(" %", "\N{NO-BREAK SPACE}%") in html
    assert f"Measured test: {RATE.method}." in Page(html).text
    assert f'<p class="notice" role="note">{RATE.sentence[:40]}' in html
    pair = replace(RATE, pair_rate=0.03, pair_method="ANOVA-type statistic")
    shared = Page(render_page(make_view(findings={"null_rate": pair}), [])[0]).text
    assert "Omnibus test: ANOVA-type statistic." in shared
    calm = render_page(make_view(findings={"null_rate": replace(RATE, verdict="as declared")}), [])[0]
    assert f"<p>{RATE.sentence[:40]}" in calm


def test_the_installation_s_error_stands_in_the_provenance_and_a_wrong_one_on_top(make_view: Callable[..., StudyView]):
    good = Page(render_page(make_view(findings={"self_check": CHECK}), [])[0]).text
    assert CHECK.sentence in good
    assert "Doubtful installation" not in good
    wrong = replace(CHECK, failed=("ats depth p",))
    assert "Doubtful installation" in Page(render_page(make_view(findings={"self_check": wrong}), [])[0]).text


def test_the_r_script_is_linked_where_there_is_one(make_view: Callable[..., StudyView]):
    assert 'href="analysis.R"' in render_page(make_view(r_script="1\n"), [])[0]
    assert "analysis.R" not in render_page(make_view(), [])[0]


def test_standardised_sizes_have_a_table_of_their_own(make_view: Callable[..., StudyView]):
    view = make_view()
    first = view.findings.responses[0]
    sized = replace(first.effects[0], hedges_g=1.234567, hedges_g_interval=Interval(-0.5, 2.9), cliffs_delta=0.16666666)
    findings = replace(view.findings, responses=(replace(first, effects=(sized, *first.effects[1:])),))
    text = Page(render_page(replace(view, findings=findings), [])[0]).text
    assert "Hedges g" in text
    assert "1.2" in text
    assert f"[{fmt.MINUS}0.5, 2.9]" in text
    assert "0.17" in text
    assert "Hedges g" not in Page(render_page(view, [])[0]).text


def test_every_trial_can_be_found_by_its_id(full: StudyView, page: Page):
    printed = {row[0] for row in page.rows if row}
    assert {identity[:12] for identity in full.trials["id"]} <= printed


def test_contents_lead_to_sections_that_exist(page: Page):
    ids = [value for _, name, value in page.attributes if name == "id"]
    targets = [value[1:] for _, name, value in page.attributes if name == "href" and value.startswith("#")]
    assert len(ids) == len(set(ids))
    assert set(targets) <= set(ids)
    assert {"finding", "certainty", "tests", "cells", "curves", "references", "cost", "provenance", "repeat"} <= set(
        ids
    )


def test_headings_do_not_skip_a_level(html: str):
    levels = [int(level) for level in re.findall(r"<h(\d)[ >]", html)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_figure_has_a_caption_and_a_description(html: str, page: Page):
    descriptions = [value for tag, name, value in page.attributes if tag == "div" and name == "aria-label"]
    assert descriptions
    assert all(descriptions)
    assert html.count("<figure") == html.count("<figcaption") == html.count("</figcaption>")


def test_levels_keep_the_order_of_the_study(full: StudyView, page: Page):
    regimes = [row[1] for row in page.rows if len(row) > 1 and row[0] == "regime" and row[1] in full.factors[2].levels]
    assert regimes == ["none", "gradual", "stepwise"] * 2  # of two responses
    specs = json.loads(page.scripts["specifications"])
    cells = json.dumps(specs["total-accuracy-cells"])
    assert '"domain": ["none", "gradual", "stepwise"]' in cells
    assert '"sort": ["textures", "digits", "shapes"]' in cells


@pytest.mark.parametrize("role", ["page", "figures"])
def test_hostile_strings_are_only_text(hostile: StudyView, role: str):
    html, drawings = render_page(hostile, [Section(hostile.name, (hostile.name,))])
    if role == "page":
        page = Page(html)
        assert hostile.name in " ".join(page.texts)
        assert not [name for _, name, _ in page.attributes if name.startswith("onerror")]
        assert "img" not in page.tags
        assert "alert" not in "".join(text for name, text in page.scripts.items() if name != "specifications")
    for drawing in drawings:
        assert "<script" not in drawing.svg
        assert "<img" not in drawing.svg
        assert drawing.key in html


def test_exploratory_findings_say_so_at_the_top(make_view: Callable[..., StudyView], page: Page):
    said = "The analysis plan was changed after the first trial."
    changed = render_page(make_view(findings={"confirmatory": False}), [])[0]
    assert said in changed
    assert changed.index(said) < changed.index('id="finding"')
    assert said not in page.text


def test_an_unfinished_study_says_so(make_view: Callable[..., StudyView]):
    view = make_view()
    found = view.findings.responses[0]
    unfinished = replace(found, audit=replace(found.audit, pending=7))
    html, _ = render_page(replace(view, findings=replace(view.findings, responses=(unfinished,))), [])
    assert "7 planned trials have not run yet" in html


def test_without_a_primary_hypothesis_the_page_says_that_nothing_is_confirmed(one_trial_each: StudyView):
    html, _ = render_page(one_trial_each, [])
    assert "No primary hypothesis." in html
    assert "with one trial per cell it is confounded with noise" in html


def test_without_any_response_there_is_still_a_page(make_view: Callable[..., StudyView]):
    view = make_view(findings={"responses": ()})
    page = Page(render_page(replace(view, curves=(), trials=view.trials.iloc[:0]), [])[0])
    assert "No trial has been analysed" in page.text


def test_missing_cells_are_named(make_view: Callable[..., StudyView]):
    skipped = {"dataset": "digits", "depth": 20, "regime": "none"}
    view = make_view(skip=[skipped], findings={"exclusions": (Exclusion(skipped, "excluded", "it was too dear"),)})
    found = view.findings.responses[0]
    gap = replace(found, audit=replace(found.audit, missing=(skipped,), min_n=0))
    html, _ = render_page(replace(view, findings=replace(view.findings, responses=(gap,))), [])
    assert "digits, depth 20, regime none" in html
    assert "it was too dear." in html


def test_a_plugin_figure_that_would_load_a_file_is_left_out_with_a_reason(one_trial_each: StudyView):
    remote = Figure("Remote.", {"data": {"url": "https://example.org/data.csv"}, "mark": "point", "encoding": {}})
    picture = {
        "data": {"values": [{"u": "https://example.org/a.png"}]},
        "mark": "image",
        "encoding": {"url": {"field": "u"}},
    }
    html, drawings = render_page(one_trial_each, [Section("Mine", figures=(remote, Figure("Picture.", picture)))])
    assert html.count("could not be drawn") == 2
    assert not [drawing for drawing in drawings if drawing.key.startswith("section")]


def test_plugin_tables_keep_strings_and_format_numbers(page: Page):
    assert ["conv1", "432"] in page.rows
    assert ["head", fmt.ABSENT] in page.rows


def test_phases_show_their_image_sizes(page: Page):
    assert ["Phase", "Epochs", "regime none", "regime gradual", "regime stepwise"] in page.rows
    assert ["clr", "1", "32", "20", "16"] in page.rows


def test_long_parts_of_the_environment_are_folded_away(html: str):
    assert "Packages: 40 entries." in html
    assert re.search(r"<th scope=\"row\">git · commit</th><td class=\"text\">8c1d2f0</td>", html)
