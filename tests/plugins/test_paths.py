"""Paths in study files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cnnbench_plugins.paths import expand_path

from cnnbench.errors import DataError


def test_a_plain_path_stays():
    assert expand_path("data/steel") == Path("data/steel")


def test_variables_and_the_home_folder_are_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("CNNBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert expand_path("${CNNBENCH_DATA}/steel/a.zip") == tmp_path / "steel" / "a.zip"
    assert expand_path("~/a.zip") == tmp_path / "home" / "a.zip"


@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_variable_is_named_with_what_it_should_point_to(monkeypatch: pytest.MonkeyPatch, value: str | None):
    monkeypatch.delenv("CNNBENCH_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("CNNBENCH_DATA", value)
    sentence = (
        "the study's path `${CNNBENCH_DATA}/steel/a.zip` needs the environment variable CNNBENCH_DATA, which is not "
        "set; set it to the folder that holds `steel/a.zip`."
    )
    with pytest.raises(DataError, match=re.escape(sentence)):
        expand_path("${CNNBENCH_DATA}/steel/a.zip")
