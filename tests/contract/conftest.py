"""Finds every component that an installed plugin offers, so that one that is added later is tested unasked.

A test that takes an argument named after a kind (``model``, ``dataset``, ...) or ``component`` runs once for each; with
``mover`` for each augmentation that moves whole pixels.
"""

from __future__ import annotations

import pickle
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from cnnbench.plugin import KINDS

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.plugin import Component

EXAMPLES = {
    "cifar10": {"path": "${CNNBENCH_TEST_IMAGES}/cifar10"},
    "image-folder": {"path": "${CNNBENCH_TEST_IMAGES}/folder"},
    "nih-cxr14": {"path": "${CNNBENCH_TEST_IMAGES}/nih"},
    "mnist": {"path": "${CNNBENCH_TEST_IMAGES}/mnist"},
}
"""Parameters for components that have required ones, or would download what they need; by key."""

EXTRAS = {"timm": "timm"}
"""Libraries that a component needs beyond those of cnnbench; by key. What needs them is skipped without them."""


def _offered() -> dict[str, list[type[Component]]]:
    plugins = [point.load() for point in entry_points(group="cnnbench")]
    return {
        kind: [component for plugin in plugins if hasattr(plugin, hook) for component in getattr(plugin, hook)()]
        for kind, (_, hook) in KINDS.items()
    }


OFFERED = _offered()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    by_argument = {kind.replace(" ", "_"): components for kind, components in OFFERED.items()}
    by_argument["component"] = [component for components in OFFERED.values() for component in components]
    by_argument["mover"] = [one for one in OFFERED["augmentation"] if one.moves_whole_pixels]
    for argument, components in by_argument.items():
        if argument in metafunc.fixturenames:
            ids = [component.key for component in components]
            metafunc.parametrize(argument, components, ids=ids, indirect=True)


def _instance(request: pytest.FixtureRequest) -> Component:
    component_class: type[Component] = request.param
    if component_class.key in EXTRAS and request.fixturename != "component":
        pytest.importorskip(EXTRAS[component_class.key])
    return component_class(**EXAMPLES.get(component_class.key, {}))


for _argument in ("component", "mover", *(kind.replace(" ", "_") for kind in KINDS)):
    globals()[_argument] = pytest.fixture(_instance, name=_argument)


@pytest.fixture(scope="session", autouse=True)
def _images(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("images")
    for name, write in WRITERS:
        (root / name).mkdir()
        write(root / name)
    patch = pytest.MonkeyPatch()
    patch.setenv("CNNBENCH_TEST_IMAGES", str(root))
    yield
    patch.undo()


def write_folder(root: Path) -> None:
    """Write three small pictures of each of two classes."""
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (root / name).mkdir()
        for number in range(3):
            pixels = rng.integers(0, 256, (9, 12 + number, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")


def write_mnist(root: Path) -> None:
    """Write MNIST's four files with two images of each digit for training and one for testing."""
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 20), ("t10k", 10)):
        images_NHW = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        label_N = np.arange(count, dtype=np.uint8) % 10
        for name, values in (("images-idx3", images_NHW), ("labels-idx1", label_N)):
            header = bytes((0, 0, 8, values.ndim)) + b"".join(side.to_bytes(4, "big") for side in values.shape)
            (root / f"{prefix}-{name}-ubyte").write_bytes(header + values.tobytes())


def write_cifar10(root: Path) -> None:
    """Write CIFAR-10's batches with two images each."""
    rng = np.random.default_rng(0)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        table = {b"data": rng.integers(0, 256, (2, 3072), dtype=np.uint8), b"labels": [0, 1]}
        (root / name).write_bytes(pickle.dumps(table, 2))
    (root / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"cat", b"dog"]}, 2))


def write_nih(root: Path) -> None:
    """Write ChestX-ray14's files with three images of each class."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir()
    names = [f"{patient:08d}_{number:03d}.png" for patient in (1, 2) for number in range(3)]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(root / "images" / name)
    found = ("No Finding", "Mass|Edema")
    rows = [f"{name},{found[position % 2]},0,{name[:8]}" for position, name in enumerate(names)]
    table = "\n".join(["Image Index,Finding Labels,Follow-up #,Patient ID", *rows])
    (root / "Data_Entry_2017.csv").write_text(table, "utf-8")
    (root / "train_val_list.txt").write_text("\n".join(names[:3]), "utf-8")
    (root / "test_list.txt").write_text("\n".join(names[3:]), "utf-8")


WRITERS = (("folder", write_folder), ("mnist", write_mnist), ("cifar10", write_cifar10), ("nih", write_nih))
