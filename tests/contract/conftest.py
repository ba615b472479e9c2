"""Finds every component that an installed plugin offers, so that one that is added later is tested unasked.

A test that takes an argument named after a kind (``model``, ``dataset``, ...) or ``component`` runs once for each.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from cnnbench.plugin import KINDS

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.plugin import Component

EXAMPLES = {"image-folder": {"path": "${CNNBENCH_TEST_IMAGES}"}}
"""Parameters for components that have required ones; by key."""


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
    for argument, components in by_argument.items():
        if argument in metafunc.fixturenames:
            ids = [component.key for component in components]
            metafunc.parametrize(argument, components, ids=ids, indirect=True)


def _instance(request: pytest.FixtureRequest) -> Component:
    component_class: type[Component] = request.param
    return component_class(**EXAMPLES.get(component_class.key, {}))


for _argument in ("component", *(kind.replace(" ", "_") for kind in KINDS)):
    globals()[_argument] = pytest.fixture(_instance, name=_argument)


@pytest.fixture(scope="session", autouse=True)
def _image_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("images")
    write_images(root)
    patch = pytest.MonkeyPatch()
    patch.setenv("CNNBENCH_TEST_IMAGES", str(root))
    yield
    patch.undo()


def write_images(root: Path) -> None:
    """Write three small pictures of each of two classes."""
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (root / name).mkdir()
        for number in range(3):
            pixels = rng.integers(0, 256, (9, 12 + number, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
