"""Decisions on disk: stored when they are taken, with what they were taken on, and guarded against a change by hand.

decisions.json   {"format": 1, "decisions": [{"kind", "declared_sha256", "trials_sha256", "decision", "sha256"}]}
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnbench.errors import StoreError
from cnnbench.types import Choice, Decision, Look, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cnnbench.store.run_folder import RunFolder

FILE = "decisions.json"
FORMAT = 1
_KINDS = {"seeds": Look, "level": Choice}


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A decision with the fingerprints of what it was taken on."""

    decision: Decision
    declared_sha256: str
    """Of everything declared that it depends on."""
    trials_sha256: str
    """Of the ids of the trials of its round."""


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of plain JSON values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def trials_fingerprint(ids: Iterable[str]) -> str:
    """Return the SHA-256 of the ids of a round's trials."""
    return fingerprint(sorted(ids))


def read_decisions(folder: RunFolder) -> tuple[StoredDecision, ...]:
    """Return the decisions of a run folder, in the order in which they were taken.

    Raises:
        StoreError: The file cannot be read, or it is not as it was written.
    """
    document = folder.read_json(FILE)
    if document is None:
        return ()
    try:
        return tuple(_read(entry) for entry in document["decisions"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            f"{folder.path / FILE} is not as it was written; restore it, or begin anew with --fresh."
        ) from error


def _read(entry: dict[str, Any]) -> StoredDecision:
    content = {key: value for key, value in entry.items() if key != "sha256"}
    if fingerprint(content) != entry["sha256"]:
        raise ValueError(entry["sha256"])
    plain = dict(entry["decision"])
    kind = _KINDS[entry["kind"]]
    lists = {key: tuple(value) for key, value in plain.items() if isinstance(value, list)}
    if kind is Choice:
        lists["standings"] = tuple(Standing(**each) for each in plain["standings"])
    return StoredDecision(kind(**{**plain, **lists}), entry["declared_sha256"], entry["trials_sha256"])


def add_decision(folder: RunFolder, stored: StoredDecision) -> None:
    """Append a decision to those of a run folder; it is there as a whole, or not at all.

    Raises:
        StoreError: It cannot be written.
    """
    document = folder.read_json(FILE) or {"format": FORMAT, "decisions": []}
    kind = next(name for name, known in _KINDS.items() if isinstance(stored.decision, known))
    content = {
        "kind": kind,
        "declared_sha256": stored.declared_sha256,
        "trials_sha256": stored.trials_sha256,
        "decision": json.loads(json.dumps(dataclasses.asdict(stored.decision), ensure_ascii=False)),
    }
    entries = [*document["decisions"], {**content, "sha256": fingerprint(content)}]
    folder.write_json(FILE, {**document, "decisions": entries})
