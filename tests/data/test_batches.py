from __future__ import annotations

import numpy as np
import pytest
import torch

from cnnbench.data.batches import Normalization, TrainingData
from cnnbench.plugin import Augmentation

IMAGES_NCHW = np.random.default_rng(0).integers(0, 256, (21, 3, 6, 6), dtype=np.uint8)
LABEL_N = np.arange(21) % 3
TRAIN = np.arange(21)
CPU = torch.device("cpu")


class Darken(Augmentation):
    """Multiplies each image by a random number."""

    key = "darken"

    def apply(self, images_BCHW: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        return images_BCHW * torch.rand(len(images_BCHW), 1, 1, 1, generator=rng)


def data(kind: str = "none") -> TrainingData:
    return TrainingData(IMAGES_NCHW, LABEL_N, Normalization.of(kind, IMAGES_NCHW, TRAIN), CPU)


def epoch(source: TrainingData, seeds: tuple[int, int, int], batch_size: int = 4, *, augment: bool = False):
    return list(source.training_batches(TRAIN, batch_size, seeds, [Darken()] if augment else []))


def test_an_epoch_holds_each_example_once_but_for_a_last_one_alone():
    labels = torch.cat([label_B for _, label_B in epoch(data(), (1, 2, 0))])

    assert len(labels) == 20
    assert len(epoch(data(), (1, 2, 0), batch_size=5)) == 4
    assert len(epoch(data(), (1, 2, 0), batch_size=6)) == 4


def test_batches_of_one_hold_every_example():
    batches = epoch(data(), (1, 2, 0), batch_size=1)

    assert sorted(int(label_B) for _, label_B in batches) == sorted(LABEL_N)


def test_a_batch_may_be_larger_than_the_training_part():
    ((images_BCHW, _),) = epoch(data(), (1, 2, 0), batch_size=100)

    assert len(images_BCHW) == 21


@pytest.mark.parametrize("batch_size", [1, 4, 21, 100])
def test_batches_that_are_gathered_ahead_are_the_same(batch_size: int):
    fetched = data()
    fetched.is_fetched = True
    for seeds in ((1, 2, 0), (1, 2, 1)):
        plain, ahead = (epoch(one, seeds, batch_size, augment=True) for one in (data(), fetched))
        assert len(plain) == len(ahead)
        for here, there in zip(plain, ahead, strict=True):
            assert all(torch.equal(one, other) for one, other in zip(here, there, strict=True))


def test_two_batches_are_gathered_ahead_and_no_more(monkeypatch: pytest.MonkeyPatch):
    gathered: list[int] = []
    take = TrainingData._taken

    def taken(self, index_B):
        gathered.append(len(index_B))
        return take(self, index_B)

    monkeypatch.setattr(TrainingData, "_taken", taken)
    fetched = data()
    fetched.is_fetched = True
    batches = fetched.training_batches(TRAIN, 4, (1, 2, 0), [])
    next(batches)
    batches.close()  # waits for what is on its way
    assert gathered == [4, 4, 4]
    gathered.clear()
    next(data().training_batches(TRAIN, 4, (1, 2, 0), []))
    assert gathered == [4]


def test_a_fault_while_gathering_ahead_is_told_where_the_batch_is_wanted(monkeypatch: pytest.MonkeyPatch):
    def broken(_self, _index_B):
        raise OSError("the file is gone")

    monkeypatch.setattr(TrainingData, "_taken", broken)
    fetched = data()
    fetched.is_fetched = True
    with pytest.raises(OSError, match="the file is gone"):
        epoch(fetched, (1, 2, 0))


def test_batches_are_channels_last_and_scaled_to_the_unit_interval():
    images_BCHW, _ = epoch(data(), (1, 2, 0))[0]

    assert images_BCHW.is_contiguous(memory_format=torch.channels_last)
    assert images_BCHW.dtype == torch.float32
    assert 0 <= float(images_BCHW.min()) < float(images_BCHW.max()) <= 1


def test_order_depends_on_seed_and_epoch_alone():
    first = epoch(data(), (1, 2, 5))
    again = epoch(data(), (1, 9, 5))
    other_epoch, other_seed = epoch(data(), (1, 2, 6)), epoch(data(), (3, 2, 5))

    assert torch.equal(first[0][0], again[0][0])
    assert not torch.equal(first[0][0], other_epoch[0][0])
    assert not torch.equal(first[0][0], other_seed[0][0])


def test_augmentation_depends_on_its_own_seed_and_epoch():
    first = epoch(data(), (1, 2, 5), augment=True)
    again, other = epoch(data(), (1, 2, 5), augment=True), epoch(data(), (1, 9, 5), augment=True)

    assert torch.equal(first[-1][0], again[-1][0])
    assert not torch.equal(first[-1][0], other[-1][0])


def test_the_training_part_is_normalised_to_zero_mean_and_unit_deviation():
    images = torch.cat([images_BCHW for images_BCHW, _ in data("train").evaluation_batches(TRAIN, 8)])

    assert images.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert images.std(dim=(0, 2, 3), correction=0).tolist() == pytest.approx([1, 1, 1], abs=1e-5)


def test_statistics_come_from_the_training_part_alone():
    images_NCHW = np.concatenate([np.full((4, 1, 2, 2), 51, np.uint8), np.full((4, 1, 2, 2), 255, np.uint8)])

    normalization = Normalization.of("train", images_NCHW, np.arange(4))

    assert normalization.mean_C.tolist() == pytest.approx([0.2])
    assert normalization.std_C.tolist() == [1.0]


@pytest.mark.parametrize("gray", [7, 37, 100, 200])
def test_a_channel_without_spread_stays_at_zero(gray: int):
    images_NCHW = np.full((1000, 1, 9, 9), gray, np.uint8)

    normalization = Normalization.of("train", images_NCHW, np.arange(1000))

    assert normalization.std_C.tolist() == [1.0]


def test_statistics_are_those_of_all_pixels_at_once():
    images_NCHW = np.random.default_rng(1).integers(0, 256, (150, 3, 5, 5), dtype=np.uint8)
    train = np.random.default_rng(2).permutation(150)[:131]
    pixels_NCHW = images_NCHW[train] / 255

    normalization = Normalization.of("train", images_NCHW, train)

    assert normalization.mean_C.tolist() == pytest.approx(pixels_NCHW.mean(axis=(0, 2, 3)), rel=1e-6)
    assert normalization.std_C.tolist() == pytest.approx(pixels_NCHW.std(axis=(0, 2, 3)), rel=1e-6)


def test_imagenet_statistics_are_the_published_ones():
    normalization = Normalization.of("imagenet", IMAGES_NCHW, TRAIN)

    assert normalization.mean_C.tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert normalization.std_C.tolist() == pytest.approx([0.229, 0.224, 0.225])


def test_evaluation_keeps_the_order_of_its_indices():
    indices = np.array([4, 1, 7])

    ((_, label_B),) = data().evaluation_batches(indices, 8)

    assert label_B.tolist() == LABEL_N[indices].tolist()
