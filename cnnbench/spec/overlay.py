"""Profiles and ``--set``: changes to a study file before it is validated, and patches of factor levels."""

from __future__ import annotations

import copy
import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.spec.toml import KeyPath

_WHOLE = frozenset({"baseline", "cell", "cells", "levels", "primary", "trainable"})
"""Tables that an overlay replaces as a whole: half of an old set of levels, or of an old question, is never meant."""


def overlay(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``patch`` laid over it.

    Tables are merged key by key, except for those that only make sense as a whole (levels, cells, the baseline, the
    primary hypothesis, multipliers of layer groups) and for components that change what they ``use``; named tables
    patch the entries of a list that carry the same ``name`` or ``use`` (``[profiles.paper.trial.phases.sgdr]``);
    everything else is replaced.
    """
    result = {key: copy.deepcopy(value) for key, value in base.items()}
    for key, value in patch.items():
        result[key] = copy.deepcopy(value) if key in _WHOLE else _merged(result.get(key), value)
    return result


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(new, dict):
        return copy.deepcopy(new)
    if isinstance(old, list) and old and all(isinstance(name_of(item), str) for item in old):
        return _patched_entries(old, new)
    if isinstance(old, str):
        old = {"use": old}
    if not isinstance(old, dict) or ("use" in new and new["use"] != old.get("use")):
        return copy.deepcopy(new)
    return overlay(old, new)


def _patched_entries(old: list[Any], new: Mapping[str, Any]) -> list[Any]:
    names = [name_of(item) for item in old]
    merged = [_merged(item, new[name]) if name in new else item for item, name in zip(old, names, strict=True)]
    # A name that is not in the list becomes a new entry, so that validation can say what is wrong with it.
    naming = "name" if all(isinstance(item, dict) and "name" in item for item in old) else "use"
    added = [(name, entry) for name, entry in new.items() if name not in names]
    merged += [{naming: name, **entry} if isinstance(entry, dict) else entry for name, entry in added]
    return copy.deepcopy(merged)


def name_of(entry: Any) -> Any:
    """Return the name by which a path finds an entry of a list, or None."""
    if isinstance(entry, dict):
        return entry.get("name", entry.get("use"))
    return entry if isinstance(entry, str) else None


def set_path(tree: Any, path: str, value: Any) -> list[KeyPath]:
    """Set one value in nested tables, in place, and return where: the path with list entries by position.

    A path step is a key, or the ``name`` (or ``use``, or position) of an entry of a list; ``*`` stands for all entries.
    Tables on the way are made where there are none.

    Raises:
        KeyError: The path leads through something that is not there; the arguments are the step that failed, and a
            tuple of the names that would have been found in its place.
    """
    step, _, rest = path.partition(".")
    places: list[KeyPath] = []
    for key in _keys(tree, step):
        if not rest:
            tree[key] = copy.deepcopy(value)
            places.append((key,))
            continue
        if isinstance(tree, dict) and tree.get(key) is None:
            tree[key] = {}
        if isinstance(tree[key], str):  # a component in shorthand: "resnet-small" means { use = "resnet-small" }
            tree[key] = {"use": tree[key]}
        places += [(key, *inner) for inner in set_path(tree[key], rest, value)]
    return places


def _keys(tree: Any, step: str) -> list[Any]:
    if isinstance(tree, dict):
        return [step]
    names = [name_of(item) for item in tree] if isinstance(tree, list) else []
    found = [index for index, name in enumerate(names) if step in ("*", str(index), name)]
    if not found:
        raise KeyError(step, tuple(name for name in names if isinstance(name, str)))
    return found


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
