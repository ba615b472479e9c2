"""In what two documents of plain JSON values differ: two versions of a study, or two places where it ran."""

from __future__ import annotations

import json
from typing import Any


def differences(old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    """Return dotted path, old and new value of everything that differs; None stands for an entry that is not there.

    Lists of tables are matched by their ``name`` or ``use`` where these are unique, else by position. An empty value
    and one that is not there are the same: a newer version's empty default is no change.
    """
    before, after = _flat(old), _flat(new)
    paths = (path for path in {**before, **after} if _given(before.get(path)) != _given(after.get(path)))
    return [(path, before.get(path), after.get(path)) for path in paths]


def shown(value: Any) -> str:
    """Return a value of a difference as text."""
    return "(not there)" if value is None else json.dumps(value, ensure_ascii=False)


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {key: leaf for name, inner in value.items() for key, leaf in _flat(inner, f"{path}.{name}").items()}
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        named = {str(item.get("name", item.get("use", index))): item for index, item in enumerate(value)}
        return _flat(named if len(named) == len(value) else dict(enumerate(value)), path)
    return {path.lstrip("."): value}


def _given(value: Any) -> Any:
    return None if value in ((), [], {}, "") else value
