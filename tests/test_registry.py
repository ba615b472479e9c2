from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pluggy
import pytest
from pydantic import Field

from cnnbench import registry as registry_module
from cnnbench.errors import PluginError, SpecError
from cnnbench.plugin import Dataset, Metric, Model, ReportSection, hookimpl
from cnnbench.registry import Registry
from cnnbench.spec import Ref, load_study
from cnnbench.types import Plan


class Plain(Model):
    """A model."""

    key = "plain"
    width: int = 4


class Named(Dataset):
    """A dataset of the same key as the model."""

    key = "plain"


class Hooks:
    """A plugin object."""

    def __init__(self, **hooks: Callable[..., Any]) -> None:
        vars(self).update({name: hookimpl(hook) for name, hook in hooks.items()})


def plugin(**hooks: Callable[..., Any]) -> Hooks:
    """Return a plugin object with these hook implementations."""
    return Hooks(**hooks)


def offering(*models: Any) -> Hooks:
    """Return a plugin object that offers these models."""
    return plugin(cnnbench_models=lambda: list(models))


def variant(base: type[Any] = Model, **attributes: Any) -> type[Any]:
    """Return a component class with these attributes and parameters."""
    return type("Odd", (base,), {"__module__": __name__, **attributes})


# ------------------------------------------------------------------------------------------------ registration


def test_a_good_plugin_is_listed_with_its_origin():
    registry = Registry()
    registry.register(plugin(cnnbench_models=lambda: [Plain], cnnbench_datasets=lambda: (Named,)), "mine", "mine 1.0")
    entries = [(entry.kind, entry.component, entry.plugin, entry.distribution) for entry in registry.entries()]
    assert entries == [("model", Plain, "mine", "mine 1.0"), ("dataset", Named, "mine", "mine 1.0")]


def test_components_are_listed_by_kind_and_key(registry: Registry):
    entries = [(entry.kind, entry.component.key) for entry in registry.entries()]
    kinds = list(dict.fromkeys(kind for kind, _ in entries))
    assert entries == [(kind, key) for kind in kinds for key in sorted(key for other, key in entries if other == kind)]


class Sectioned(ReportSection):
    """A section that cannot be rendered without being told more."""

    key = "section"
    title: str


@pytest.mark.parametrize(
    ("hook", "component", "fault"),
    [
        ("cnnbench_models", Plain(), "Plain(width=4), which is no Model class; return classes, not instances."),
        ("cnnbench_models", Named, f"{Named!r}, which is no Model class; return classes, not instances."),
        ("cnnbench_models", 3, "3, which is no Model class; return classes, not instances."),
        ("cnnbench_models", variant(), "Odd, which has no `key`; every Model needs one."),
        (
            "cnnbench_models",
            variant(key="Odd One"),
            "Odd with the key 'Odd One'; a key is lower case, its words joined by hyphens.",
        ),
        ("cnnbench_models", variant(key=3), "Odd with the key 3; a key is lower case, its words joined by hyphens."),
        (
            "cnnbench_models",
            variant(key="odd", __annotations__={"use": int}, use=1),
            "Odd with a parameter `use`; the name is taken, so choose another.",
        ),
        (
            "cnnbench_metrics",
            variant(Metric, key="logits", long_name="Odd", higher_is_better=None),
            "Odd with the key `logits`, which names something else in trial files; choose another.",
        ),
        (
            "cnnbench_metrics",
            variant(Metric, key="odd", long_name="Odd"),
            "Odd, which has no `higher_is_better`; every Metric needs one.",
        ),
        (
            "cnnbench_report_sections",
            Sectioned,
            "Sectioned with a parameter `title` without default; a section is rendered with its defaults.",
        ),
    ],
)
def test_what_is_no_component_is_refused_with_the_reason(hook: str, component: Any, fault: str):
    registry = Registry()
    with pytest.raises(PluginError) as caught:
        registry.register(plugin(**{hook: lambda: [component]}), "odd")
    assert str(caught.value) == f"plugin `odd`: {hook} returns {fault}"
    assert registry.entries() == []


def test_two_plugins_cannot_offer_the_same_key():
    registry = Registry()
    registry.register(offering(Plain), "first")
    with pytest.raises(PluginError) as caught:
        registry.register(offering(variant(key="other"), variant(key="plain")), "second")
    assert str(caught.value) == (
        "plugin `second` offers the model `plain`, which plugin `first` offers already; rename one of them or "
        "uninstall one of the plugins."
    )
    assert [entry.component for entry in registry.entries()] == [Plain]


def test_one_plugin_cannot_offer_a_key_twice():
    with pytest.raises(PluginError, match="plugin `mine` offers the model `plain`, which plugin `mine` offers already"):
        Registry().register(offering(Plain, variant(key="plain")), "mine")


def test_a_plugin_cannot_be_registered_twice():
    registry, mine = Registry(), offering(Plain)
    registry.register(mine, "mine")
    for again, name in ((mine, "other"), (offering(), "mine")):
        with pytest.raises(PluginError, match=f"plugin `{name}` is registered twice"):
            registry.register(again, name)
    assert [entry.plugin for entry in registry.entries()] == ["mine"]


@pytest.mark.parametrize(
    "hooks",
    [
        {"cnnbench_models": lambda wrong: [wrong]},
        {"cnnbench_epoch_finished": lambda trial, recrod: (trial, recrod)},
        {"cnnbench_modles": lambda: [Plain]},
    ],
)
def test_a_hook_that_does_not_fit_fails_at_registration_and_leaves_nothing(hooks: Mapping[str, Callable[..., Any]]):
    registry, told = Registry(), []
    odd = plugin(**hooks, cnnbench_datasets=lambda: [Named], cnnbench_study_finished=lambda plan: told.append([plan]))
    with pytest.raises(pluggy.PluginValidationError):
        registry.register(odd, "odd")
    registry.observers().study_finished(EMPTY, 0, 0)
    assert (registry.entries(), told) == ([], [])
    registry.register(offering(Plain), "odd")
    assert [entry.component for entry in registry.entries()] == [Plain]


# ------------------------------------------------------------------------------------------------ discovery


class FakePoint:
    """An entry point that loads a given object, or raises."""

    dist = SimpleNamespace(name="fake", version="0.3")

    def __init__(self, name: str, loaded: object) -> None:
        self.name, self.value, self._loaded = name, f"{name}:plugin", loaded

    def load(self) -> object:
        if isinstance(self._loaded, BaseException):
            raise self._loaded
        return self._loaded


def discover(monkeypatch: pytest.MonkeyPatch, points: Sequence[FakePoint | EntryPoint]) -> Registry:
    """Return the registry of an environment with these entry points."""
    monkeypatch.setattr(registry_module, "entry_points", lambda group: {"cnnbench": points}[group])
    return Registry.discover()


@pytest.mark.parametrize(
    ("loaded", "error"),
    [
        (ImportError("no module named x\nsecond line"), "ImportError: no module named x"),
        (SystemExit(3), "SystemExit: 3"),
        (offering(variant()), "PluginError: plugin `bad`: cnnbench_models returns Odd, which has no `key`;"),
        (plugin(cnnbench_models=lambda: Plain), "TypeError: "),
        (plugin(cnnbench_models=lambda: 1 / 0), "ZeroDivisionError: division by zero"),
    ],
)
def test_a_broken_plugin_is_listed_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch, loaded: object, error: str):
    registry = discover(monkeypatch, [FakePoint("bad", loaded), FakePoint("good", offering(Plain))])
    assert [entry.plugin for entry in registry.entries()] == ["good"]
    (broken,) = registry.broken
    assert (broken.plugin, broken.distribution) == ("bad", "fake 0.3")
    assert broken.error.startswith(error)
    assert broken.traceback.startswith("Traceback (most recent call last):")
    assert broken.error.split(":")[0] in broken.traceback


def test_plugins_are_loaded_in_the_order_of_their_names(monkeypatch: pytest.MonkeyPatch):
    points = [FakePoint(name, offering(Plain)) for name in ("zeta", "alpha")]
    registry = discover(monkeypatch, points)
    assert [entry.plugin for entry in registry.entries()] == ["alpha"]
    assert [broken.plugin for broken in registry.broken] == ["zeta"]


def test_a_study_that_may_need_a_broken_plugin_says_so(monkeypatch: pytest.MonkeyPatch, study_path: Path):
    installed = list(registry_module.entry_points(group="cnnbench"))
    registry = discover(monkeypatch, [*installed, FakePoint("bad", ImportError("no module named x"))])
    study_path.write_text(study_path.read_text("utf-8").replace("resnet-small", "bad-net"), "utf-8")
    with pytest.raises(SpecError) as caught:
        load_study(study_path, check_component=registry.check)
    (problem,) = [problem for problem in caught.value.problems if problem.key == "trial.model.use"]
    assert problem.message.startswith("there is no model `bad-net`; ")
    assert problem.message.endswith(" The plugin `bad` is broken (ImportError: no module named x).")


def test_a_study_that_needs_no_broken_plugin_is_loaded(monkeypatch: pytest.MonkeyPatch, study_path: Path):
    installed = list(registry_module.entry_points(group="cnnbench"))
    registry = discover(monkeypatch, [*installed, FakePoint("bad", ImportError("no module named x"))])
    assert load_study(study_path, check_component=registry.check).spec.name == "tiny"


# ------------------------------------------------------------------------------------------------ components


def test_equal_tables_give_the_same_component(registry: Registry):
    first = registry.model(Ref(use="resnet-small", depth=14))
    assert first is registry.model(Ref(use="resnet-small", depth=14))
    assert first != registry.model(Ref(use="resnet-small", depth=8))
    assert first.model_dump()["depth"] == 14


def test_a_resolved_table_gives_the_component_back(registry: Registry):
    assert registry.optimizer(Ref(use="sgd", version="1", lr=0.1)).lr == 0.1


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        (Ref(use="sgdd"), "optimizer `sgdd`: use: there is no optimizer `sgdd`; did you mean `sgd`?"),
        (Ref(use="sgd", lrr=1), "optimizer `sgd`: lrr: unknown key; did you mean `lr`?"),
    ],
)
def test_a_component_that_cannot_be_had_is_an_error(registry: Registry, ref: Ref, message: str):
    with pytest.raises(PluginError) as caught:
        registry.optimizer(ref)
    assert str(caught.value) == message


class Listed(Model):
    """A model whose author took a list for a tuple."""

    key = "listed"
    widths: list[int] = Field(default_factory=lambda: [1, 2])


def test_a_component_that_cannot_be_hashed_is_its_authors_mistake():
    registry = Registry()
    registry.register(offering(Listed), "mine")
    (((path, message)),) = registry.check("model", {"use": "listed"})
    assert path == ("use",)
    assert message.startswith("plugin `mine` must give listed parameters that can be hashed, e.g. tuples (")


# ------------------------------------------------------------------------------------------------ observers


EMPTY = Plan("tiny", (), 1, (), (), {})


def test_observers_get_the_arguments_that_they_ask_for():
    registry, told = Registry(), []
    registry.register(plugin(cnnbench_study_started=lambda num_finished: told.append([num_finished])), "mine")
    extra = plugin(cnnbench_study_started=lambda estimate_s, plan: told.append((estimate_s, plan)))
    registry.observers(extra).study_started(EMPTY, 3, None)
    assert told == [(None, EMPTY), [3]]


def test_an_observer_that_raises_is_reported_once_and_called_no_more(caplog: pytest.LogCaptureFixture):
    registry, told = Registry(), []

    def fail(plan: Plan) -> None:
        told.append("bad")
        raise RuntimeError(plan.study)

    registry.register(plugin(cnnbench_study_finished=fail, cnnbench_study_started=fail), "bad")
    registry.register(plugin(cnnbench_study_finished=lambda: told.append("good")), "good")
    observers = registry.observers()
    with caplog.at_level(logging.ERROR):
        observers.study_finished(EMPTY, 0, 0)
        observers.study_finished(EMPTY, 0, 0)
        observers.study_started(EMPTY, 0, None)
    assert sorted(told) == ["bad", "good", "good"]
    assert [record.getMessage() for record in caplog.records] == [
        "the observer `bad` raised in cnnbench_study_finished and is called no more"
    ]


def test_an_observer_of_one_study_does_not_watch_the_next():
    registry, told = Registry(), []
    extra = plugin(cnnbench_study_finished=lambda: told.append(1))
    registry.observers(extra)
    registry.observers().study_finished(EMPTY, 0, 0)
    assert told == []
    registry.observers(extra).study_finished(EMPTY, 0, 0)
    assert told == [1]


def test_an_interruption_goes_through_an_observer():
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Registry().observers(plugin(cnnbench_study_finished=interrupt)).study_finished(EMPTY, 0, 0)
