"""A large study that is finished: 10,000 trial files, really written, read back and reported.

The numbers in them are drawn; everything else is that of one real trial. A few minutes, most of them spent on writing.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from cnnbench.environment import describe
from cnnbench.execute import RunOptions, Session, open_session
from cnnbench.execute.schedule import in_order
from cnnbench.execute.session import write_documents
from cnnbench.registry import Registry
from cnnbench.report import build_view, write_report
from cnnbench.spec import load_study
from cnnbench.store import Study
from cnnbench.store.index import FILE
from cnnbench.train import TrialRequest, run_trial
from cnnbench.types import EpochRecord, TrialResult

STUDY = """
format = 1
name = "ten-thousand"
question = "How long does it take to reopen?"
[trial]
model = { use = "resnet-small", depth = 8, width = 4 }
dataset = { use = "digits", limit_per_class = 12 }
split = { validation = 0.25 }
optimizer = { use = "sgd", lr = 0.05 }
batch_size = 16
metrics = ["accuracy", "loss", "confusion-matrix"]
[[trial.phases]]
name = "main"
epochs = 10
size_px = 12
[factors.depth]
path = "model.depth"
levels = [8, 14]
order = "log2"
[factors.batch]
path = "batch_size"
levels = [8, 16, 24, 32, 40]
order = "linear"
[factors.lr]
path = "optimizer.lr"
levels = [0.01, 0.02, 0.03, 0.04, 0.05]
[design]
replicates = 200
[analysis]
response = "accuracy"
primary = { slope = ["depth", "batch"] }
equivalence_margin = 0.05
"""


class Silent:
    """Listens to a trial and says nothing."""

    def started(self, resumed_epoch: int) -> None:
        """Ignore it."""

    def epoch(self, record: object) -> None:
        """Ignore it."""


@pytest.fixture(scope="module")
def session(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """The study with every trial finished."""
    folder = tmp_path_factory.mktemp("scale")
    (folder / "study.toml").write_text(STUDY, "utf-8")
    study = load_study(folder / "study.toml", check_component=registry.check)
    planned = open_session(study, registry, RunOptions(runs_dir=folder / "runs"))
    planned.folder.create()
    write_documents(planned, describe(Path.cwd()))
    first, rng = planned.plan.trials[0], np.random.default_rng(0)
    real = run_trial(TrialRequest(first, "cpu", None), registry, planned.datasets[first.data_fingerprint], Silent())
    assert isinstance(real, TrialResult)
    for trial in planned.plan.trials:
        epochs = tuple(_drawn(record, len(real.predictions[0].label_N), rng) for record in real.epochs)
        planned.folder.save(dataclasses.replace(real, trial=trial, epochs=epochs))
    return planned


def _drawn(record: EpochRecord, num_examples: int, rng: np.random.Generator) -> EpochRecord:
    """Return an epoch with other numbers: a share of the examples, or a loss."""
    values = {
        name: value
        if value.ndim
        else np.asarray(rng.binomial(num_examples, 0.6) / num_examples if "accuracy" in name else rng.uniform(0.5, 1))
        for name, value in record.values.items()
    }
    return dataclasses.replace(record, values=values)


def test_ordering_the_trials(benchmark, session: Session):
    """Longest first, played for several numbers of replicates put together."""
    benchmark(lambda: in_order(session.plan.trials, lambda trial: trial.flops, 8, timed=False))


def test_planning_what_is_finished(benchmark, session: Session, registry: Registry):
    """Plan again, and find every trial there."""
    options = RunOptions(runs_dir=session.folder.path.parent)
    again = benchmark.pedantic(lambda: open_session(session.study, registry, options), rounds=3)
    assert again.num_finished == len(session.plan.trials) == 10_000


def test_reading_every_trial_file(benchmark, session: Session):
    """Open a run whose index is not there, and write the index."""

    def read() -> int:
        (session.folder.path / FILE).unlink(missing_ok=True)
        return len(Study.open(session.folder.path).stored)

    assert benchmark.pedantic(read, rounds=1) == 10_000


def test_reading_the_index(benchmark, session: Session):
    """Open a run that was opened before."""
    assert len(Study.open(session.folder.path).stored) == 10_000
    benchmark.pedantic(lambda: Study.open(session.folder.path).stored, rounds=5)


def test_rebuilding_the_report(benchmark, session: Session, tmp_path: Path):
    """Analyse and draw again; index and null rates are there."""
    build_view(session.folder.path)
    benchmark.pedantic(lambda: write_report(build_view(session.folder.path), (), tmp_path), rounds=2)
