"""From pydantic's errors to sentences with a remedy."""

from __future__ import annotations

import difflib
import types
import typing
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cnnbench.spec.toml import KeyPath

_EXPECTED = {
    "bool": "true or false",
    "dict": "a table",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "model": "a table",
    "model_attributes": "a table",
    "string": "a text in quotes",
    "tuple": "a list",
}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` did you mean `close`?`` or the list of what there is, ready to be appended to a sentence."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`?"
    if not known:
        return "there are none."
    return f"there is {', '.join(f'`{name}`' for name in known)}."


def explain(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[KeyPath, str]]:
    """Yield the path and the sentence of each problem, those of unions reduced to one for each key."""
    told: dict[KeyPath, list[str]] = {}
    for item in error.errors(include_url=False):
        path = _real_path(item["loc"], model)
        told.setdefault(path, []).append(_sentence(item, path, model))
    for path, sentences in told.items():
        yield path, _joined(sentences)


def _joined(sentences: list[str]) -> str:
    """Join what the members of a union say: a value that fits none of them is one mistake, not many."""
    unique = list(dict.fromkeys(sentences))
    expected = [sentence.removeprefix("must be ").split("; got ") for sentence in unique]
    if len(unique) > 1 and all(sentence.startswith("must be ") and "; got " in sentence for sentence in unique):
        return f"must be {' or '.join(dict.fromkeys(what for what, _ in expected))}; got {expected[0][1]}"
    return unique[0] if len(unique) == 1 else " Or: ".join(unique)


def _sentence(item: Any, path: KeyPath, model: type[BaseModel]) -> str:
    kind, context, value = item["type"], item.get("ctx", {}), item["input"]
    if kind == "extra_forbidden":
        return f"unknown key; {did_you_mean(str(path[-1]), _fields_at(path[:-1], model))}"
    if kind == "missing":
        return "this key is required."
    if kind == "value_error":
        return str(context["error"])
    kind_of_value = kind.removesuffix("_type").removesuffix("_parsing").removesuffix("_from_float")
    expected = _EXPECTED.get(kind_of_value, item["msg"].removeprefix("Input should ").removeprefix("be "))
    if kind == "literal_error":
        expected = context["expected"].replace("'", '"')
    elif kind == "string_pattern_mismatch":
        expected = "lower case letters, digits, `-` and `_`, beginning with a letter"
    return f"must be {expected}; got {_shown(value)}."


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, dict):
        return "a table"
    return "a list" if isinstance(value, list | tuple) else str(value)


def _annotation_choices(annotation: Any) -> Iterator[Any]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _annotation_choices(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType):
        for member in typing.get_args(annotation):
            yield from _annotation_choices(member)
    else:
        yield annotation


def _steps(annotation: Any, key: str | int) -> Iterator[Any]:
    """Yield the annotations that a value under ``key`` may have."""
    for choice in _annotation_choices(annotation):
        arguments = typing.get_args(choice)
        origin = typing.get_origin(choice)
        if isinstance(choice, type) and issubclass(choice, BaseModel):
            if key in choice.model_fields:
                yield choice.model_fields[str(key)].annotation
        elif origin is dict and isinstance(key, str):
            yield arguments[1]
        elif origin is tuple and isinstance(key, int):
            yield arguments[0]


def _fields_at(path: KeyPath, model: type[BaseModel]) -> set[str]:
    annotations: list[Any] = [model]
    for key in path:
        annotations = [inner for annotation in annotations for inner in _steps(annotation, key)]
    choices = [choice for annotation in annotations for choice in _annotation_choices(annotation)]
    return {
        field
        for choice in choices
        if isinstance(choice, type) and issubclass(choice, BaseModel)
        for field in choice.model_fields
    }


def _real_path(location: tuple[int | str, ...], model: type[BaseModel]) -> KeyPath:
    """Drop what pydantic adds to a location (names of union members), keep what stands in the file."""
    path: KeyPath = ()
    annotations: list[Any] = [model]
    for index, key in enumerate(location):
        inner = [step for annotation in annotations for step in _steps(annotation, key)]
        is_last = index == len(location) - 1
        if inner:
            path, annotations = (*path, key), inner
        elif is_last and _fields_at(path, model) and not str(key).endswith("]") and key != "bool":
            path = (*path, key)  # an unknown key of a known table
    return path
