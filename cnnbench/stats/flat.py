"""Findings as one flat table, a row for each test and each effect."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from cnnbench.types import Classical, Effect, Interval, TestRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnbench.types import Findings, ResponseFindings


def flat_rows(findings: Findings) -> Iterator[dict[str, Any]]:
    """Yield tests, then effects, of every response; all rows have the same columns, None where one says nothing.

    ``response``, ``scale``, ``kind`` (``test`` or ``effect``), ``table`` (key of the test table, or
    ``further_effects``), then the fields of `Effect` and `TestRow` under their names, intervals as ``..._low`` and
    ``..._high``, those of `Classical` with ``classical_``, ``mixed_`` or ``complete_`` before them. A test's ``key`` is
    its term. Last comes ``stage``, of a sequential design.
    """
    names = flat_columns()
    parts: list[tuple[str | None, tuple[ResponseFindings, ...]]]
    parts = [(stage.name, stage.responses) for stage in findings.stages] or [(None, findings.responses)]
    for stage, responses in parts:
        for found in responses:
            for row in _rows(found):
                flat = {"response": found.response, "scale": found.scale, **row, "stage": stage}
                yield {name: flat.get(name) for name in names}


def flat_columns() -> tuple[str, ...]:
    """Return the columns of every row."""
    names = (name for kind in (Effect, TestRow) for name in _names(kind) if name != "term")
    return ("response", "scale", "kind", "table", *dict.fromkeys(names), "stage")


def _names(kind: type[Effect | TestRow | Classical]) -> Iterator[str]:
    for field in fields(kind):
        if field.name in {"classical", "mixed", "complete"}:
            yield from (f"{field.name}_{name}" for name in _names(Classical))
        elif field.name.endswith("interval"):
            yield from (f"{field.name}_low", f"{field.name}_high")
        else:
            yield field.name


def _rows(found: ResponseFindings) -> Iterator[dict[str, Any]]:
    other = found.other_scale
    for table in (*found.tests, *found.further_tests, *(other.tests if other is not None else ())):
        for row in table.rows:
            values = _flat(row)
            yield {
                **values,
                "kind": "test",
                "table": table.key,
                "key": values.pop("term"),
                "label": row.term,
                "method": table.title,
                "family": table.family,
            }
    for effect in (
        *found.effects,
        *((other.effect,) if other is not None and other.effect is not None else ()),
    ):
        yield {**_flat(effect), "kind": "effect"}
    for effect in found.further_effects:
        yield {**_flat(effect), "kind": "effect", "table": "further_effects"}


def _flat(value: Effect | TestRow | Classical) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for field in fields(value):
        item = getattr(value, field.name)
        if isinstance(item, Interval):
            flat |= {f"{field.name}_low": item.low, f"{field.name}_high": item.high}
        elif isinstance(item, Classical):
            flat |= {f"{field.name}_{name}": part for name, part in _flat(item).items()}
        else:
            flat[field.name] = item
    return flat
