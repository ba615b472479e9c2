from __future__ import annotations

import json
from pathlib import Path

import pytest

from cnnbench.errors import StoreError
from cnnbench.store import RunFolder, StoredDecision, add_decision, read_decisions, trials_fingerprint
from cnnbench.types import Choice, Look, Standing

LOOK = Look("2026-01-01T00:00:00+00:00", "loss", "log", "b - a", 0.05, (0, 2), 0.125, 0.1, 7, 8, capped=False)
STANDINGS = (
    Standing("größer", 3, 0, 0.5, 0.25, 0.875, 1.0, among_best=True),
    Standing(False, 0, 3, None, None, None, None, among_best=False),
)
CHOICE = Choice("now", "regime", "größer", {"depth": 8}, "accuracy", "raw", True, 0.05, (), 0.01, STANDINGS)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "run")
    made.create()
    return made


def test_decisions_come_back_as_they_were_taken(folder: RunFolder):
    stored = [StoredDecision(LOOK, "a" * 64, "b" * 64), StoredDecision(CHOICE, "c" * 64, "d" * 64)]
    assert read_decisions(folder) == ()

    for one in stored:
        add_decision(folder, one)

    assert read_decisions(folder) == tuple(stored)


@pytest.mark.parametrize(
    ("key", "value"),
    [("declared_sha256", "0" * 64), ("kind", "level"), ("decision", {}), ("sha256", "0" * 64), ("sha256", None)],
)
def test_a_decision_that_was_changed_is_refused(folder: RunFolder, key: str, value: object):
    add_decision(folder, StoredDecision(LOOK, "a" * 64, "b" * 64))
    document = folder.read_json("decisions.json")
    document["decisions"][0][key] = value
    (folder.path / "decisions.json").write_text(json.dumps(document), "utf-8")

    with pytest.raises(StoreError, match=r"decisions\.json is not as it was written; restore it, or .* --fresh"):
        read_decisions(folder)


@pytest.mark.parametrize("text", ["[]", "{}", '{"decisions": 3}', '{"decisions": ["x"]}'])
def test_anything_else_is_refused_in_a_sentence(folder: RunFolder, text: str):
    (folder.path / "decisions.json").write_text(text, "utf-8")

    with pytest.raises(StoreError, match="is not as it was written"):
        read_decisions(folder)


def test_emptying_a_folder_forgets_what_was_decided(folder: RunFolder):
    add_decision(folder, StoredDecision(LOOK, "a" * 64, "b" * 64))

    folder.empty()

    assert read_decisions(folder) == ()


def test_the_fingerprint_of_trials_does_not_depend_on_their_order():
    assert trials_fingerprint(["a", "b"]) == trials_fingerprint(["b", "a"]) != trials_fingerprint(["a"])
