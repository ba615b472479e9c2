"""Do training and testing share what they must not: the same picture, or the same patient?

Shapes: N examples.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.doctor.check import Check, count, percent
from cnnbench.doctor.similarity import find_copies
from cnnbench.doctor.subjects import PARTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from cnnbench.data import SplitIndices
    from cnnbench.doctor.similarity import Copies
    from cnnbench.doctor.subjects import DataSubject
    from cnnbench.types import Diagnosis

ACROSS = Check("same-image-across-parts", "Same images in several parts")
WITHIN = Check("same-image-within-part", "Same images within a part")
CONTRADICTION = Check("same-image-two-classes", "Same images in several classes")
GROUPS = Check("group-across-parts", "Groups (patients, recordings) in several parts")

FAULT_SHARE = 0.01
"""Share of the held-out images from which on a leak is a fault; below it is a warning."""

_PERSON = r"(?:patient|person|subject|case|pat|subj|sub)[-_]?\d+"
_NUMBER = r"(?:[a-z]{1,4}[-_]?)?\d{4,}"
_NAMED_GROUP = re.compile(rf"({_PERSON}|{_NUMBER})(?:[-_][a-z]+)*[-_.]\d+[a-z]?", re.IGNORECASE)
"""A person and one of its images, e.g. ``00002658_001`` or ``person12_bacteria_47``."""
_FEWEST_GROUPS = 5
_LARGEST_MEAN_GROUP = 50


def check_copies(subject: DataSubject, progress: Callable[[int, int], None] | None) -> Iterator[Diagnosis]:
    """Look for images that show the same: in several parts, within one, and in several classes."""
    groups = find_copies(
        subject.images_NCHW(subject.search_px),
        subject.images_NCHW(subject.sizes_px[-1]),
        subject.prepared.hashes_N(),
        progress,
    )
    yield _across(subject, groups)
    yield _within(subject, groups)
    yield _contradiction(subject, groups)


def _across(subject: DataSubject, groups: Sequence[Copies]) -> Diagnosis:
    num = len(subject.label_N)
    if not subject.splits:
        return ACROSS.says("not applicable", subject.name, "The images cannot be divided into parts.")
    key_N = np.arange(num)
    for group in groups:
        key_N[list(group.members)] = group.members[0]
    worst, num_split = _worst_leak(subject, key_N)
    identical = sum(group.identical for group in groups)
    there = (
        f"{count(identical, 'picture')} {'is' if identical == 1 else 'are'} there more than once pixel by pixel and "
        f"{len(groups) - identical} nearly so."
    )
    if not num_split:
        evidence = f"{there} The copies stay in one part." if groups else f"None of {count(num, 'image')} has a copy."
        numbers = {"pictures": len(groups), "identical": identical, "leaked": 0}
        examples = [_shown(subject, group) for group in groups]
        return ACROSS.says("ok", subject.name, evidence, examples=examples, numbers=numbers)
    evidence = f"{there} {_how_often(subject, num_split)}{_at_worst(worst, 'has a copy', 'have a copy')}"
    shown = [group for group in groups if _is_cut(subject, group.members)]
    return ACROSS.says(
        "fault" if worst.share >= FAULT_SHARE else "warning",
        subject.name,
        evidence,
        "Keep one image of each picture, or let the dataset name groups so that copies stay in one part.",
        examples=[_shown(subject, group) for group in shown],
        numbers={
            "pictures": len(groups),
            "identical": identical,
            "leaked": worst.leaked,
            "leaked_share": worst.share,
            "divisions": num_split,
        },
    )


class _Leak:
    """How many held-out images share something with the training part, in one division."""

    def __init__(self, leaked: int, held_out: int, is_cut: bool) -> None:  # noqa: FBT001 - a small record
        self.leaked, self.held_out, self.is_cut = leaked, held_out, is_cut

    @property
    def share(self) -> float:
        return self.leaked / max(self.held_out, 1)


def _leak(part_N: NDArray[np.int8], key_N: NDArray[np.int64]) -> _Leak:
    """Count held-out examples whose key occurs in the training part, too."""
    in_training = np.isin(key_N, key_N[part_N == 0])
    held_out_N = part_N > 0
    tested_too = np.isin(key_N[part_N == 1], key_N[part_N == 2])
    leaked = int((held_out_N & in_training).sum())
    return _Leak(leaked, int(held_out_N.sum()), leaked > 0 or bool(tested_too.any()))


def _worst_leak(subject: DataSubject, key_N: NDArray[np.int64]) -> tuple[_Leak, int]:
    """Return the worst division, and in how many something is in several parts."""
    leaks = [_leak(subject.part_N(split), key_N) for split in subject.splits]
    return max(leaks, key=lambda leak: leak.share), sum(leak.is_cut for leak in leaks)


def _how_often(subject: DataSubject, num_split: int) -> str:
    if len(subject.splits) == 1:
        return "In the study's division "
    return f"In {num_split} of the {len(subject.splits)} divisions of the replicates copies come apart; at worst "


def _at_worst(worst: _Leak, one: str, many: str) -> str:
    verb = one if worst.leaked == 1 else many
    return (
        f"{worst.leaked:,} of {count(worst.held_out, 'held-out image')} ({percent(worst.share)}) {verb} in the "
        "training part; the accuracy may be too high by as much."
    )


def _is_cut(subject: DataSubject, members: Sequence[int]) -> bool:
    return any(len(np.unique(subject.part_N(split)[list(members)])) > 1 for split in subject.splits)


def _shown(subject: DataSubject, group: Copies) -> str:
    names = " = ".join(subject.called(member) for member in group.members[:4])
    more = f" and {len(group.members) - 4} more" if len(group.members) > 4 else ""
    return f"{names}{more} ({'identical' if group.identical else f'correlation {group.correlation:.3f}'})"


def _within(subject: DataSubject, groups: Sequence[Copies]) -> Diagnosis:
    if not subject.splits:
        return WITHIN.says("not applicable", subject.name, "The images cannot be divided into parts.")
    part_N = subject.part_N(subject.splits[0])
    extra = dict.fromkeys(PARTS, 0)
    for group in groups:
        parts = part_N[list(group.members)]
        for index, part in enumerate(PARTS):
            extra[part] += max(int((parts == index).sum()) - 1, 0)
    sizes = {part: int((part_N == index).sum()) for index, part in enumerate(PARTS)}
    share = max(extra[part] / max(sizes[part], 1) for part in PARTS)
    if not any(extra.values()):
        return WITHIN.says("ok", subject.name, "No picture is twice in a part.", numbers={"share": 0.0})
    parts_text = ", ".join(f"{extra[part]} of {sizes[part]:,} in {part}" for part in PARTS if extra[part])
    return WITHIN.says(
        "warning" if share >= FAULT_SHARE else "ok",
        subject.name,
        f"Superfluous copies: {parts_text}. They weigh their picture more than others; nothing leaks.",
        "Keep one image of each picture." if share >= FAULT_SHARE else "",
        examples=[_shown(subject, group) for group in groups],
        numbers={"share": share},
    )


def _contradiction(subject: DataSubject, groups: Sequence[Copies]) -> Diagnosis:
    wrong = [group for group in groups if len(np.unique(subject.label_N[list(group.members)])) > 1]
    num = sum(len(group.members) for group in wrong)
    share = num / len(subject.label_N)
    if not wrong:
        return CONTRADICTION.says("ok", subject.name, "No picture belongs to two classes.", numbers={"images": 0})
    examples = []
    for group in wrong:
        classes = sorted({subject.class_names[subject.label_N[member]] for member in group.members})
        examples.append(f"{_shown(subject, group)}: {', '.join(classes)}")
    return CONTRADICTION.says(
        "fault" if share >= FAULT_SHARE else "warning",
        subject.name,
        f"{count(len(wrong), 'picture')} ({count(num, 'image')}, {percent(share)}) carry labels of several classes.",
        "Look at them and correct their labels, or leave them out.",
        examples=examples,
        numbers={"images": num, "share": share},
    )


# ------------------------------------------------------------------------------------------------ groups


def check_groups(subject: DataSubject) -> Diagnosis:
    """Look whether images that belong together stand in several parts; declared groups, or guessed from file names."""
    declared = subject.prepared.groups_N()
    group_N = declared if declared is not None else _guessed(subject)
    if group_N is None or not subject.splits:
        evidence = "The dataset names no groups, and its file names suggest none."
        return GROUPS.says("not applicable", subject.name, evidence)
    names, key_N, sizes = np.unique(group_N, return_inverse=True, return_counts=True)
    is_group = sizes > 1
    worst, num_split = _worst_leak(subject, key_N)
    classes = sum(len(np.unique(subject.label_N[key_N == group])) > 1 for group in np.flatnonzero(is_group))
    source = "The dataset names" if declared is not None else "The file names suggest"
    what = f"{source} {count(int(is_group.sum()), 'group')} of two or more images"
    if not num_split:
        return GROUPS.says(
            "ok", subject.name, f"{what}; none of them comes apart.", numbers={"groups": int(is_group.sum())}
        )
    cut = _cut_groups(subject.part_N(subject.splits[0]), key_N)
    evidence = f"{what}, {classes} of them in several classes. {_at_worst_group(subject, worst)}"
    return GROUPS.says(
        "fault" if declared is not None and worst.share >= FAULT_SHARE else "warning",
        subject.name,
        evidence,
        "Divide by group, so that all images of one are in the same part"
        + ("." if declared is not None else "; if the names mean something else, there is nothing to mend."),
        examples=[_group_shown(subject, str(names[group]), np.flatnonzero(key_N == group)) for group in cut],
        numbers={
            "groups": int(is_group.sum()),
            "groups_of_several_classes": classes,
            "leaked": worst.leaked,
            "leaked_share": worst.share,
        },
    )


def _at_worst_group(subject: DataSubject, worst: _Leak) -> str:
    where = "" if len(subject.splits) == 1 else "At worst "
    return (
        f"{where}{worst.leaked:,} of {count(worst.held_out, 'held-out image')} ({percent(worst.share)}) belong to a "
        "group that the training part has seen: the network may recognise the patient instead of the disease."
    )


def _guessed(subject: DataSubject) -> NDArray[np.str_] | None:
    """Return a group for each example, by file names such as ``00002658_001``; None where they look otherwise."""
    if subject.name_N is None:
        return None
    groups = []
    for index, name in enumerate(subject.name_N):
        found = _NAMED_GROUP.fullmatch(PurePosixPath(str(name)).stem)
        groups.append(found[1].lower() if found else f"\0{index}")  # one that says nothing is a group of its own
    matched = [group for group in groups if not group.startswith("\0")]
    num_groups = len(set(matched))
    is_grouping = num_groups >= _FEWEST_GROUPS and num_groups < len(matched) <= num_groups * _LARGEST_MEAN_GROUP
    return np.array(groups) if is_grouping else None


def _cut_groups(part_N: NDArray[np.int8], key_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the groups with members in several parts."""
    pairs = np.unique(np.stack([key_N, part_N.astype(np.int64)]), axis=1)
    groups, num_parts = np.unique(pairs[0], return_counts=True)
    return groups[num_parts > 1]


def _group_shown(subject: DataSubject, name: str, members: NDArray[np.int64]) -> str:
    split: SplitIndices = subject.splits[0]
    part_N = subject.part_N(split)
    where = ", ".join(f"{subject.called(int(one))} ({PARTS[part_N[one]]})" for one in members[:3] if part_N[one] >= 0)
    return f"{name}: {where}{' ...' if len(members) > 3 else ''}"
