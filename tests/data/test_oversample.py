from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.data.batches import Normalization, TrainingData
from cnnbench.data.oversample import Copies, draw_sources
from cnnbench.plugin import Augmentation

CPU = torch.device("cpu")


class Lighten(Augmentation):
    """Adds a random amount of light to each image."""

    key = "lighten"
    base: float = 0.25

    def apply(self, images_BCHW: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        return images_BCHW + self.base + 0.02 * torch.rand(len(images_BCHW), 1, 1, 1, generator=rng)


@given(
    counts=st.lists(st.integers(1, 20), min_size=2, max_size=5),
    wanted=st.lists(st.integers(0, 50), min_size=5, max_size=5),
    seed=st.integers(0, 2**60),
)
def test_copies_are_of_the_training_part_and_as_even_as_can_be(counts, wanted, seed):
    label_N = np.repeat(np.arange(len(counts)), counts).repeat(2)
    train = np.random.default_rng(seed).permutation(np.arange(0, len(label_N), 2))

    source_M = draw_sources(label_N, train, wanted[: len(counts)], seed)

    assert set(source_M.tolist()) <= set(train.tolist())
    assert np.bincount(label_N[source_M], minlength=len(counts)).tolist() == wanted[: len(counts)]
    for label in range(len(counts)):
        times = np.bincount(source_M, minlength=len(label_N))[train[label_N[train] == label]]
        assert times.max() - times.min() <= 1


def test_fewer_copies_are_among_more_and_the_seed_decides():
    label_N, train = np.arange(100) % 2, np.arange(80)

    few, many, other = (draw_sources(label_N, train, [0, num], seed) for num, seed in ((5, 1), (12, 1), (12, 2)))

    assert few.tolist() == many[:5].tolist()
    assert many.tolist() != other.tolist()


IMAGES_NCHW = np.repeat(np.arange(0, 120, 10, dtype=np.uint8), 4).reshape(12, 1, 2, 2)


def copies(*augmentations: Augmentation, apply: str = "one") -> Copies:
    return Copies(np.array([3, 3, 7, 11, 0, 1, 2, 4]), augmentations, apply, seed=5)


def test_without_augmentations_copies_are_exact():
    made_MCHW = copies().make(torch.from_numpy(IMAGES_NCHW), CPU)

    assert made_MCHW.dtype == torch.uint8
    assert made_MCHW.numpy().tolist() == IMAGES_NCHW[[3, 3, 7, 11, 0, 1, 2, 4]].tolist()


def test_each_copy_is_made_by_one_augmentation_or_by_all_of_them():
    images_NCHW = torch.from_numpy(IMAGES_NCHW)
    added = {
        apply: [
            round((int(made) - int(IMAGES_NCHW[source, 0, 0, 0])) / 255 / 0.25)
            for made, source in zip(
                copies(Lighten(base=0.0), Lighten(base=0.25), apply=apply).make(images_NCHW, CPU)[:, 0, 0, 0],
                copies().source_M,
                strict=True,
            )
        ]
        for apply in ("one", "all")
    }

    assert set(added["one"]) == {0, 1}
    assert set(added["all"]) == {1}


def test_copies_are_the_same_each_time_they_are_made_and_leave_the_images_alone():
    images_NCHW = torch.from_numpy(IMAGES_NCHW.copy())

    first, again = (copies(Lighten()).make(images_NCHW, CPU) for _ in range(2))

    assert torch.equal(first, again)
    assert images_NCHW.numpy().tolist() == IMAGES_NCHW.tolist()


def test_copies_beyond_white_stay_white():
    white_NCHW = torch.full((12, 1, 2, 2), 250, dtype=torch.uint8)

    assert int(copies(Lighten()).make(white_NCHW, CPU).min()) == 255


def test_batches_hold_images_and_copies_with_their_labels():
    label_N = np.arange(12)
    data = TrainingData(IMAGES_NCHW, label_N, Normalization.of("none", IMAGES_NCHW, label_N), CPU)
    drawn = copies(Lighten())
    made_MCHW = drawn.make(data.images_NCHW, CPU)
    data.add_copies(made_MCHW, drawn.source_M)

    images_BCHW, label_B = data.batch(torch.tensor([5, 12, 19, 0]), (), None)

    assert label_B.tolist() == [5, 3, 4, 0]
    assert (images_BCHW[:, 0, 0, 0] * 255).tolist() == pytest.approx(
        [50, int(made_MCHW[0, 0, 0, 0]), int(made_MCHW[7, 0, 0, 0]), 0]
    )
