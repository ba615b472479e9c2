"""How long the parts of the engine take: ``tox -e bench``.

Compare medians of one run with each other, not with those of another day: machines have moods.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cnnbench.data.batches import Normalization, TrainingData
from cnnbench.execute import RunOptions, open_session
from cnnbench.registry import Registry
from cnnbench.spec import AnalysisSpec, Hypothesis, Ref, load_study
from cnnbench.stats import AnalysisInput, analyse
from cnnbench.store import RunFolder
from cnnbench.train import TrialRequest, run_trial
from cnnbench.types import Factor, Response, ResponseInfo

STUDIES = Path(__file__).parent.parent / "studies"
NUM_IMAGES, SIZE_PX, BATCH = 1024, 32, 64


class Silent:
    """Listens to a trial and says nothing."""

    def started(self, resumed_epoch: int) -> None:
        """Ignore it."""

    def epoch(self, record: object) -> None:
        """Ignore it."""


def test_help(benchmark):
    """``cnnbench --help``, the interpreter's start included."""
    command = [str(Path(sys.executable).with_name("cnnbench")), "--help"]
    benchmark(lambda: subprocess.run(command, check=True, capture_output=True))


@pytest.mark.parametrize(
    "augmentations", [(), ("flip",), ("flip", "crop"), ("flip", "shift"), ("flip", "zoom"), ("flip", "zoom", "distort")]
)
def test_batches_of_an_epoch(benchmark, registry: Registry, augmentations: tuple[str, ...]):
    """Gather, augment and normalise 1,024 images of 32 px."""
    rng = np.random.default_rng(0)
    images_NCHW = rng.integers(0, 256, (NUM_IMAGES, 3, SIZE_PX, SIZE_PX), dtype=np.uint8)
    indices = np.arange(NUM_IMAGES)
    normalization = Normalization.of("train", images_NCHW, indices)
    data = TrainingData(images_NCHW, indices % 10, normalization, torch.device("cpu"))
    parts = [registry.augmentation(Ref(use=name)) for name in augmentations]

    def epoch() -> None:
        for _ in data.training_batches(indices, BATCH, (1, 2, 3), parts):
            pass

    benchmark(epoch)


def test_trial_of_the_smoke_study(benchmark, registry: Registry, tmp_path: Path):
    """A whole trial in a warm process: network, phases, evaluation, result."""
    study = load_study(STUDIES / "smoke.toml", check_component=registry.check)
    session = open_session(study, registry, RunOptions(runs_dir=tmp_path))
    trial = session.plan.trials[0]
    dataset = session.datasets[trial.data_fingerprint]
    benchmark(lambda: run_trial(TrialRequest(trial, "cpu", None), registry, dataset, Silent()))


def test_writing_a_trial(benchmark, registry: Registry, tmp_path: Path):
    """The HDF5 file of a trial, flushed to disk and renamed."""
    study = load_study(STUDIES / "smoke.toml", check_component=registry.check)
    session = open_session(study, registry, RunOptions(runs_dir=tmp_path))
    trial = session.plan.trials[0]
    outcome = run_trial(TrialRequest(trial, "cpu", None), registry, session.datasets[trial.data_fingerprint], Silent())
    folder = RunFolder(tmp_path / "run")
    folder.create()
    benchmark(lambda: folder.save(outcome))


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("num_trials", [135, 1080, 100_008])
def test_analysis_of_three_factors(benchmark, num_trials: int, *, paired: bool):
    """The whole analysis of a 3 x 3 x 3 design."""
    factors = tuple(Factor(name, (1, 2, 4), "log2") for name in ("depth", "size", "width"))
    replicates = num_trials // 27
    index = pd.MultiIndex.from_product(
        [*(factor.levels for factor in factors), range(replicates)], names=["depth", "size", "width", "replicate"]
    )
    trials = index.to_frame(index=False)
    trials["accuracy"] = 0.7 + 0.01 * np.random.default_rng(0).standard_normal(len(trials))
    trials["trial_id"] = [f"{number:064x}" for number in range(len(trials))]
    trials["concurrent_trials"], trials["environment_key"] = 1, "same"
    info = ResponseInfo(Response("accuracy", "accuracy"), "Accuracy", "1", True, "unit", False)
    data = AnalysisInput(
        study="bench",
        question="How fast?",
        factors=factors,
        trials=trials,
        analysis=AnalysisSpec(primary=Hypothesis(slope=("depth", "size")), equivalence_margin=0.01),
        responses=(info,),
        references=(),
        paired=paired,
        replicates=replicates,
        exclusions=(),
        failures=(),
        pending=0,
        confirmatory=True,
    )
    benchmark.pedantic(lambda: analyse(data), rounds=3)
