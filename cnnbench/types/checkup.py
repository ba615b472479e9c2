"""What the doctor finds in a study before it is run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Condition = Literal["fault", "warning", "ok", "not applicable"]
"""``fault``: results would be wrong or worthless; ``warning``: they may be read wrongly; ``not applicable``: the check
has nothing to look at, or had no time."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The outcome of one check on one subject."""

    check: str
    """Key of the check, e.g. ``same-image-across-parts``; the heading in docs/doctor.md."""
    title: str
    """The check in words, e.g. ``Same images in several parts``."""
    subject: str
    """What was looked at, e.g. ``digits`` or ``resnet-small, digits``."""
    condition: Condition
    evidence: str
    """Sentences with the numbers."""
    remedy: str = ""
    """A sentence; empty unless there is something to mend."""
    examples: tuple[str, ...] = ()
    """Some images that show it, by name or index."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """The numbers of the evidence at full precision, by name."""


@dataclass(frozen=True, slots=True)
class Checkup:
    """All outcomes for one study and profile, in the order of the checks."""

    study: str
    question: str
    profile: str | None
    diagnoses: tuple[Diagnosis, ...]

    def count(self, condition: Condition) -> int:
        """Return how many checks ended so."""
        return sum(one.condition == condition for one in self.diagnoses)
