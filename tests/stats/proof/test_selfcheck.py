"""The installation held against R and NIST."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from cnnbench.stats.proof import selfcheck
from cnnbench.stats.proof.selfcheck import check_installation, checked_cases, summarise_checks


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_cases", Path(__file__).with_name("make_cases.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cases() -> list[selfcheck.CheckedCase]:
    return checked_cases()


def test_the_packaged_cases_are_those_of_the_oracle():
    assert selfcheck._CASES.read_text("utf-8") == generator().text(), "run `python tests/stats/proof/make_cases.py`"


def test_this_installation_computes_what_r_computes(cases: list[selfcheck.CheckedCase]):
    found = summarise_checks(cases)
    assert found.failed == ()
    assert found.worst_error < 1e-10
    assert found.figures > 600
    assert found.certified_digits > 4
    assert f"on {found.figures} figures of {found.cases} cases" in found.sentence


def test_a_figure_that_differs_is_found_and_named(cases: list[selfcheck.CheckedCase], monkeypatch):
    document = selfcheck._document()
    figure = document["cases"][1]["figures"][0]
    figure[3] *= 1 + 1e-7
    document["cases"] = document["cases"][1:2]
    monkeypatch.setattr(selfcheck, "_document", lambda: document)
    (case, *_) = checked_cases()
    assert case.failed == (" ".join(figure[:3]),)
    assert case.worst_error == pytest.approx(1e-7, rel=1e-4)
    found = summarise_checks([case, *cases[-4:]])
    assert found.failed == (f"unbalanced: {case.failed[0]}",)
    assert "may be wrong" in found.sentence


def test_a_figure_that_is_not_computed_counts_as_wrong(monkeypatch):
    document = selfcheck._document()
    document["cases"] = [document["cases"][5] | {"figures": [["anova_type3", "depth", "p", 0.5]]}]
    monkeypatch.setattr(selfcheck, "_document", lambda: document)
    assert checked_cases()[0].failed == ("anova_type3 depth p",)


@pytest.mark.parametrize(
    ("ours", "theirs", "field", "error", "passes"),
    [
        (1.0 + 1e-9, 1.0, "p", 1e-9, True),
        (1.0 + 1e-7, 1.0, "p", 1e-7, False),
        (2e-30, 1e-30, "p", 0.01003, False),
        (1.00001e-30, 1e-30, "p", 1.4476e-7, True),
        (0.3 + 5e-7, 0.3, "classical_p_tukey", 5e-7, True),
        (0.0, 0.0, "estimate", 0.0, True),
    ],
)
def test_errors_are_relative_but_for_tiny_p_values_and_tukey(ours, theirs, field, error, passes):
    found, tolerance = selfcheck._error(ours, theirs, field)
    assert found == pytest.approx(error, rel=1e-3, abs=1e-15)
    assert (found <= tolerance) == passes


def test_the_check_is_made_once_for_all_versions(cases: list[selfcheck.CheckedCase], tmp_path: Path, monkeypatch):
    monkeypatch.setattr(selfcheck, "checked_cases", lambda: cases)
    first = check_installation(tmp_path)
    monkeypatch.setattr(selfcheck, "checked_cases", lambda: pytest.fail("computed again"))
    assert check_installation(tmp_path) == first
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text())["figures"] == first.figures
    monkeypatch.setattr(selfcheck, "version", lambda _: "99.0")
    monkeypatch.setattr(selfcheck, "checked_cases", lambda: cases)
    check_installation(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
