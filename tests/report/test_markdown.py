"""The report as a page of Markdown."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from cnnbench.errors import StoreError
from cnnbench.report import format as format_
from cnnbench.report.markdown import escaped, render_markdown, write_markdown

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.types import StudyView


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40))
def test_text_means_itself_in_a_table(text: str):
    html = MarkdownIt("commonmark").enable("table").render(f"| a |\n|---|\n| x{escaped(text)}x |\n")
    assert html.count("<td>") == 1
    assert "<a " not in html
    assert "<em>" not in html
    assert "<code>" not in html


def test_the_page_holds_finding_claims_tables_and_its_figures(full: StudyView, tmp_path: Path):
    page = write_markdown(full, (), tmp_path)
    text = page.read_text("utf-8")
    assert page.name == f"{full.name}.md" if full.profile is None else f"{full.name}-{full.profile}.md"
    assert escaped(full.findings.responses[0].headline) in text
    shown = set(re.findall(r"\]\((figures/[^)]+\.svg)\)", text))
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.svg")}
    assert shown == written
    assert shown
    assert "\n\n\n" not in text


def test_every_row_of_a_table_has_as_many_cells_as_its_head(full: StudyView):
    text, _ = render_markdown(full, (), "x")
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert blocks
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_what_a_finding_depends_on_stands_below_it(full: StudyView):
    text, _ = render_markdown(full, (), "x")
    notes = [note for found in full.findings.responses for note in found.notes]
    assert notes
    assert all(f"\n- {escaped(format_.sentence(note))}\n" in text for note in notes)


def test_figures_of_an_earlier_page_go(full: StudyView, tmp_path: Path):
    page = write_markdown(full, (), tmp_path)
    old = tmp_path / "figures" / page.stem / "old.svg"
    old.write_text("<svg/>")
    write_markdown(full, (), tmp_path)
    assert not old.exists()


def test_an_exploratory_study_says_so(full: StudyView):
    changed = replace(full, findings=replace(full.findings, confirmatory=False))
    assert "**Exploratory.**" in render_markdown(changed, (), "x")[0]


def test_a_folder_that_cannot_be_made_is_told(full: StudyView, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="make room or permit"):
        write_markdown(full, (), tmp_path / "file" / "inside")


def test_names_that_would_break_out_of_the_page_do_not(hostile: StudyView):
    html = MarkdownIt("commonmark").enable("table").render(render_markdown(hostile, (), "x")[0])
    assert "<script" not in html
