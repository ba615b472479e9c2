"""Compiled networks; the compiler is that of the machine."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException

from cnnbench.environment import check_compiler, compiler, tune_torch
from cnnbench.errors import SetupError
from cnnbench.execute import RunOptions, Session, open_session, run_session
from cnnbench.registry import Registry
from cnnbench.spec import StudyFile, load_study
from cnnbench.train import TrialRequest, run_trial
from cnnbench.train import forward as module
from cnnbench.train.forward import Forward
from cnnbench.types import TrialFailure

from .compiled_study import STUDY, Silent


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    tune_torch()


@pytest.fixture
def _compiler() -> None:
    try:
        check_compiler(["cpu"])
    except SetupError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("_compiler")
def test_a_compiled_study_is_repeatable_and_close_to_a_plain_one(tmp_path: Path):
    script = Path(__file__).with_name("compiled_study.py")
    subprocess.run([sys.executable, script, tmp_path], check=True)
    facts = json.loads((tmp_path / "facts.json").read_text("utf-8"))

    assert facts["finished"] == [2, 2]
    # A process that has compiled must not be forked: its workers are spawned, and find what was compiled in the cache.
    assert facts["may_fork"] == [True, False]
    assert facts["forked"] == facts["here"] == facts["spawned"]
    np.testing.assert_allclose(facts["here"][0], facts["plain"], rtol=0.02)
    assert facts["graphs"][0] == facts["graphs"][1] > 0, "seeds share what was compiled"
    assert facts["environment"] == {**facts["plain_environment"], "compiler": compiler("cpu")}
    assert facts["environments"] == 1


def test_compiling_is_a_part_of_a_trials_identity(registry: Registry, tmp_path: Path):
    plans = []
    for name, text in (("plain", STUDY.replace("compile = true", "")), ("compiled", STUDY)):
        file = tmp_path / f"{name}.toml"
        file.write_text(text, "utf-8")
        study = load_study(file, check_component=registry.check)
        plans.append(open_session(study, registry, RunOptions(runs_dir=tmp_path / "runs")).plan)

    assert not {trial.id for trial in plans[0].trials} & {trial.id for trial in plans[1].trials}
    assert "compile" not in plans[0].trials[0].recipe


def test_what_cannot_be_compiled_is_said_in_a_sentence(
    session: Session, registry: Registry, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> torch.Tensor:
        raise TorchDynamoException("no such kernel.\nand a long story")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: refuse)
    module._compiled.cache_clear()
    trial = session.plan.trials[0]
    request = TrialRequest(dataclasses.replace(trial, recipe={**trial.recipe, "compile": True}), "cpu", None)
    try:
        failure = run_trial(request, registry, session.datasets[trial.data_fingerprint], Silent())
    finally:
        module._compiled.cache_clear()

    assert isinstance(failure, TrialFailure)
    assert failure.error_class == "SetupError"
    assert "on this machine (no such kernel); leave `compile` out." in failure.message


def test_a_missing_compiler_is_found_before_anything_runs(
    study: StudyFile, registry: Registry, options: RunOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    trial = study.spec.trial.model_copy(update={"compile": True})
    compiled = dataclasses.replace(study, spec=study.spec.model_copy(update={"trial": trial}))
    session = open_session(compiled, registry, options)

    with pytest.raises(SetupError, match=r"needs a C\+\+ compiler, and there is no `.*none`"):
        run_session(session, registry, options, registry.observers())

    assert not session.folder.path.exists()
    assert compiler("cpu") == str(tmp_path / "none")


def test_a_gpu_needs_triton_and_a_c_compiler(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SetupError, match="needs triton"):
        check_compiler(["cuda:0"])
    monkeypatch.setattr("importlib.util.find_spec", lambda _: True)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(SetupError, match="needs a C compiler"):
        check_compiler(["cuda:0"])
    monkeypatch.setattr("importlib.import_module", lambda _: SimpleNamespace(__version__="7"))
    assert compiler("cuda:0") == "triton 7"


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_mean_cross_entropy(smoothing: float):
    torch.manual_seed(0)
    network, inputs_B, label_B = nn.Linear(4, 3), torch.randn(5, 4), torch.tensor([0, 1, 2, 1, 0])

    loss, logits_BK = Forward(torch.device("cpu"), "fp32", smoothing, is_compiled=False)(network, inputs_B, label_B)

    wanted_BK = torch.full((5, 3), smoothing / 3)
    wanted_BK[torch.arange(5), label_B] += 1 - smoothing
    assert torch.equal(logits_BK, network(inputs_B))
    torch.testing.assert_close(loss, -(wanted_BK * logits_BK.log_softmax(1)).sum(1).mean())
