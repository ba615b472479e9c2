"""Discovery of plugins, collisions, and "did you mean"; the only user of pluggy's manager."""

from __future__ import annotations

import json
import logging
import re
import traceback
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pluggy

from cnnbench.errors import PluginError
from cnnbench.plugin import (
    KINDS,
    PROJECT_NAME,
    Augmentation,
    CatalogueHooks,
    Component,
    Dataset,
    Metric,
    Model,
    ObserverHooks,
    Optimizer,
    ReportSection,
    Scheduler,
)
from cnnbench.spec import Finding, Ref, StudySpec, check_table, did_you_mean
from cnnbench.types import COST_RESPONSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cnnbench.types import EpochRecord, Plan, Trial, TrialOutcome

ENTRY_POINT_GROUP = "cnnbench"

_C = TypeVar("_C", bound=Component)
_as_text = json.JSONEncoder(default=str).encode
_KEY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_RESERVED = frozenset({"use", "version", "key"})
_RESERVED_METRICS = frozenset({"logits", "label", "example"}) | COST_RESPONSES.keys()
"""What a component's table and identity say already; no parameter may be called so."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """A component class and where it comes from."""

    kind: str
    component: type[Component]
    plugin: str
    """Name of the entry point."""
    distribution: str
    """Distribution and version, e.g. ``cnnbench 0.1.0``."""


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin that could not be loaded."""

    plugin: str
    distribution: str
    error: str
    """One line."""
    traceback: str


class Registry:
    """All components that the installed plugins offer, by kind and key."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(PROJECT_NAME)
        self._manager.add_hookspecs(CatalogueHooks)
        self._manager.add_hookspecs(ObserverHooks)
        self._entries: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}
        self._validated: dict[tuple[str, str], tuple[Component | None, list[Finding]]] = {}
        self.broken: list[BrokenPlugin] = []

    @classmethod
    def discover(cls) -> Registry:
        """Load every plugin of this environment; one that raises is listed in `broken`, the others go on."""
        registry = cls()
        for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: (point.name, point.value)):
            registry._load(point)
        return registry

    def _load(self, point: EntryPoint) -> None:
        distribution = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown distribution"
        try:
            self.register(point.load(), point.name, distribution)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - what a plugin does wrong must not end the tool
            line = f"{type(error).__name__}: {error}".splitlines()[0]
            self.broken.append(BrokenPlugin(point.name, distribution, line, traceback.format_exc()))

    def register(self, plugin: object, name: str, distribution: str = "given by the caller") -> None:
        """Add a plugin: a module or an object with hook implementations; all or nothing of it.

        Raises:
            PluginError: It offers something that is no component, or a key that is taken.
            pluggy.PluginValidationError: A hook implementation does not fit its specification.
        """
        if self._manager.has_plugin(name) or self._manager.is_registered(plugin):
            raise PluginError(f"plugin `{name}` is registered twice; rename one of the two entry points, or remove it.")
        try:
            self._manager.register(plugin, name=name)
            self._manager.check_pending()
            fresh = list(self._catalogue(plugin, name, distribution))
        except BaseException:
            if self._manager.is_registered(plugin):  # which pluggy has left it, or not, depending on its version
                self._manager.unregister(plugin)
            raise
        for entry in fresh:
            self._entries[entry.kind][entry.component.key] = entry
        self._validated.clear()

    def _catalogue(self, plugin: object, name: str, distribution: str) -> Iterable[Entry]:
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        for kind, (base, hook) in KINDS.items():
            taken = {key: entry.plugin for key, entry in self._entries[kind].items()}
            caller = self._manager.subset_hook_caller(hook, remove_plugins=others)
            for component in (component for offered in caller() for component in offered):
                fault = _fault(component, base)
                if fault:
                    raise PluginError(f"plugin `{name}`: {hook} returns {fault}")
                if component.key in taken:
                    raise PluginError(
                        f"plugin `{name}` offers the {kind} `{component.key}`, which plugin `{taken[component.key]}` "
                        "offers already; rename one of them or uninstall one of the plugins."
                    )
                taken[component.key] = name
                yield Entry(kind, component, name, distribution)

    def entries(self) -> list[Entry]:
        """Return every component, sorted by kind and key."""
        return [self._entries[kind][key] for kind in KINDS for key in sorted(self._entries[kind])]

    def check(self, kind: str, table: Mapping[str, Any]) -> list[Finding]:
        """Return what is wrong with a component's table in a study file, by path within the table."""
        return self.validate(kind, table)[1]

    def validate(self, kind: str, table: Mapping[str, Any]) -> tuple[Component | None, list[Finding]]:
        """Return the component that a table describes, or what is wrong with it; equal tables give the same one."""
        content = (kind, _as_text(table))
        if content not in self._validated:
            self._validated[content] = self._validate_anew(kind, table)
        return self._validated[content]

    def _validate_anew(self, kind: str, table: Mapping[str, Any]) -> tuple[Component | None, list[Finding]]:
        key = str(table["use"])
        entry = self._entries[kind].get(key)
        if entry is None:
            return None, [(("use",), self._unknown(kind, key))]
        component, found = check_table(entry.component, {name: value for name, value in table.items() if name != "use"})
        try:
            hash(component)
        except TypeError as error:
            message = f"plugin `{entry.plugin}` must give {key} parameters that can be hashed, e.g. tuples ({error})."
            return None, [(("use",), message)]
        return component, found

    def _unknown(self, kind: str, key: str) -> str:
        broken = "".join(f" The plugin `{plugin.plugin}` is broken ({plugin.error})." for plugin in self.broken)
        return f"there is no {kind} `{key}`; {did_you_mean(key, self._entries[kind])}{broken}"

    def resolve(self, kind: str, ref: Ref) -> Component:
        """Return the component that a validated study names.

        Raises:
            PluginError: There is no such component, or its parameters do not fit (`check` gives the details).
        """
        # A resolved recipe names the version that it was resolved with; the component itself knows its own.
        table = {name: value for name, value in ref.model_dump().items() if name != "version"}
        component, found = self.validate(kind, table)
        if component is None:
            path, message = found[0]
            raise PluginError(f"{kind} `{ref.use}`: {'.'.join(map(str, path))}: {message}")
        return component

    def _typed(self, kind: str, ref: Ref, base: type[_C]) -> _C:
        component = self.resolve(kind, ref)
        assert isinstance(component, base)  # noqa: S101 - `register` admits nothing else
        return component

    def model(self, ref: Ref) -> Model:
        """Return a model."""
        return self._typed("model", ref, Model)

    def dataset(self, ref: Ref) -> Dataset:
        """Return a dataset."""
        return self._typed("dataset", ref, Dataset)

    def augmentation(self, ref: Ref) -> Augmentation:
        """Return an augmentation."""
        return self._typed("augmentation", ref, Augmentation)

    def optimizer(self, ref: Ref) -> Optimizer:
        """Return an optimizer."""
        return self._typed("optimizer", ref, Optimizer)

    def scheduler(self, ref: Ref) -> Scheduler:
        """Return a learning-rate schedule."""
        return self._typed("scheduler", ref, Scheduler)

    def metric(self, ref: Ref) -> Metric:
        """Return a metric."""
        return self._typed("metric", ref, Metric)

    def report_sections(self) -> list[ReportSection]:
        """Return every report section with its default parameters."""
        sections = self._entries["report section"]
        return [cast("ReportSection", sections[key].component()) for key in sorted(sections)]

    def observers(self, *extra: object) -> HookObservers:
        """Return the observers of all plugins, and ``extra`` ones for this study only."""
        manager = pluggy.PluginManager(PROJECT_NAME)
        manager.add_hookspecs(ObserverHooks)
        for name, plugin in self._manager.list_name_plugin():
            manager.register(plugin, name)
        for observer in extra:
            manager.register(observer)
        return HookObservers(manager)

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of study files, with the parameters of all installed components, for editors."""
        schema = StudySpec.model_json_schema()
        definitions = schema["$defs"]
        for kind in KINDS:
            variants = []
            for key, entry in sorted(self._entries[kind].items()):
                own = f"{kind} {key} ".replace(" ", "_")  # two plugins may call a part of their parameters the same
                variant = entry.component.model_json_schema(ref_template=f"#/$defs/{own}{{model}}")
                definitions.update({own + name: part for name, part in variant.pop("$defs", {}).items()})
                variant["properties"] = {"use": {"const": key}, **variant.get("properties", {})}
                variant["required"] = ["use", *variant.get("required", [])]
                variants.append(variant)
            definitions[f"Component_{kind.replace(' ', '_')}"] = {
                "anyOf": [{"enum": sorted(self._entries[kind])}, *variants],
            }
        recipe = definitions["RecipeInput"]["properties"]
        for field in ("model", "dataset", "optimizer"):
            recipe[field] = {"$ref": f"#/$defs/Component_{field}"}
        for field, kind in (("augmentation", "augmentation"), ("metrics", "metric")):
            recipe[field]["items"] = {"$ref": f"#/$defs/Component_{kind}"}
        definitions["Oversample"]["properties"]["augmentation"]["items"] = {"$ref": "#/$defs/Component_augmentation"}
        definitions["Phase"]["properties"]["schedule"] = {"$ref": "#/$defs/Component_scheduler"}
        schema["properties"]["profiles"] = {"type": "object", "additionalProperties": {"type": "object"}}
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _key_fault(key: Any, base: type[Component]) -> str | None:
    if not (isinstance(key, str) and _KEY.fullmatch(key)):
        return f"{key!r}; a key is lower case, its words joined by hyphens."
    if base is Metric and (key in _RESERVED_METRICS or key.startswith("tta-")):
        return f"`{key}`, which names something else in trial files; choose another."
    return None


def _fault(component: Any, base: type[Component]) -> str | None:
    """Return what keeps an object from being a component of a kind."""
    if not (isinstance(component, type) and issubclass(component, base)):
        return f"{component!r}, which is no {base.__name__} class; return classes, not instances."
    name = component.__name__
    missing = sorted(attribute for attribute in base.__class_vars__ if not hasattr(component, attribute))
    if missing:
        return f"{name}, which has no `{missing[0]}`; every {base.__name__} needs one."
    key: Any = component.key
    if fault := _key_fault(key, base):
        return f"{name} with the key {fault}"
    reserved = sorted(_RESERVED & component.model_fields.keys())
    if reserved:
        return f"{name} with a parameter `{reserved[0]}`; the name is taken, so choose another."
    required = sorted(field for field, info in component.model_fields.items() if info.is_required())
    if base is ReportSection and required:
        return f"{name} with a parameter `{required[0]}` without default; a section is rendered with its defaults."
    return None


class HookObservers:
    """Tells every observer; one that raises is reported once and called no more."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self._manager = manager
        self._disabled: list[object] = []

    def study_started(self, plan: Plan, num_finished: int, estimate_s: float | None) -> None:
        """See `ObserverHooks.cnnbench_study_started`."""
        self._tell("cnnbench_study_started", plan=plan, num_finished=num_finished, estimate_s=estimate_s)

    def trial_started(self, trial: Trial, device: str, resumed_epoch: int) -> None:
        """See `ObserverHooks.cnnbench_trial_started`."""
        self._tell("cnnbench_trial_started", trial=trial, device=device, resumed_epoch=resumed_epoch)

    def epoch_finished(self, trial: Trial, record: EpochRecord) -> None:
        """See `ObserverHooks.cnnbench_epoch_finished`."""
        self._tell("cnnbench_epoch_finished", trial=trial, record=record)

    def trial_finished(self, trial: Trial, outcome: TrialOutcome) -> None:
        """See `ObserverHooks.cnnbench_trial_finished`."""
        self._tell("cnnbench_trial_finished", trial=trial, outcome=outcome)

    def plan_extended(self, plan: Plan, num_finished: int, estimate_s: float | None) -> None:
        """See `ObserverHooks.cnnbench_plan_extended`."""
        self._tell("cnnbench_plan_extended", plan=plan, num_finished=num_finished, estimate_s=estimate_s)

    def study_finished(self, plan: Plan, num_finished: int, num_failed: int) -> None:
        """See `ObserverHooks.cnnbench_study_finished`."""
        self._tell("cnnbench_study_finished", plan=plan, num_finished=num_finished, num_failed=num_failed)

    def _tell(self, hook: str, **values: object) -> None:
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            if implementation.plugin in self._disabled:
                continue
            try:
                implementation.function(*(values[name] for name in implementation.argnames))
            except Exception:  # noqa: BLE001 - an observer's fault is not the study's
                self._disabled.append(implementation.plugin)
                _log.exception("the observer `%s` raised in %s and is called no more", implementation.plugin_name, hook)
