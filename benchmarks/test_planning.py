"""Planning a large study: 20,000 cells, 100,000 trials."""

from __future__ import annotations

from pathlib import Path

from cnnbench.design import Feasibility, make_plan
from cnnbench.registry import Registry
from cnnbench.spec import load_study
from cnnbench.types import DatasetInfo

STUDY = f"""
format = 1
name = "large"
question = "How long does it take to plan?"
[trial]
model = {{ use = "resnet-small", depth = 8, width = 2 }}
dataset = "digits"
optimizer = "sgd"
[[trial.phases]]
name = "one"
epochs = 1
size_px = 8
[factors.depth]
path = "model.depth"
levels = [8, 14]
[factors.batch]
path = "batch_size"
levels = {list(range(1, 51))}
[factors.lr]
path = "optimizer.lr"
levels = {[level / 100 for level in range(1, 11)]}
[factors.width]
path = "model.width"
levels = {list(range(1, 21))}
[design]
replicates = 5
"""

INFO = DatasetInfo("f" * 64, 3, ("a", "b"), (50, 50), 100, 64, 64, has_splits=False, has_test_split=False)


def test_planning_a_hundred_thousand_trials(benchmark, registry: Registry, tmp_path: Path):
    """From a loaded study to trials with identities; data and probes are given."""
    path = tmp_path / "large.toml"
    path.write_text(STUDY, "utf-8")
    spec = load_study(path, check_component=registry.check).spec
    plan = benchmark.pedantic(
        lambda: make_plan(spec, registry, lambda _: INFO, lambda _: Feasibility(None, 1.0), "large.toml"), rounds=3
    )
    assert len(plan.trials) == 100_000
