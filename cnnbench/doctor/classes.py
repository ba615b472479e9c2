"""Are the classes what they seem, and are there enough images to answer the question?

Shapes: N examples, K classes, P parts.
"""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.doctor.check import Check, count, listed, percent
from cnnbench.doctor.subjects import PARTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.doctor.subjects import DataSubject
    from cnnbench.types import Diagnosis

ORDER = Check("class-order", "Classes and their order")
BALANCE = Check("label-balance", "Labels in each part")
BASELINE = Check("majority-baseline", "Accuracy without looking")
PRECISION = Check("test-size", "Held-out images against the margin")

LARGE_SHIFT, HUGE_SHIFT = 0.1, 0.25
"""Difference of a class's share between a part and the training part: warning, fault."""
LARGEST_RATIO = 10
FEWEST_IMAGES = 5
HIGH_BASELINE = 0.8
ASSUMED_ACCURACY = 0.9


def check_order(subject: DataSubject) -> Diagnosis:
    """Look whether class names differ, numbers are in their order, and folders agree with labels."""
    names = subject.class_names
    order = ", ".join(f"{label} = {name}" for label, name in enumerate(names[:12]))
    order += " ..." if len(names) > 12 else ""
    folded = [name.strip().casefold() for name in names]
    twice = sorted({name for name in folded if folded.count(name) > 1})
    if twice:
        return ORDER.says(
            "fault",
            subject.name,
            f"Several classes are called {listed(twice)}, but for blanks and capitals: {order}.",
            "Join the folders of one class, or give the classes different names.",
        )
    wrong = _folders_against_labels(subject)
    if wrong:
        return ORDER.says(
            "fault",
            subject.name,
            f"{count(len(wrong), 'image')} lie in the folder of one class and carry the label of another.",
            "Make labels from folder names by one and the same list of classes for all parts.",
            examples=wrong,
            numbers={"images": len(wrong)},
        )
    if all(name.strip().lstrip("-").isdecimal() for name in names):
        values = [int(name) for name in names]
        if values != sorted(values):
            return ORDER.says(
                "warning",
                subject.name,
                f"The classes are numbers in the order of texts: {order}; label and number differ.",
                "Read tables by class name, never by label; zeros in front of the numbers make both orders one.",
            )
    sorted_too = "" if list(names) == sorted(names) else " The order is the dataset's own, not the alphabet's."
    return ORDER.says("ok", subject.name, f"{order}.{sorted_too}")


def _folders_against_labels(subject: DataSubject) -> list[str]:
    """Return images whose folder is the name of another class; nothing where folders are no classes."""
    if subject.name_N is None:
        return []
    label_of = {name: label for label, name in enumerate(subject.class_names)}
    wrong = []
    for index, name in enumerate(subject.name_N):
        folder = PurePosixPath(str(name)).parent.name
        if label_of.get(folder, subject.label_N[index]) != subject.label_N[index]:
            wrong.append(f"{name}: {subject.class_names[subject.label_N[index]]}")
    return wrong


def check_balance(subject: DataSubject) -> Diagnosis:
    """Look whether every class is in every part, in about the same share."""
    if not subject.splits:
        return BALANCE.says(
            "fault",
            subject.name,
            f"The images cannot be divided as the study says: {subject.split_fault}",
            "Give every part images of every class, or change the study's `split`.",
        )
    counts = [_counts_PK(subject, part_N) for part_N in map(subject.part_N, subject.splits)]
    shift, part, label = max(_largest_shift(counts_PK) for counts_PK in counts)
    fewest = min(int(counts_PK[counts_PK.sum(axis=1) > 0].min()) for counts_PK in counts)
    total_K = counts[0].sum(axis=0)
    ratio = float(total_K.max() / total_K.min())
    counts_PK = counts[0]
    name = subject.class_names[label]
    numbers = {"largest_shift": shift, "fewest": fewest, "ratio": ratio}
    table = "; ".join(
        f"{PARTS[row]} {' / '.join(f'{one:,}' for one in counts_PK[row][:12])}{' ...' if len(total_K) > 12 else ''}"
        for row in np.flatnonzero(counts_PK.sum(axis=1))
    )
    if shift > LARGE_SHIFT:
        return BALANCE.says(
            "fault" if shift > HUGE_SHIFT else "warning",
            subject.name,
            f"The share of `{name}` in the {PARTS[part]} part differs by {percent(shift)} from that in training. "
            f"Images by class: {table}.",
            "Draw a stratified random split, or find out why the parts differ.",
            numbers=numbers,
        )
    if fewest < FEWEST_IMAGES:
        return BALANCE.says(
            "warning",
            subject.name,
            f"A class has {count(fewest, 'image')} in one of the parts. Images by class: {table}.",
            "Add images, leave the class out, or keep a larger share for the part.",
            numbers=numbers,
        )
    if ratio > LARGEST_RATIO:
        return BALANCE.says(
            "warning",
            subject.name,
            f"The largest class has {ratio:.0f} times the images of the smallest. Images by class: {table}.",
            "Judge by a metric in which every class counts alike, and consider oversampling.",
            numbers=numbers,
        )
    return BALANCE.says("ok", subject.name, f"Images by class: {table}.", numbers=numbers)


def _counts_PK(subject: DataSubject, part_N: NDArray[np.int8]) -> NDArray[np.int64]:
    num = len(subject.class_names)
    return np.stack([np.bincount(subject.label_N[part_N == index], minlength=num) for index in range(len(PARTS))])


def _largest_shift(counts_PK: NDArray[np.int64]) -> tuple[float, int, int]:
    """Return the largest difference of a share from training, its part and its class."""
    share_PK = counts_PK / np.maximum(counts_PK.sum(axis=1, keepdims=True), 1)
    shift_PK = np.abs(share_PK - share_PK[0]) * (counts_PK.sum(axis=1, keepdims=True) > 0)
    part, label = np.unravel_index(int(shift_PK.argmax()), shift_PK.shape)
    return float(shift_PK[part, label]), int(part), int(label)


def check_baseline(subject: DataSubject) -> Diagnosis:
    """Say what accuracy the most frequent class of training gives in each part."""
    if not subject.splits:
        return BASELINE.says("not applicable", subject.name, "The images cannot be divided into parts.")
    counts_PK = _counts_PK(subject, subject.part_N(subject.splits[0]))
    label = int(counts_PK[0].argmax())
    there = [index for index in range(len(PARTS)) if counts_PK[index].sum()]
    share = {PARTS[index]: float(counts_PK[index, label] / counts_PK[index].sum()) for index in there}
    text = ", ".join(f"{value:.3f} in {part}" for part, value in share.items())
    evidence = f"Always answering `{subject.class_names[label]}` is right with accuracy {text}."
    highest = max(value for part, value in share.items() if part != "train")
    if highest < HIGH_BASELINE:
        return BASELINE.says("ok", subject.name, evidence, numbers=share)
    return BASELINE.says(
        "warning",
        subject.name,
        evidence,
        "Report a metric in which every class counts alike beside the accuracy, such as balanced accuracy.",
        numbers=share,
    )


def check_precision(subject: DataSubject, margin: float | None, replicates: int) -> Diagnosis:
    """Compare the standard error of an accuracy with the study's margin.

    Args:
        subject: The dataset.
        margin: The equivalence margin, where the response is a share on its own scale; else None.
        replicates: Trials of each cell; with a split drawn anew for each, their images add up.
    """
    if margin is None or not subject.splits:
        evidence = "The study names no margin for a response that is a share of the held-out images."
        return PRECISION.says("not applicable", subject.name, evidence)
    split = subject.splits[0]
    num = len(split.test) or len(split.validation)
    drawn = num * min(replicates, len(subject.splits))
    error = math.sqrt(ASSUMED_ACCURACY * (1 - ASSUMED_ACCURACY) / drawn)
    numbers = {"images": num, "images_of_all_replicates": drawn, "standard_error": error, "margin": margin}
    evidence = (
        f"{count(num, 'held-out image')}, {drawn:,} with all replicates: an accuracy of {ASSUMED_ACCURACY} has a "
        f"standard error of {error:.4f}; the margin is {margin:g}."
    )
    needed = math.ceil(ASSUMED_ACCURACY * (1 - ASSUMED_ACCURACY) / (margin / 2) ** 2 * num / drawn)
    remedy = f"Hold out {needed:,} images or more, or widen the margin."
    if num * margin < 1:
        evidence += " A single image is worth more than the margin."
        return PRECISION.says("fault", subject.name, evidence, remedy, numbers=numbers)
    if error > margin / 2:
        return PRECISION.says("warning", subject.name, evidence, remedy, numbers=numbers)
    return PRECISION.says("ok", subject.name, evidence, numbers=numbers)
