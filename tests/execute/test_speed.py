from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from rich.console import Console

from cnnbench.cli.speed import speed_text
from cnnbench.errors import SetupError
from cnnbench.execute import RunOptions, Session, open_session
from cnnbench.execute import speed as module
from cnnbench.execute.speed import Measured, Place, Total, measure_speed, totals
from cnnbench.registry import Registry
from cnnbench.spec import load_study

STUDY = """
format = 1
name = "ways"
question = "Which way is faster?"
[trial]
model = { use = "resnet-small", depth = 8, width = 2 }
dataset = { use = "digits", limit_per_class = 8 }
split = { validation = 0.25 }
batch_size = 16
[[trial.phases]]
name = "warm"
epochs = 1
size_px = 8
trainable = "head"
[[trial.phases]]
name = "small"
epochs = 2
size_px = 8
[[trial.phases]]
name = "large"
epochs = 3
size_px = 12
[factors.depth]
path = "model.depth"
levels = [8, 14]
order = "log2"
[factors.smoothing]
path = "loss.label_smoothing"
levels = [0.0, 0.1]
[design]
replicates = 3
"""


@pytest.fixture
def ways(registry: Registry, tmp_path: Path) -> Session:
    """A study of two networks at two sizes, one of them with a frozen body, too; smoothing costs nothing."""
    file = tmp_path / "ways.toml"
    file.write_text(STUDY, "utf-8")
    study = load_study(file, check_component=registry.check)
    return open_session(study, registry, RunOptions(runs_dir=tmp_path / "runs"))


def measured(session: Session, registry: Registry, **options: bool) -> list[Place]:
    return measure_speed(session, registry, "cpu", compiled=options.get("compiled", False), progress=lambda _: None)


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TURN_S", 0.01)
    monkeypatch.setattr(module, "_TURNS", 3)


@pytest.mark.usefixtures("_short")
def test_the_expensive_networks_are_measured(ways: Session, registry: Registry):
    places = measured(ways, registry)

    assert (places[0].cell["depth"], places[0].size_px, places[0].batch_size) == (14, 12, 16)
    assert 1 < len(places) <= 3
    total = sum(trial.flops for trial in ways.plan.trials)
    assert 0.5 * total < sum(place.flops for place in places) <= total
    for place in places:
        assert [one.way for one in place.ways] == ["as declared", "precision = bf16"]
        assert place.ways[0].speed == (1.0, 1.0, 1.0)
        assert all(0 < least <= middle <= most for _, (middle, least, most) in ((o.way, o.speed) for o in place.ways))
        assert not place.refused


def test_every_flop_belongs_to_one_kind_of_step(ways: Session):
    kinds = module._kinds(ways.plan.trials)

    assert sum(kind.flops for kind in kinds) == pytest.approx(sum(trial.flops for trial in ways.plan.trials))
    # Two depths, at two sizes and with a frozen body; what the loss is like costs nothing.
    assert len(kinds) == 2 * 3
    assert all(len(kind.cells) == 2 for kind in kinds)
    assert [kind.flops for kind in kinds] == sorted((kind.flops for kind in kinds), reverse=True)


@pytest.mark.usefixtures("_short")
def test_a_way_that_fails_is_told_and_costs_nothing_else(
    ways: Session, registry: Registry, monkeypatch: pytest.MonkeyPatch
):
    enter = module.Training.enter_phase

    def enter_phase(self: module.Training, *arguments: object, **named: bool) -> None:
        if self.recipe.precision == "bf16":
            raise SetupError("no bfloat16 here.\nA long story.")
        enter(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(module.Training, "enter_phase", enter_phase)
    places = measured(ways, registry)

    assert all(place.refused == {"precision = bf16": "no bfloat16 here."} for place in places)
    text = told(places, ways)
    assert "failed" in text
    assert "no bfloat16 here." in text


def test_compiling_needs_a_compiler(ways: Session, registry: Registry, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(SetupError, match="no-such-compiler"):
        measured(ways, registry, compiled=True)


def test_a_study_that_declares_a_way_is_compared_with_the_other():
    recipe = module.Recipe.model_validate(
        {"model": "m", "dataset": "d", "phases": [{"name": "p", "epochs": 1, "size_px": 8}]}
    )

    def names(**changes: object) -> list[str]:
        return list(module._ways(recipe.model_copy(update=changes), compiled=True))

    assert names() == ["as declared", "precision = bf16", "compile = true", "compile = true, precision = bf16"]
    assert names(precision="bf16")[1] == "precision = fp32"
    assert names(compile=True) == ["as declared", "precision = bf16", "compile = false"]


# ------------------------------------------------------------------------------------------------ the whole study


def a_place(session: Session, flops: float, **speeds: float) -> Place:
    """Steps of a tenth of a second, in ways that are so many times as fast."""
    ways = {"as declared": 1.0} | {name.replace("_", " = "): speed for name, speed in speeds.items()}
    return Place(
        cell=session.plan.trials[0].cell,
        num_cells=2,
        size_px=12,
        batch_size=16,
        flops=flops,
        step_flops=flops / 100,
        ways=tuple(
            Measured(way, 0.1 / speed, (speed, speed, speed), 30.0, is_compiled=way == "compile = true")
            for way, speed in ways.items()
        ),
        refused={},
    )


def told(places: list[Place], session: Session) -> str:
    console = Console(width=200, record=True, file=None, quiet=False)
    with console.capture() as capture:
        for part in speed_text(places, session, "cpu", 2):
            console.print(part)
    return capture.get()


def test_the_whole_study_is_extrapolated_by_flops(ways: Session):
    total = sum(trial.flops for trial in ways.plan.trials)
    places = [a_place(ways, total / 4, precision_bf16=2.0), a_place(ways, total / 4, precision_bf16=1.0)]

    declared, bf16 = totals(places, ways)

    # Each place is 100 steps of 0.1 s, and both are half of the study.
    assert declared == Total("as declared", pytest.approx(40.0), 0.0)
    assert bf16 == Total("precision = bf16", pytest.approx(30.0), 0.0)


def test_compiling_counts_once_for_each_kind_of_step(ways: Session):
    total = sum(trial.flops for trial in ways.plan.trials)
    (_, compiled) = totals([a_place(ways, total, compile_true=2.0)], ways)
    assert compiled.ready_s == 30.0 * len(module._kinds(ways.plan.trials))


def test_a_way_that_failed_somewhere_is_not_extrapolated(ways: Session):
    total = sum(trial.flops for trial in ways.plan.trials)
    places = [a_place(ways, total / 2, precision_bf16=2.0), a_place(ways, total / 2)]
    assert [one.way for one in totals(places, ways)] == ["as declared"]


def test_ways_that_were_not_measured_everywhere_are_said_to_be_not_compared(ways: Session):
    """As where the precision is a factor, so that the other one is another one in each place."""
    total = sum(trial.flops for trial in ways.plan.trials)
    text = told([a_place(ways, total / 2, precision_bf16=2.0), a_place(ways, total / 2, precision_fp32=0.5)], ways)

    assert "precision = bf16, precision = fp32 not measured everywhere, so not compared;" in text
    assert "No other way that was measured everywhere is worth it." in text


def test_a_declared_way_that_is_compiled_is_billed_for_it(ways: Session):
    place = a_place(ways, sum(trial.flops for trial in ways.plan.trials), compile_false=0.9)
    compiled = dataclasses.replace(place.ways[0], is_compiled=True)
    declared, plain = totals([dataclasses.replace(place, ways=(compiled, *place.ways[1:]))], ways)
    assert declared.ready_s > 0
    assert plain.ready_s == 0


@pytest.mark.parametrize(
    ("speeds", "sentence"),
    [
        ({"precision_bf16": 2.0}, "With precision = bf16 it is 2.0 times as fast."),
        ({"precision_bf16": 2.0}, "Decide before the study is run: --set trial.precision=bf16"),
        ({"precision_bf16": 1.05}, "No other way is worth it"),
        ({"precision_bf16": 0.5}, "No other way is worth it"),
        ({"compile_true": 5.0}, "No other way is worth it"),  # six minutes of compiling for ten seconds of training
    ],
)
def test_what_is_worth_it_is_said_and_nothing_else(ways: Session, speeds: dict[str, float], sentence: str):
    total = sum(trial.flops for trial in ways.plan.trials)
    assert sentence in told([a_place(ways, total, **speeds)], ways)


def test_a_study_that_cannot_be_measured_sends_to_the_doctor(ways: Session):
    assert "`cnnbench doctor` says why" in told([], ways)


def test_an_unbuildable_place_is_left_out(ways: Session, registry: Registry, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(module.Training, "enter_phase", fail)
    assert measured(ways, registry) == []
