"""Do the images show something, on the same scale in every part, at the size that is asked for?

Shapes: N examples, C channels, H/W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnbench.doctor.check import Check, count, percent
from cnnbench.doctor.subjects import PARTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.doctor.subjects import DataSubject
    from cnnbench.types import Diagnosis

ALIKE = Check("images-alike", "Images that differ from each other")
RANGE = Check("pixel-range", "Range of the pixels")
STATISTICS = Check("part-statistics", "Brightness and contrast of each part")
SIZE = Check("image-size", "Images as large as the study asks")

SAMPLE = 2048
LEAST_DEVIATION, LITTLE_DEVIATION = 2.0, 6.0
"""Deviation between images at a pixel, in gray levels of 255: below it all look alike (fault), or nearly (warning)."""
BLANK = 1.0
"""Deviation within an image, in gray levels, below which it is blank."""
MANY_BLANK, SOME_BLANK = 0.5, 0.01
LEAST_HIGHEST = 16
"""Highest pixel below which images are taken to be rescaled before they became bytes."""
LARGE_SHIFT, HUGE_SHIFT = 0.25, 1.0
"""Difference of means between parts, in deviations of the training part: warning, fault."""
LARGE_RATIO, HUGE_RATIO = 1.5, 2.0
"""Ratio of deviations between parts: warning, fault."""
SURE = 4.0
"""Standard errors by which parts must differ at all."""
SMALL_SHARE = 0.01


def check_pixels(subject: DataSubject) -> tuple[Diagnosis, Diagnosis]:
    """Look whether the images differ, and whether they use the range of their bytes."""
    indices = _sample(np.arange(len(subject.label_N)))
    images_NCHW = np.asarray(subject.images_NCHW(subject.search_px)[indices])
    return _alike(subject, images_NCHW, indices), _range(subject, images_NCHW)


def _sample(indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return indices that are spread evenly, at most `SAMPLE`; always the same ones."""
    num = min(SAMPLE, len(indices))
    return np.sort(indices)[np.arange(num) * len(indices) // max(num, 1)]


def _alike(subject: DataSubject, images_NCHW: NDArray[np.uint8], indices: NDArray[np.int64]) -> Diagnosis:
    between = float(np.sqrt(images_NCHW.var(axis=0, dtype=np.float64).mean()))
    within_N = images_NCHW.reshape(len(images_NCHW), -1).std(axis=1, dtype=np.float64)
    is_blank_N = within_N < BLANK
    blank = float(is_blank_N.mean())
    evidence = (
        f"At a pixel, images deviate by {between:.1f} gray levels of 255 from their mean; {percent(blank)} of "
        f"{count(len(indices), 'image')} are blank."
    )
    numbers = {"deviation": between, "blank_share": blank}
    if between < LEAST_DEVIATION or blank >= MANY_BLANK:
        return ALIKE.says(
            "fault",
            subject.name,
            f"{evidence} A network sees the same picture again and again.",
            "Look at the images as they are decoded: a scale of 0 to 1 before they became bytes, a wrong channel, "
            "files that could not be read.",
            numbers=numbers,
        )
    if between < LITTLE_DEVIATION or blank >= SOME_BLANK:
        return ALIKE.says(
            "warning",
            subject.name,
            evidence,
            "Look at those images; leave out what shows nothing, and stretch a range that is hardly used.",
            examples=[subject.called(int(index)) for index in indices[is_blank_N]],
            numbers=numbers,
        )
    return ALIKE.says("ok", subject.name, evidence, numbers=numbers)


def _range(subject: DataSubject, images_NCHW: NDArray[np.uint8]) -> Diagnosis:
    low_C, high_C = images_NCHW.min(axis=(0, 2, 3)), images_NCHW.max(axis=(0, 2, 3))
    lowest, highest = int(low_C.min()), int(high_C.max())
    evidence = f"Pixels lie between {lowest} and {highest}, in {count(len(low_C), 'channel')}."
    numbers = {"lowest": lowest, "highest": highest}
    if highest < LEAST_HIGHEST:
        return RANGE.says(
            "fault",
            subject.name,
            f"{evidence} Bytes go up to 255: these were probably divided by 255 before they became bytes.",
            "Hand over bytes of 0 to 255 and leave all scaling to `normalization`.",
            numbers=numbers,
        )
    constant = np.flatnonzero(low_C == high_C)
    if constant.size:
        return RANGE.says(
            "warning",
            subject.name,
            f"{evidence} Channel {constant[0]} is {low_C[constant[0]]} everywhere.",
            "Find out why the channel is empty, or read the images with `channels = 1`.",
            numbers=numbers,
        )
    if len(low_C) == 3 and (images_NCHW == images_NCHW[:, :1]).all():
        evidence += " The three channels are equal: one would show as much."
    return RANGE.says("ok", subject.name, evidence, numbers=numbers)


def check_statistics(subject: DataSubject) -> Diagnosis:
    """Compare mean and deviation of the held-out parts with those of training, channel by channel."""
    if not subject.splits:
        return STATISTICS.says("not applicable", subject.name, "The images cannot be divided into parts.")
    images_NCHW = subject.images_NCHW(subject.search_px)
    split = subject.splits[0]
    parts = [(part, _sample(getattr(split, part))) for part in PARTS if len(getattr(split, part))]
    found = {part: _channel_statistics(images_NCHW[indices]) for part, indices in parts}
    mean_C, deviation_C, spread_C = found["train"]
    shift = ratio = 0.0
    worst = ""
    for part, indices in parts[1:]:
        other_mean_C, other_deviation_C, other_spread_C = found[part]
        error_C = np.sqrt(spread_C**2 / len(parts[0][1]) + other_spread_C**2 / len(indices))
        is_sure_C = np.abs(other_mean_C - mean_C) > SURE * error_C
        shift_C = np.where(is_sure_C, np.abs(other_mean_C - mean_C), 0) / np.maximum(deviation_C, 1e-6)
        quotient_C = np.maximum(other_deviation_C, 1e-6) / np.maximum(deviation_C, 1e-6)
        part_ratio = float(np.maximum(quotient_C, 1 / quotient_C).max())
        if shift_C.max() >= shift and part_ratio >= ratio:
            worst = part
        shift, ratio = max(shift, float(shift_C.max())), max(ratio, part_ratio)
    table = "; ".join(
        f"{part} {'/'.join(f'{one / 255:.3f}' for one in mean)} ± {'/'.join(f'{one / 255:.3f}' for one in deviation)}"
        for part, (mean, deviation, _) in found.items()
    )
    evidence = f"Mean and deviation of the pixels, 0 to 1: {table}."
    numbers = {"largest_shift": shift, "largest_ratio": ratio}
    if shift <= LARGE_SHIFT and ratio <= LARGE_RATIO:
        return STATISTICS.says("ok", subject.name, evidence, numbers=numbers)
    return STATISTICS.says(
        "fault" if shift > HUGE_SHIFT or ratio > HUGE_RATIO else "warning",
        subject.name,
        f"{evidence} The parts do not look as if they came from one source{f' ({worst})' if worst else ''}.",
        "Decode and scale the images of all parts in the same way; if they come from different sources, draw a random "
        "split.",
        numbers=numbers,
    )


def _channel_statistics(
    images_NCHW: NDArray[np.uint8],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation of each channel's pixels, and the deviation of the images' means."""
    means_NC = images_NCHW.mean(axis=(2, 3), dtype=np.float64)
    return means_NC.mean(axis=0), images_NCHW.std(axis=(0, 2, 3), dtype=np.float64), means_NC.std(axis=0)


def check_size(subject: DataSubject) -> Diagnosis:
    """Compare the images as they were decoded with the largest size of the study."""
    side_N2 = subject.prepared.sides_N2()
    # `crop` cuts a square first, so its shorter side decides; `squash` enlarges each side by itself.
    side_N = side_N2.min(axis=1)
    largest_px = subject.sizes_px[-1]
    is_small_N = side_N < largest_px
    share = float(is_small_N.mean())
    median = float(np.median(side_N))
    evidence = f"The shorter side of the images is {side_N.min()} to {side_N.max()} px, {median:.0f} px in the median"
    numbers = {"small_share": share, "median_px": median, "largest_px": largest_px}
    if share < SMALL_SHARE:
        return SIZE.says("ok", subject.name, f"{evidence}; the study uses {largest_px} px at most.", numbers=numbers)
    by_class = [float(is_small_N[subject.label_N == label].mean()) for label in range(len(subject.class_names))]
    uneven = (
        f" By class it is {percent(min(by_class))} to {percent(max(by_class))}: blur may tell the class."
        if max(by_class) - min(by_class) > 0.5
        else ""
    )
    return SIZE.says(
        "warning",
        subject.name,
        f"{evidence}; {percent(share)} are smaller than {largest_px} px and are enlarged.{uneven}",
        "Enlarged images cost more and show nothing new: use larger originals, or smaller sizes, and do not read an "
        "effect of size from them.",
        numbers=numbers,
    )
