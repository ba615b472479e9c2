from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cnnbench.cli.app import app
from cnnbench.cli.doctor import EXIT_FAULT_FOUND, checkup_json, checkup_text
from cnnbench.types import Checkup, Diagnosis

FAULT = Diagnosis(
    "same-image-across-parts",
    "Same images in several parts",
    "digits",
    "fault",
    "5 of 100 held-out images have a copy in the training part.",
    "Keep one image of each picture.",
    ("a.png = b.png (identical)",),
    {"leaked": 5},
)
WARNING = Diagnosis("image-size", "Images as large as the study asks", "digits", "warning", "All are enlarged.", "No.")
OK = Diagnosis("first-loss", "First loss close to ln K", "depth 8", "ok", "First loss 2.31; ln 10 is 2.303.")
IDLE = Diagnosis("earlier-trials", "Earlier trials", "runs/x", "not applicable", "The study has not been run yet.")


def printed(*diagnoses: Diagnosis) -> str:
    console = Console(width=80, record=True, quiet=True)
    console.quiet = False
    with console.capture() as capture:
        for part in checkup_text(Checkup("entr", "Is it so?", "real", diagnoses)):
            console.print(part)
    return capture.get()


def test_the_verdict_comes_first_then_faults_then_warnings_with_their_remedies():
    lines = [line.rstrip() for line in printed(OK, WARNING, FAULT, IDLE).splitlines()]

    assert lines[:2] == ["entr (real): Is it so?", "1 fault, 1 warning in 3 checks. Mend the faults before you run it."]
    assert lines[3:7] == [
        "fault: Same images in several parts [digits]",
        "5 of 100 held-out images have a copy in the training part.",
        "  a.png = b.png (identical)",
        "Remedy: Keep one image of each picture.",
    ]
    assert lines.index("warning: Images as large as the study asks [digits]") > 6
    assert lines.index("ok") < lines.index("not applicable")


def test_what_is_well_takes_a_line_for_each_check():
    text = printed(
        OK,
        OK,
        Diagnosis(**{name: getattr(OK, name) for name in ("check", "title", "subject", "condition")}, evidence="x"),
    )

    assert "No fault in 3 checks." in text
    assert "3 times; first: First loss 2.31" in " ".join(text.split())


def test_the_json_holds_everything_and_no_number_that_json_has_not():
    endless = Diagnosis("first-loss", "First loss", "x", "fault", "Not finite.", "Mend.", (), {"loss": float("nan")})
    document = json.loads(checkup_json(Checkup("entr", "Is it so?", None, (FAULT, WARNING, endless))))

    assert (document["format"], document["study"], document["profile"]) == (1, "entr", None)
    assert (document["faults"], document["warnings"]) == (2, 1)
    assert document["checks"][0] == {
        "check": "same-image-across-parts",
        "title": "Same images in several parts",
        "subject": "digits",
        "condition": "fault",
        "evidence": "5 of 100 held-out images have a copy in the training part.",
        "remedy": "Keep one image of each picture.",
        "examples": ["a.png = b.png (identical)"],
        "numbers": {"leaked": 5},
    }
    assert document["checks"][2]["numbers"] == {"loss": None}


def invoke(study: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["doctor", str(study), "--runs-dir", str(study.parent / "runs"), *options])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_a_sound_study_exits_with_0(study_path: Path):
    status, text = invoke(study_path, "--budget", "20", "--device", "cpu")

    assert status == 0
    assert "tiny: Is it quick?" in text
    assert "No fault" in text
    assert "One batch can be learnt by heart" in text


def test_quick_leaves_out_what_trains(study_path: Path):
    status, text = invoke(study_path, "--quick", "--json")
    checks = {one["check"] for one in json.loads(text)["checks"]}

    assert status == 0
    assert "same-image-across-parts" in checks
    assert not checks & {"first-loss", "one-batch", "evaluation-order", "short-training"}


def test_a_fault_has_an_exit_code_of_its_own(study_path: Path):
    # One image of four is worth more than a margin of a thousandth.
    status, text = invoke(study_path, "--quick", "--json", "--set", "analysis.equivalence_margin=0.001")

    assert status == EXIT_FAULT_FOUND == 12
    assert [one["check"] for one in json.loads(text)["checks"] if one["condition"] == "fault"] == ["test-size"]


def test_data_that_cannot_be_read_are_an_error_as_everywhere(study_path: Path, tmp_path: Path):
    from cnnbench.errors import DataError

    with pytest.raises(DataError, match="there is no folder or zip archive"):
        invoke(study_path, "--set", f'trial.dataset={{use="image-folder", path="{tmp_path / "none"}"}}')
