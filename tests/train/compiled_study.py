"""Runs a compiled study in a folder and writes `facts.json`: a process that has compiled cannot be forked any more.

Usage: python compiled_study.py FOLDER
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from cnnbench.cores import may_fork
from cnnbench.environment import tune_process, tune_torch
from cnnbench.execute import RunOptions, Session, open_session, run_session
from cnnbench.registry import Registry
from cnnbench.spec import load_study
from cnnbench.store import Study, read_trial
from cnnbench.train import TrialRequest, run_trial
from cnnbench.types import EpochRecord, TrialResult

STUDY = """
format = 1
name = "compiled"
question = "Is it the same, down to a single pixel?"

[trial]
model = { use = "resnet-small", depth = 8, width = 2 }
dataset = { use = "digits", limit_per_class = 8 }
split = { validation = 0.25 }
batch_size = 16
compile = true

[[trial.phases]]
name = "main"
epochs = 2
size_px = 4

[design]
replicates = 2
"""


class Silent:
    """Listens to a trial and says nothing."""

    def started(self, resumed_epoch: int) -> None:
        """Ignore it."""

    def epoch(self, record: EpochRecord) -> None:
        """Ignore it."""


def here(session: Session, registry: Registry, number: int, **recipe: Any) -> TrialResult:
    """Run a trial in this process."""
    trial = session.plan.trials[number]
    trial = dataclasses.replace(trial, recipe={**trial.recipe, **recipe})
    request = TrialRequest(trial, "cpu", None)
    outcome = run_trial(request, registry, session.datasets[trial.data_fingerprint], Silent())
    assert isinstance(outcome, TrialResult), outcome
    return outcome


def losses(result: TrialResult) -> list[float]:
    """Return the training loss of each epoch."""
    return [float(record.values["train_loss"]) for record in result.epochs]


def main(folder: Path) -> None:
    """Run it in forked workers, here, and in spawned workers."""
    file = folder / "compiled.toml"
    file.write_text(STUDY, "utf-8")
    registry = Registry.discover()
    study = load_study(file, check_component=registry.check)
    facts: dict[str, Any] = {"may_fork": [may_fork()]}
    for name in ("forked", "spawned"):
        session = open_session(study, registry, RunOptions(runs_dir=folder / name, workers=2))
        summary = run_session(session, registry, RunOptions(runs_dir=folder / name, workers=2), registry.observers())
        stored = [read_trial(session.folder.trial_file(trial.id)) for trial in session.plan.trials]
        facts[name] = [one.scalars["train_loss"].tolist() for one in stored]
        facts["finished"] = [*facts.get("finished", []), summary.num_finished]
        facts["environments"] = Study.open(session.folder.path).trials["environment_key"].nunique()
        facts["environment"] = stored[0].environment
        if name == "forked":
            from torch._dynamo.utils import counters

            tune_torch()
            plain = here(session, registry, 0, compile=False)
            facts["plain"], facts["plain_environment"] = losses(plain), dict(plain.environment)
            facts["here"], facts["graphs"] = [], []
            for number in range(2):
                facts["here"].append(losses(here(session, registry, number)))
                facts["graphs"].append(counters["stats"]["unique_graphs"])
            facts["may_fork"].append(may_fork())
    (folder / "facts.json").write_text(json.dumps(facts), "utf-8")


if __name__ == "__main__":  # spawned workers import this, too
    tune_process()
    main(Path(sys.argv[1]))
