"""What the benchmarks share: the installed components, and one thread as in a worker."""

from __future__ import annotations

import pytest

from cnnbench.environment import tune_torch
from cnnbench.registry import Registry


@pytest.fixture(scope="session")
def registry() -> Registry:
    """All installed components."""
    tune_torch()
    return Registry.discover()
