"""A dataset, networks and a metric into which each fault can be planted, entered by the public door."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cnnbench.doctor import Scope, examine
from cnnbench.plugin import Dataset, ImageArrays, Metric, Model, hookimpl
from cnnbench.registry import Registry
from cnnbench.spec import load_study

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.types import Checkup, Diagnosis

    Doctored = Callable[..., Checkup]
    Find = Callable[..., Diagnosis]
    Told = Callable[[Diagnosis, str, str], None]

SIDE_PX = 16
STUDY = """
format = 1
name = "planted"
question = "Is it found?"

[trial]
model = { use = "planted" }
dataset = { use = "planted" }
split = { use = "predefined" }
optimizer = { use = "adam", lr = 0.005 }
batch_size = 32
metrics = ["accuracy"]

[[trial.phases]]
name = "main"
epochs = 4
size_px = 16

[design]
replicates = 2

[analysis]
equivalence_margin = 0.1
"""


def drawn(num: int, num_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw gratings under noise; the class is their direction."""
    rng = np.random.default_rng(seed)
    label_N = np.arange(num) % num_classes
    across, along = np.meshgrid(np.arange(SIDE_PX), np.arange(SIDE_PX))
    angle_N11 = (np.pi * label_N / num_classes)[:, None, None]
    phase_N11 = rng.uniform(0, 2 * np.pi, (num, 1, 1))
    wave_NHW = np.sin(1.3 * (across * np.cos(angle_N11) + along * np.sin(angle_N11)) + phase_N11)
    gray_NHW = 128 + 60 * wave_NHW + 25 * rng.standard_normal(wave_NHW.shape)
    return np.clip(gray_NHW, 0, 255).astype(np.uint8)[:, None], label_N


def again(image_CHW: np.ndarray, quality: int = 90, contrast: float = 0.8) -> np.ndarray:
    """Compress an image again, with another contrast."""
    buffer = io.BytesIO()
    Image.fromarray((image_CHW[0] * contrast + 20).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))[None]


class Planted(Dataset):
    """Gratings in three directions, two thirds for training, with one fault."""

    key = "planted"
    fault: str = ""

    def load(self, cache: Path) -> ImageArrays:  # noqa: ARG002 - drawn
        images_NCHW, label_N = drawn(360, 3)
        part_N = np.where(np.arange(360) < 240, "train", "validation")
        values = {"images": images_NCHW, "label_N": label_N, "class_names": ("a", "b", "c"), "split_N": part_N}
        plant = FAULTS.get(self.fault)
        if plant is not None:
            plant(values)
        return ImageArrays(**values)


def copies(values: dict, num: int = 5, change: Callable = lambda image: image) -> None:
    for index in range(num):
        values["images"][240 + index] = change(values["images"][index])


def within(values: dict) -> None:
    values["images"][3:24] = values["images"][0]
    values["label_N"][3:24] = values["label_N"][0]


def two_classes(values: dict) -> None:
    values["images"][1:60:3] = values["images"][:60:3]


def named(values: dict, pattern: Callable[[int], str]) -> None:
    values["name_N"] = [pattern(index) for index in range(360)]


def exchanged(values: dict) -> None:
    values["label_N"][240:] = np.array([1, 2, 0])[values["label_N"][240:]]


def shuffled(values: dict, first: int = 240) -> None:
    rng = np.random.default_rng(1)
    values["label_N"][first:] = rng.permutation(values["label_N"][first:])


def relabelled(values: dict, first: int, labels: np.ndarray) -> None:
    """Draw images of other classes, so that labels and pictures still agree."""
    images_NCHW, _ = drawn(3 * len(labels), 3, seed=5)
    values["images"][first : first + len(labels)] = images_NCHW[np.arange(len(labels)) * 3 + labels]
    values["label_N"][first : first + len(labels)] = labels


FAULTS: dict[str, Callable[[dict], None]] = {
    "copies": copies,
    "one copy": lambda values: copies(values, 1),
    "near copies": lambda values: copies(values, 5, again),
    "within": within,
    "two classes": two_classes,
    "patients": lambda values: named(values, lambda index: f"{index % 60:08d}_{index // 60:03d}.png"),
    "patients apart": lambda values: named(values, lambda index: f"{index // 4:08d}_{index % 4:03d}.png"),
    "numbered": lambda values: named(values, lambda index: f"pattern_{index}.png"),
    "folders": lambda values: named(values, lambda index: f"{'abc'[(index % 3 + (index == 7)) % 3]}/{index}.png"),
    "twice named": lambda values: values.update(class_names=("cat", "Cat ", "dog")),
    "numbers": lambda values: values.update(class_names=("1", "10", "2")),
    "absent": lambda values: relabelled(values, 240, np.arange(120) % 2),
    "shifted": lambda values: relabelled(values, 240, np.repeat([0, 1, 2], [20, 24, 76])),
    "rare": lambda values: relabelled(values, 240, np.where(np.arange(120) < 2, 0, 1 + np.arange(120) % 2)),
    "unequal": lambda values: relabelled(values, 0, np.repeat([0, 1, 2], [225, 10, 5])),
    "black": lambda values: values.update(images=values["images"] // 255),
    "alike": lambda values: values.update(images=values["images"] // 128 + 100),
    "blank": lambda values: values["images"].__setitem__(slice(0, 360, 10), 0),
    "bright": lambda values: values["images"].__setitem__(slice(240, 360), values["images"][240:] // 4 + 190),
    "empty channel": lambda values: values.update(
        images=np.concatenate([values["images"], values["images"], np.zeros_like(values["images"])], axis=1)
    ),
    "gray as colour": lambda values: values.update(images=values["images"].repeat(3, axis=1)),
    "exchanged": exchanged,
    "shuffled": shuffled,
    "no meaning": lambda values: shuffled(values, 0),
}


class Net(nn.Module):
    """Convolution, batch normalisation, pooling, head; with one fault."""

    def __init__(self, channels: int, num_classes: int, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.conv = nn.Conv2d(channels, 12, 5, padding=2)
        self.norm = nn.BatchNorm2d(
            12, momentum=1e-5 if fault == "lagging" else 0.1, track_running_stats=fault != "beside"
        )
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(12, num_classes)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        maps_BCHW = self.conv(images_BCHW) + 20 * (self.fault == "lagging")
        features_BC = torch.relu(self.norm(maps_BCHW)).mean((2, 3))
        if self.fault == "random":
            features_BC = nn.functional.dropout(features_BC, 0.5, training=True)
        if self.fault == "learning":
            self.seen += 1
        logits_BK = self.head(self.drop(features_BC))
        if self.fault == "probabilities":
            return logits_BK.softmax(dim=1)
        if self.fault == "hot":
            return 40 * logits_BK
        if self.fault == "blind":
            return 0 * logits_BK + self.head.bias
        if self.fault == "upside down" and not self.training:
            return -logits_BK
        if self.fault == "not a number":
            return logits_BK / 0 * 0
        if self.fault == "raising" and self.training:
            raise ValueError("no such layer")
        return logits_BK


class PlantedModel(Model):
    """A small network with one fault."""

    key = "planted"
    fault: str = ""

    def build(self, shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Module:
        """Return the network; the one that raises does so in training only, as the meta device comes by, too."""
        fault = "" if self.fault == "raising" and torch.empty(0).is_meta else self.fault
        return Net(shape_CHW[0], num_classes, fault)


class Weighted(Metric):
    """The answers weighted by their place: it depends on the order."""

    key = "weighted"
    long_name = "Weighted by place"
    higher_is_better = True

    def compute(self, batch) -> torch.Tensor:
        weight_N = torch.arange(len(batch.label_N), dtype=torch.float64)
        return (batch.logits_NK.argmax(dim=1) * weight_N).sum()


class Plugin:
    @hookimpl
    def cnnbench_datasets(self):
        return [Planted]

    @hookimpl
    def cnnbench_models(self):
        return [PlantedModel]

    @hookimpl
    def cnnbench_metrics(self):
        return [Weighted]


@pytest.fixture(scope="session")
def planted_registry() -> Registry:
    found = Registry.discover()
    found.register(Plugin(), "planted")
    return found


@pytest.fixture(scope="session")
def doctored(planted_registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Doctored:
    """Examine the study with some changes; data only, unless there is a budget."""
    root = tmp_path_factory.mktemp("doctor")
    (root / "planted.toml").write_text(STUDY, "utf-8")

    @functools.cache
    def run(*assignments: str, budget_s: float = 0.0, runs: Path | None = None) -> Checkup:
        study = load_study(root / "planted.toml", check_component=planted_registry.check, assignments=assignments)
        return examine(study, planted_registry, Scope(root / "cache", runs or root / "runs", budget_s=budget_s))

    return run


def one(checkup: Checkup, check: str) -> Diagnosis:
    """Return the only outcome of a check."""
    found = [diagnosis for diagnosis in checkup.diagnoses if diagnosis.check == check]
    assert len(found) == 1, [diagnosis.check for diagnosis in checkup.diagnoses]
    return found[0]


@pytest.fixture
def outcome(doctored: Doctored) -> Find:
    """Examine data with a planted fault, and return what one check says."""

    def find(check: str, fault: str = "", *assignments: str) -> Diagnosis:
        return one(doctored(f"trial.dataset.fault={fault!r}", *assignments), check)

    return find


@pytest.fixture
def trained(doctored: Doctored) -> Find:
    """The same with the checks that train."""

    def find(check: str, *assignments: str) -> Diagnosis:
        return one(doctored(*assignments, budget_s=100.0), check)

    return find


@pytest.fixture(scope="session")
def told() -> Told:
    """Check that an outcome says what it must, and what to do about it."""

    def check(found: Diagnosis, condition: str, says: str) -> None:
        assert found.condition == condition, found.evidence
        assert says in found.evidence
        assert found.remedy.endswith(".")

    return check


@pytest.fixture(scope="session")
def planted_study() -> str:
    return STUDY
