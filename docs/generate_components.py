"""Write ``docs/components.md`` from the components themselves: ``python docs/generate_components.py``."""  # noqa: INP001 - a script

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cnnbench_plugins

from cnnbench.plugin import KINDS, Component, Metric

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).with_name("components.md")

HEADINGS = {
    "model": "Models",
    "dataset": "Datasets",
    "augmentation": "Augmentations",
    "optimizer": "Optimizers",
    "scheduler": "Schedules",
    "metric": "Metrics",
}

PREFACE = """\
# Components

Everything that comes with cnnbench. `cnnbench plugins list` prints what is installed on your machine, other people's
plugins included. A study file names a component by its key: `model = "resnet-small"`, or with parameters
`model = { use = "resnet-small", depth = 14 }`. Components without parameters to set may be written as a plain text.

This page is written by `python docs/generate_components.py` from the components themselves; a test keeps it in step.
"Source" is the module that holds the code. Where a component follows a paper, its description names it.
[study-file.md](study-file.md) says where each kind is used, [write-a-plugin.md](write-a-plugin.md) how to add one.
"""

NOTES = {
    "dataset": """\
`textures`, `digits` and `shapes` need no download. Sources and licences of what ships with the package are in
[ATTRIBUTION.md](../plugins/cnnbench_plugins/data/ATTRIBUTION.md). What becomes of unusual image files in an
`image-folder`: orientation marks of cameras are obeyed, transparency is laid on white, 16-bit gray is scaled (not cut
off), palettes and CMYK become RGB, the first of several frames is taken. A file that cannot be decoded stops the study
with its name, before anything is trained. Entries of a zip archive that lead out of it are refused.""",
    "augmentation": """\
Augmentations see images in 0 to 1, before normalisation, as whole batches; every image draws numbers of its own. They
are applied in the order of the list, to training batches and, in test-time augmentation, to evaluation images.""",
    "optimizer": """\
`lr` is the base learning rate of every phase that does not set its own; a learning-rate finder replaces it.""",
    "scheduler": """\
A schedule is a pure function of progress within its phase; its value is multiplied with the base learning rate of each
layer group at every step.""",
    "metric": """\
Metrics are computed on the validation part after every epoch (on the test part, too, if the split has one), after the
clock has stopped. `train_loss` and `train_accuracy` are recorded always and need no metric.""",
}


def page() -> str:
    """Return the whole page."""
    parts = [PREFACE]
    for kind, (_, hook) in KINDS.items():
        offered = getattr(cnnbench_plugins, hook, None)
        if offered is None:
            continue
        parts.append(f"## {HEADINGS[kind]}\n")
        if kind in NOTES:
            parts.append(f"{NOTES[kind]}\n")
        parts += [_component(component) for component in sorted(offered(), key=lambda component: component.key)]
    return "\n".join(parts)


def _component(component: type[Component]) -> str:
    text = re.sub(r"`{1,2}([^`]+)`{1,2}", r"`\1`", inspect.cleandoc(component.__doc__ or ""))
    lines = [f"### {component.key}", "", text, ""]
    lines += [f"Source: `{component.__module__}.{component.__name__}`, version {component.version}.", ""]
    if issubclass(component, Metric):
        lines += [_declared(component), ""]
    if component.model_fields:
        schema = component.model_json_schema()
        lines += ["| parameter | type | default | meaning |", "|---|---|---|---|"]
        lines += list(_rows(component, schema))
    else:
        lines.append("No parameters.")
    return "\n".join([*lines, ""])


def _declared(metric: type[Metric]) -> str:
    direction = {True: "higher is better", False: "lower is better", None: "no better direction"}
    bounds = {"unit": "between 0 and 1", "positive": "above 0", "none": "unbounded"}
    dims = f"dimensions {' x '.join(metric.dims)}" if metric.dims else "a scalar"
    time = "; depends on time" if metric.uses_time else ""
    better = direction[metric.higher_is_better]
    return f"{metric.long_name}: {dims}, unit `{metric.unit}`, {better}, {bounds[metric.bounded]}{time}."


def _rows(component: type[Component], schema: dict[str, Any]) -> Iterator[str]:
    for name, field in component.model_fields.items():
        property_schema = schema["properties"][name]
        default = "required" if field.is_required() else f"`{toml_text(field.default)}`"
        meaning = (field.description or "").replace("|", "\\|")
        yield f"| `{name}` | {type_text(property_schema)} | {default} | {meaning} |"


def toml_text(value: Any) -> str:
    """Return a value as a study file writes it; ``none`` where a key may be left out."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_text, value))}]"
    return str(value)


def type_text(schema: dict[str, Any]) -> str:
    """Return a JSON Schema as a reader says it: ``whole number, at least 1``."""
    if "anyOf" in schema:
        return " or ".join(type_text(choice) for choice in schema["anyOf"] if choice.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{toml_text(value)}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        least = schema.get("minItems")
        inner = type_text(schema["items"])
        return f"list of {inner}{f' (at least {least})' if least else ''}"
    names = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
    limits = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    bounds = [f"{word} {schema[key]:g}" for key, word in limits.items() if key in schema]
    return ", ".join([names[schema["type"]], *bounds])


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
