"""Profiles and ``--set``: changes to a study file before it is validated, and patches of factor levels."""

from __future__ import annotations

import copy
import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHOLE = frozenset({"levels", "cell", "cells"})
"""Tables that an overlay replaces as a whole: half of an old set of levels is never what is meant."""


def overlay(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``patch`` laid over it.

    Tables are merged key by key, except for levels and cells, and for components that change what they ``use``; named
    tables patch the entries of a list that carry the same ``name`` (``[profiles.paper.trial.phases.sgdr]``); everything
    else is replaced.
    """
    result = {key: copy.deepcopy(value) for key, value in base.items()}
    for key, value in patch.items():
        result[key] = _merged(key, result.get(key), value)
    return result


def _merged(key: str, old: Any, new: Any) -> Any:
    if not isinstance(new, dict) or key in _WHOLE:
        return copy.deepcopy(new)
    if isinstance(old, list) and old and all(isinstance(item, dict) and "name" in item for item in old):
        names = {item["name"] for item in old}
        merged = [overlay(item, new[item["name"]]) if item["name"] in new else copy.deepcopy(item) for item in old]
        # A name that is not in the list becomes a new entry, so that validation can say what is wrong with it.
        return merged + [{"name": name, **entry} for name, entry in new.items() if name not in names]
    if isinstance(old, dict):
        if "use" in new and new["use"] != old.get("use"):
            return copy.deepcopy(new)
        return overlay(old, new)
    return copy.deepcopy(new)


def set_path(tree: Any, path: str, value: Any) -> None:
    """Set one value in nested tables, in place.

    A path step is a key, or the ``name`` (or ``use``, or index) of an entry of a list; ``*`` stands for all entries.

    Raises:
        KeyError: The path leads through something that is not there; the argument is the step that failed.
    """
    step, _, rest = path.partition(".")
    if isinstance(tree, list):
        entries = [index for index, item in enumerate(tree) if step in ("*", str(index), _name_of(item))]
        if not entries:
            raise KeyError(step)
        for index in entries:
            if rest:
                set_path(tree[index], rest, value)
            else:
                tree[index] = copy.deepcopy(value)
        return
    if not isinstance(tree, dict):
        raise KeyError(step)
    if not rest:
        tree[step] = copy.deepcopy(value)
        return
    child = tree.get(step)
    if isinstance(child, str):  # a component in shorthand: "resnet-small" means { use = "resnet-small" }
        child = tree[step] = {"use": child}
    elif child is None:
        child = tree[step] = {}
    set_path(child, rest, value)


def _name_of(item: Any) -> str | None:
    if isinstance(item, str):
        return item
    return item.get("name", item.get("use")) if isinstance(item, dict) else None


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split ``path=value``; the value is TOML, or a bare word as text.

    Raises:
        ValueError: There is no ``=``, or nothing before it.
    """
    path, equals, raw = text.partition("=")
    if not equals or not path.strip():
        raise ValueError(f"`{text}` is no assignment; write path=value, e.g. trial.batch_size=32.")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw.strip()
    return path.strip(), value
