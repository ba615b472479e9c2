"""What every check needs to say its outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench.types import Diagnosis

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.types import Condition

MOST_EXAMPLES = 8


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the doctor looks at; docs/doctor.md has a section for each."""

    key: str
    title: str

    def says(  # noqa: PLR0913 - an outcome has as many parts
        self,
        condition: Condition,
        subject: str,
        evidence: str,
        remedy: str = "",
        *,
        examples: Sequence[str] = (),
        numbers: Mapping[str, float] | None = None,
    ) -> Diagnosis:
        """Return the outcome of this check on a subject; of many examples the first are kept."""
        return Diagnosis(
            self.key, self.title, subject, condition, evidence, remedy, tuple(examples[:MOST_EXAMPLES]), numbers or {}
        )


def percent(share: float) -> str:
    """Return a share as people read it: ``46 %``, ``0.3 %``."""
    return f"{100 * share:.0f} %" if share in (0, 1) or 0.1 <= share <= 0.9 else f"{100 * share:.1f} %"


def listed(names: Sequence[str], most: int = 6) -> str:
    """Return names in backquotes, the first of many."""
    shown = ", ".join(f"`{name}`" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where that is due."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
