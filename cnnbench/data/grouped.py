"""Splits that keep groups whole: all images of a patient stand in the same part."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["cut_groups", "deal_groups"]


def deal_groups(
    label_N: NDArray[np.int64], group_N: NDArray[np.str_], shares: Sequence[float], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return the part of each example: whole groups, each class's examples shared out as evenly as groups allow.

    Groups come in random order, and each goes to where it lessens the squared distances of the class counts from their
    aims most; distances are relative to the class's size, so rare classes count as much as common ones. The order does
    not depend on the groups' sizes: were large groups dealt first, the largest part would get them all, and images of
    patients with many of them would be missing from the others. Where every group has one class, no part misses its
    aim for a class by more than 4/3 of the class's largest group.

    Args:
        label_N: Class of each example; all equal to share out examples whatever their class.
        group_N: Name of the group of each example.
        shares: Share of each part; they sum to 1.
        generator: Draws the order.
    """
    class_N = np.unique(label_N, return_inverse=True)[1]
    names, of_group_N = np.unique(group_N, return_inverse=True)
    count_GK = np.zeros((len(names), class_N.max(initial=0) + 1))
    np.add.at(count_GK, (of_group_N, class_N), 1)
    total_K = count_GK.sum(axis=0)
    missing_PK = np.outer(shares, total_K)  # what each part still lacks of its aim; below 0 where it has too much
    part_G = np.zeros(len(names), np.int64)
    for group in generator.permutation(len(names)):
        # Squared distance after the group has come minus that before, for each part: c (c - 2 missing) / total.
        count_K = count_GK[group]
        change_P = (count_K * (count_K - 2 * missing_PK) / total_K).sum(axis=1)
        part_G[group] = part = int(change_P.argmin())
        missing_PK[part] -= count_K
    return part_G[of_group_N]


def cut_groups(group_N: NDArray[np.str_], part_N: NDArray[np.str_]) -> list[str]:
    """Return the groups that have examples in more than one part."""
    pairs = sorted(set(zip(map(str, group_N), map(str, part_N), strict=True)))
    return sorted({first[0] for first, second in itertools.pairwise(pairs) if first[0] == second[0]})
