"""Earlier results of the study: do its trials learn in training and fail in validation?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.doctor.check import Check, count
from cnnbench.doctor.probe import CAUSES
from cnnbench.doctor.symptom import Answers, exchanged_classes, has_learnt
from cnnbench.store import Study, cell_trials, read_predictions

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.store import StoredTrial
    from cnnbench.types import Diagnosis

EARLIER = Check("earlier-trials", "Earlier trials: validation follows training")

FAULT_SHARE = 0.5
"""Share of a cell's trials that must show the symptom."""


def check_run(folder: Path) -> Diagnosis:
    """Look through the finished trials of a run folder, cell by cell."""
    if not (folder / "plan.json").exists():
        return EARLIER.says("not applicable", str(folder), "The study has not been run yet.")
    study = Study.open(folder)
    ill: dict[str, str] = {}
    num_trials = num_learnt = 0
    for cell, trials in cell_trials(study.stored).items():
        found = [_symptom(study, trial) for trial in trials]
        num_trials += len(found)
        num_learnt += sum(learnt for learnt, _ in found)
        shown = [text for _, text in found if text]
        if len(shown) >= FAULT_SHARE * len(found):
            ill[", ".join(f"{name} {level}" for name, level in cell)] = shown[0]
    if not num_trials:
        return EARLIER.says("not applicable", str(folder), "No trial is finished yet.")
    numbers = {"trials": num_trials, "learnt": num_learnt, "cells": len(ill)}
    if not ill:
        evidence = (
            f"{num_learnt} of {count(num_trials, 'finished trial')} learnt; none of these is at chance in validation."
        )
        return EARLIER.says("ok", str(folder), evidence, numbers=numbers)
    first = next(iter(ill.values()))
    return EARLIER.says(
        "fault",
        str(folder),
        f"In {count(len(ill), 'cell')} most trials learn in training and stay at chance in validation; e.g. {first} "
        f"{CAUSES}",
        "Mend the cause before running on; the other checks and `--budget` for a longer short training narrow it down.",
        examples=[f"{cell}: {text}" for cell, text in ill.items()],
        numbers=numbers,
    )


def _symptom(study: Study, trial: StoredTrial) -> tuple[bool, str]:
    """Return whether a trial has learnt, and how it fails in validation; an empty text where it does not."""
    kept = read_predictions(study.folder.trial_file(trial.id))
    found = next((one for one in kept if (one.split, one.view) == ("validation", "plain")), None)
    if found is None:
        return False, ""
    class_names = trial.class_names
    answers = Answers(found.logits_NK.argmax(axis=1), found.label_N, len(class_names))
    training = float(trial.scalars["train_accuracy"][-1])
    exchanged = exchanged_classes(answers, class_names)
    learnt = has_learnt(training, answers.baseline)
    if not learnt or not (answers.at_chance or exchanged):
        return learnt, ""
    only = f" Nearly all answers are `{class_names[answers.most_given[0]]}`." if answers.collapsed else ""
    return True, (
        f"{training:.2f} in training and {answers.accuracy:.2f} in validation (baseline {answers.baseline:.2f})."
        f"{only}{f' {exchanged}' if exchanged else ''}"
    )
