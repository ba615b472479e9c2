"""What `write_report` leaves on disk."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pandas as pd
import pytest

from cnnbench.errors import StoreError
from cnnbench.report import export, write_report
from cnnbench.report import write as write_module
from cnnbench.types import Factor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cnnbench.types import Section, StudyView


@pytest.fixture(scope="module")
def written(full: StudyView, section: Section, tmp_path_factory: pytest.TempPathFactory):
    directory = tmp_path_factory.mktemp("report")
    write_report(full, [section], directory)
    return directory


def test_the_page_and_its_companions_are_written(written: Path):
    assert {path.name for path in written.iterdir()} == {
        "index.html",
        "trials.csv",
        "findings.json",
        "figures",
        ".made-from",
    }


def test_the_path_of_the_page_is_returned(one_trial_each: StudyView, tmp_path: Path):
    assert write_report(one_trial_each, [], tmp_path / "new" / "report") == tmp_path / "new" / "report" / "index.html"


def test_every_figure_is_an_svg_and_a_pdf(written: Path):
    svgs = {path.stem for path in (written / "figures").glob("*.svg")}
    pdfs = {path.stem for path in (written / "figures").glob("*.pdf")}
    assert svgs == pdfs
    assert {"total-accuracy-effects", "total-accuracy-cells", "curves-validation-accuracy", "section-anatomy"} <= svgs
    for path in (written / "figures").glob("*.svg"):
        assert ET.fromstring(path.read_text("utf-8")).tag.endswith("svg")  # noqa: S314 - our own file
    assert all(path.read_bytes().startswith(b"%PDF") for path in (written / "figures").glob("*.pdf"))


def test_the_csv_is_the_trials_table(written: Path, full: StudyView):
    read = pd.read_csv(written / "trials.csv", dtype=str, keep_default_na=False)
    assert list(read.columns) == list(full.trials.columns)
    assert [float(text) for text in read["total-accuracy"]] == full.trials["total-accuracy"].tolist()
    assert read["id"].tolist() == full.trials["id"].tolist()


def test_the_json_holds_every_number_at_full_precision(written: Path, full: StudyView):
    document = json.loads((written / "findings.json").read_text("utf-8"))
    first = full.findings.responses[0]
    stored = document["responses"][0]
    assert [effect["estimate"] for effect in stored["effects"]] == [effect.estimate for effect in first.effects]
    assert [effect["p"] for effect in stored["effects"]] == [effect.p for effect in first.effects]
    assert [cell["mean"] for cell in stored["cells"]] == [cell.mean for cell in first.cells]
    assert stored["tests"][0]["rows"][0]["p"] == first.tests[0].rows[0].p


def test_the_json_has_the_documented_keys(written: Path):
    document = json.loads((written / "findings.json").read_text("utf-8"))
    assert list(document) == [
        "format",
        "profile",
        "study",
        "question",
        "alpha",
        "confirmatory",
        "responses",
        "exclusions",
        "references",
        "claims",
        "versions",
        "null_rate",
        "self_check",
        "look",
        "stages",
    ]
    assert document["format"] == export.FORMAT


def test_what_json_cannot_say_becomes_null(full: StudyView):
    first = full.findings.responses[0]
    odd = replace(first.effects[0], statistic=math.nan, df=math.inf)
    findings = replace(full.findings, responses=(replace(first, effects=(odd,)),))
    effect = json.loads(export.findings_json(replace(full, findings=findings)))["responses"][0]["effects"][0]
    assert (effect["statistic"], effect["df"]) == (None, None)


def test_a_csv_read_back_gives_the_same_floats(make_view: Callable[..., StudyView]):
    view = make_view()
    rows = list(csv.DictReader(io.StringIO(export.trials_csv(view.trials))))
    assert [float(row["train_s"]) for row in rows] == view.trials["train_s"].tolist()


@pytest.mark.usefixtures("_drawn_anew")
def test_the_same_view_gives_the_same_bytes(one_trial_each: StudyView, tmp_path: Path):
    for name in ("first", "second"):
        write_report(one_trial_each, [], tmp_path / name)
    names = sorted(path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*.*"))
    assert names == sorted(path.relative_to(tmp_path / "second") for path in (tmp_path / "second").rglob("*.*"))
    different = [
        name for name in names if (tmp_path / "first" / name).read_bytes() != (tmp_path / "second" / name).read_bytes()
    ]
    assert different == []


def test_figures_of_an_earlier_report_are_removed_and_other_files_stay(one_trial_each: StudyView, tmp_path: Path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "old.svg").write_text("<svg/>")
    (tmp_path / "notes.txt").write_text("mine")
    write_report(one_trial_each, [], tmp_path)
    assert not (tmp_path / "figures" / "old.svg").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_a_sentence_with_a_remedy(one_trial_each: StudyView, tmp_path: Path):
    (tmp_path / "report").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match=r"cannot be written .*; make room or permit writing there"):
        write_report(one_trial_each, [], tmp_path / "report")


def test_a_failed_write_leaves_the_old_page_and_no_temporary_file(
    one_trial_each: StudyView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    page = write_report(one_trial_each, [], tmp_path)
    before = page.read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full_disk)
    with pytest.raises(StoreError, match="No space left on device"):
        write_report(one_trial_each, [], tmp_path)
    assert page.read_bytes() == before
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_a_report_that_is_up_to_date_is_left_as_it_is_and_any_other_is_made_again(
    tmp_path: Path, make_view: Callable[..., StudyView], monkeypatch: pytest.MonkeyPatch
):
    view = make_view((Factor("regime", ("none", "gradual")),), 2)
    page = write_report(view, [], tmp_path)
    whole = page.read_bytes()
    drawn: list[StudyView] = []
    render = write_module.render_page
    monkeypatch.setattr(
        write_module, "render_page", lambda seen, sections: drawn.append(seen) or render(seen, sections)
    )

    write_report(view, [], tmp_path, reuse=True)
    assert drawn == []
    (tmp_path / "trials.csv").unlink()
    write_report(view, [], tmp_path, reuse=True)
    changed = replace(view, question="Another?")
    write_report(changed, [], tmp_path, reuse=True)
    write_report(view, [], tmp_path)

    assert len(drawn) == 3
    assert page.read_bytes() == whole
