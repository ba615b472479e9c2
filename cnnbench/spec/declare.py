"""What a study declares about its analysis, as a fingerprint: it is fixed before the first trial."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnbench.spec.model import StudySpec


def analysis_hash(spec: StudySpec) -> str:
    """Return the SHA-256 of everything that the study declares about its analysis."""
    analysis = spec.analysis.model_dump(mode="json")
    if analysis["datasets"] == "fixed":
        del analysis["datasets"]  # the fingerprints of studies that were run before the key existed stay what they were
    declared: dict[str, Any] = {
        "analysis": analysis,
        "responses": {name: response.model_dump(mode="json") for name, response in spec.responses.items()},
        "pairing": spec.design.pairing,
    }
    design = spec.design.model_dump(mode="json")
    if spec.design.seeds is not None:
        declared["seeds"] = design["seeds"]
    if spec.design.kind == "sequential":
        declared["sequential"] = {name: design[name] for name in ("stage", "baseline", "confirm")}
    return hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()
