"""From pydantic's errors to sentences with a remedy."""

from __future__ import annotations

import difflib
import json
import types
import typing
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from cnnbench.spec.recipe import NAME_PATTERN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cnnbench.spec.toml import KeyPath

Finding = tuple["KeyPath", str]
"""Path of a key, and what is wrong with it."""

_M = TypeVar("_M", bound=BaseModel)

_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "int_type": "a whole number",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "list_type": "a list",
    "model_type": "a table",
    "string_type": "a text in quotes",
    "tuple_type": "a list",
}
"""Type of a pydantic error -> what should have been there."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean `close`?`` or the list of what there is, ready to be appended to a sentence."""
    folded = {name.lower(): name for name in (sorted(known) if isinstance(known, set) else known)}
    close = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{folded[close[0]]}`?"
    if not folded:
        return "there are none."
    return f"there is {', '.join(f'`{name}`' for name in folded.values())}."


def check_table(model: type[_M], table: Mapping[str, Any]) -> tuple[_M | None, list[Finding]]:
    """Validate a table of a study file; return the values, or what is wrong.

    Types are taken at their word: ``"3"`` and ``3.0`` are no whole numbers. JSON is the way to have pydantic strict
    about scalars while it takes lists for tuples.
    """
    try:
        return model.model_validate_json(json.dumps(table, default=str), strict=True), []
    except ValidationError as error:
        return None, list(explain(error, model, table))


def explain(error: ValidationError, model: type[BaseModel], table: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the path in ``table`` and the sentence of each problem, those of unions reduced to one for each key."""
    items = [(_real_path(item, table), item) for item in error.errors(include_url=False)]
    told: dict[KeyPath, list[Any]] = {}
    for path, item in items:
        # A member of a union that does not fit at all, or a list whose entries are wrong: the deeper problem says it.
        is_outer = any(len(other) > len(path) and other[: len(path)] == path for other, _ in items)
        if not (is_outer and (item["type"].endswith("_type") or item["type"] in ("literal_error", "too_short"))):
            told.setdefault(path, []).append(item)
    for path, told_items in told.items():
        yield path, _joined(told_items, path, model)


def _real_path(item: Any, table: Mapping[str, Any]) -> KeyPath:
    """Drop what pydantic adds to a location (names of union members), keep what stands in the file."""
    path: KeyPath = ()
    value: Any = table
    *_, last = item["loc"] or ("",)
    for key in item["loc"]:
        if (isinstance(value, dict) and key in value) or (isinstance(value, list | tuple) and isinstance(key, int)):
            path, value = (*path, key), value[key]
    return (*path, last) if item["type"] == "missing" else path


def _joined(items: Sequence[Any], path: KeyPath, model: type[BaseModel]) -> str:
    """Join what the members of a union say: a value that fits none of them is one mistake, not many."""
    expected = list(dict.fromkeys(what for what in map(_expected, items) if what is not None))
    if len(expected) < len({item["type"] for item in items}):
        return " Or: ".join(dict.fromkeys(_sentence(item, path, model) for item in items))
    if "a number" in expected or "a finite number" in expected:
        expected = [what for what in expected if what != "a whole number"]
    *others, final = expected
    listed = f"{', '.join(others)} or {final}" if others else final
    value = items[0]["input"]
    remedy = ""
    if isinstance(value, dict) and expected == ["a list"] and all(isinstance(step, str) for step in path):
        remedy = f" Write each of its tables as `[[{'.'.join(map(str, path))}]]`."
    return f"must be {listed}; got {_shown(value)}.{remedy}"


def _expected(item: Any) -> str | None:
    """Return what should have been there, if the problem is of the kind that can be said so."""
    if item["type"] == "model_type" and item["ctx"]["class_name"] == "Ref":
        return "the name of a component or a table with `use`"
    if item["type"] == "literal_error":
        return str(item["ctx"]["expected"]).replace("'", '"')
    if item["type"] == "string_pattern_mismatch" and item["ctx"]["pattern"] == NAME_PATTERN:
        return "lower case letters, digits, `-` and `_`, beginning with a letter"
    if item["type"] == "string_too_short" and item["ctx"]["min_length"] == 1:
        return "a text that is not empty"
    text = _EXPECTED.get(item["type"])
    if text is not None:
        bounds = {
            name: f"{bound:g}" if isinstance(bound, float) else bound for name, bound in item.get("ctx", {}).items()
        }
        return text.format(**bounds)
    return item["msg"].removeprefix("Input should be ") if item["msg"].startswith("Input should be ") else None


def _sentence(item: Any, path: KeyPath, model: type[BaseModel]) -> str:
    """Return a sentence for a problem of any kind."""
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key; {_other_key(str(path[-1]), path[:-1], model)}"
    if kind == "missing":
        return "this key is required."
    if kind in ("value_error", "assertion_error"):
        return f"{str(context['error']).rstrip('.')}."
    if kind in ("too_short", "too_long"):
        bound = f"at least {context['min_length']}" if kind == "too_short" else f"at most {context['max_length']}"
        return f"must have {bound} {'entry' if bound.endswith(' 1') else 'entries'}; it has {len(item['input'])}."
    expected = _expected(item)
    if expected is not None:
        return f"must be {expected}; got {_shown(item['input'])}."
    return f"{item['msg'][:1].lower()}{item['msg'][1:].rstrip('.')}; got {_shown(item['input'])}."


def _other_key(key: str, path: KeyPath, model: type[BaseModel]) -> str:
    """Return what somebody may have meant: a key of that name one table further down, or one that is written alike."""
    known = sorted(_fields_at(path, model))
    below = [f"{table}.{key}" for table in known if key in _fields_at((*path, table), model)]
    return f"did you mean `{below[0]}`?" if below else did_you_mean(key, known)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, dict):
        return "a table"
    return "a list" if isinstance(value, list | tuple) else str(value)


# ------------------------------------------------------------------------------------------------ keys that there are


def _choices(annotation: Any) -> Iterator[Any]:
    """Yield the members of a union, or the annotation itself."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _choices(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType):
        for member in typing.get_args(annotation):
            yield from _choices(member)
    else:
        yield annotation


def _inner(annotation: Any, key: str | int) -> Iterator[Any]:
    """Yield the annotations that a value under ``key`` may have."""
    for choice in _choices(annotation):
        if _is_model(choice):
            if key in choice.model_fields:
                yield choice.model_fields[str(key)].annotation
        elif typing.get_origin(choice) is dict:
            yield typing.get_args(choice)[1]
        elif typing.get_origin(choice) in (tuple, list):
            yield typing.get_args(choice)[0]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _fields_at(path: KeyPath, model: type[BaseModel]) -> set[str]:
    """Return the keys that a table at ``path`` may have."""
    annotations: list[Any] = [model]
    for key in path:
        annotations = [inner for annotation in annotations for inner in _inner(annotation, key)]
    models = [choice for annotation in annotations for choice in _choices(annotation) if _is_model(choice)]
    return {field for choice in models for field in choice.model_fields}
