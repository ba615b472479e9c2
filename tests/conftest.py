"""What tests of several rooms share: the installed components, a tiny study, and folders of its own for each test."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from cnnbench.execute import RunOptions, Session, open_session, run_session
from cnnbench.registry import Registry
from cnnbench.spec import StudyFile, load_study

# Examples have no deadline: a busy machine is no failure. `tox` repeats the same examples; at hand they are drawn anew.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("exploring", deadline=None)
settings.load_profile("exploring")

QUICK_TRIAL = """
[trial]
model = { use = "resnet-small", depth = 8, width = 2 }
dataset = { use = "digits", limit_per_class = 8 }
split = { validation = 0.25 }
optimizer = { use = "sgd", lr = 0.05 }
batch_size = 16
"""
TINY_STUDY = f"""
format = 1
name = "tiny"
question = "Is it quick?"
{QUICK_TRIAL}
augmentation = ["zoom"]
metrics = ["accuracy", "loss", "confusion-matrix"]

[[trial.phases]]
name = "small"
epochs = 1
size_px = 8

[[trial.phases]]
name = "large"
epochs = 2
size_px = 12
evaluate = ["plain", "tta"]

[factors.width]
path = "model.width"
levels = [2, 4]
order = "log2"

[design]
replicates = 2
"""
GROWING_STUDY = f"""
format = 1
question = "What next?"
{QUICK_TRIAL}
[[trial.phases]]
name = "main"
epochs = 1
size_px = 8
"""


@pytest.fixture(scope="session")
def registry() -> Registry:
    """All components that are installed."""
    return Registry.discover()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the user's cache out of the tests, and the tests out of the user's cache."""
    patch = pytest.MonkeyPatch()
    patch.setenv("CNNBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session", autouse=True)
def _heed_interrupts() -> None:
    """Let programs that tests start be interrupted; a shell that starts the tests in the background ignores Ctrl-C."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def study_path(tmp_path: Path) -> Path:
    """The file of a study whose trials take a moment."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_STUDY, "utf-8")
    return path


@pytest.fixture(scope="session")
def growing_study() -> Callable[[str, str], str]:
    """Write a study of one quick phase: its name, and its tables from ``[factors]`` on."""

    def write(name: str, tables: str) -> str:
        return f'name = "{name}"\n{GROWING_STUDY}\n{tables}'

    return write


@pytest.fixture(scope="session")
def finished_run(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Run the tiny study with some changes, once for all tests that ask for the same; to be read, or to be copied."""

    @cache
    def run(*assignments: str) -> Path:
        root = tmp_path_factory.mktemp("finished")
        (root / "tiny.toml").write_text(TINY_STUDY, "utf-8")
        options = RunOptions(runs_dir=root / "runs", workers=0, device="cpu")
        study = load_study(root / "tiny.toml", check_component=registry.check, assignments=assignments)
        session = open_session(study, registry, options)
        run_session(session, registry, options, registry.observers())
        return session.folder.path

    return run


@pytest.fixture
def study(study_path: Path, registry: Registry) -> StudyFile:
    """That study, loaded."""
    return load_study(study_path, check_component=registry.check)


@pytest.fixture
def options(tmp_path: Path) -> RunOptions:
    """Run it in this process, in a folder of the test's own."""
    return RunOptions(runs_dir=tmp_path / "runs", workers=0, device="cpu")


@pytest.fixture
def session(study: StudyFile, registry: Registry, options: RunOptions) -> Session:
    """That study, planned."""
    return open_session(study, registry, options)
