"""`cnnbench selfcheck`."""

from __future__ import annotations

import json

import pytest

from cnnbench.cli import selfcheck
from cnnbench.stats.proof.selfcheck import CheckedCase

GOOD = CheckedCase("balanced", 10, 2e-13, "anova_type3 depth p", ())
NIST = CheckedCase("NIST SmLs01", 1, 3e-16, "anova_type3 group statistic", (), 15.0)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(selfcheck, "checked_cases", lambda: [GOOD, NIST])


@pytest.mark.usefixtures("quick")
def test_it_prints_every_case_and_the_worst_error(capsys):
    assert selfcheck.print_selfcheck(as_json=False) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "balanced 10 2.0e-13 anova_type3 depth p" in text
    assert "on 10 figures of 1 cases the worst relative error of this installation is 2.0e-13" in text


@pytest.mark.usefixtures("quick")
def test_the_json_has_the_summary_and_every_case(capsys):
    assert selfcheck.print_selfcheck(as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["worst_error"] == 2e-13
    assert [case["name"] for case in found["by_case"]] == ["balanced", "NIST SmLs01"]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_wrong_figure_is_named_and_the_exit_code_tells(monkeypatch, capsys, *, as_json: bool):
    wrong = CheckedCase("unbalanced", 5, 0.1, "ats depth p", ("ats depth p",))
    monkeypatch.setattr(selfcheck, "checked_cases", lambda: [GOOD, wrong, NIST])
    assert selfcheck.print_selfcheck(as_json=as_json) == selfcheck.BEYOND_TOLERANCE == 13
    assert "unbalanced: ats depth p" in capsys.readouterr().out
