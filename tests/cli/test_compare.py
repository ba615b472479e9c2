"""`cnnbench compare`, as somebody meets it who has two runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


def test_parts_of_a_run_are_compared_as_text_json_and_csv(tmp_path: Path, study_path: Path, run: CommandLine):
    done = run("study", str(study_path), "--quiet", "--workers", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    parts = ("runs/tiny:width=2", "runs/tiny:width=4")

    text = run.cold("compare", *parts, cwd=tmp_path)
    both = run("compare", *parts, "--view", "tta", "--json", "--csv", "pairs.csv", cwd=tmp_path)

    assert text.returncode == 0, text.stderr
    assert max(map(len, text.stdout.splitlines())) <= 80
    words = " ".join(text.stdout.split())
    assert words.startswith("A runs/tiny:width=2 (study tiny, 2 finished trials) B runs/tiny:width=4")
    assert "all of it is exploratory" in words
    assert "it says nothing about what training them again would give" in words
    assert "Right answers to the same validation examples, in percent" in words

    found = json.loads(both.stdout)
    assert (found["format"], found["alpha"]) == (1, 0.05)
    assert [source["selected"] for source in found["sources"]] == [{"width": [2]}, {"width": [4]}]
    assert [(group["cell"], group["replicate"], group["view"]) for group in found["groups"]] == [
        ({}, replicate, "tta") for replicate in (0, 1)
    ]
    assert found["retraining"][0]["paired"]
    with (tmp_path / "pairs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    pairs = [group["found"]["pairs"][0] for group in found["groups"]]
    assert [float(row["p_exact"]) for row in rows] == [pair["p_exact"] for pair in pairs]
    assert [row["replicate"] for row in rows] == ["0", "1"]
    shares = [[each["share"] for each in group["found"]["accuracies"]] for group in found["groups"]]
    assert [[float(row["first_share"]), float(row["second_share"])] for row in rows] == shares


def test_a_mistake_is_one_sentence_and_an_exit_code(tmp_path: Path, run: CommandLine):
    done = run("compare", "nowhere", "either", cwd=tmp_path)

    assert done.returncode == 7
    assert done.stderr == ("error: nowhere is no run folder of cnnbench (it has no plan.json); run a study first.\n")
