"""The exception tree of cnnbench: one exit code per class, and nothing else.

    CnnbenchError (1)            anything below, for callers who want to catch all of it
    ├── SpecError (3)            the study file: TOML, keys, values, components, factor paths
    ├── PluginError (4)          a plugin that is broken, or two that claim the same name
    ├── DataError (5)            images or labels that cannot be used
    ├── DesignError (6)          a design with nothing left to run
    ├── StoreError (7)           results that cannot be written or read
    │   └── RunLockedError (8)   another process works on the same run folder
    ├── SetupError (9)           this installation or machine: torch build, device
    └── AnalysisError (10)       trials that cannot be analysed at all

A user's mistake is one of these, and its message is a sentence with a remedy. Anything else is a bug and keeps its
traceback. An interrupted study exits with 130, a study whose trials all failed with 11 (see ``docs/errors.md``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class CnnbenchError(Exception):
    """A mistake that its user can mend; the message is one sentence with a remedy."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a study file."""

    key: str
    """Dotted path of the key, e.g. ``trial.phases.0.epochs``; empty for the file as a whole."""
    message: str
    """What is wrong and what to do about it, as a sentence."""
    line: int | None = None
    """Line in the file, counted from 1."""
    column: int | None = None
    """Column in the line, counted from 1."""


class SpecError(CnnbenchError):
    """A study file that cannot be used, with every problem that was found in it."""

    exit_code = 3

    def __init__(self, source: str | Path, problems: Sequence[Problem]) -> None:
        self.source = str(source)
        self.problems = tuple(problems)
        super().__init__("\n".join(self._line(problem) for problem in self.problems))

    def _line(self, problem: Problem) -> str:
        where = ":".join(str(part) for part in (self.source, problem.line, problem.column) if part is not None)
        return f"{where}: {problem.key}: {problem.message}" if problem.key else f"{where}: {problem.message}"


class PluginError(CnnbenchError):
    """A plugin that is broken, or two that claim the same name."""

    exit_code = 4


class DataError(CnnbenchError):
    """Images or labels that cannot be used."""

    exit_code = 5


class DesignError(CnnbenchError):
    """A design with nothing left to run."""

    exit_code = 6


class StoreError(CnnbenchError):
    """Results that cannot be written or read."""

    exit_code = 7


class RunLockedError(StoreError):
    """Another process works on the same run folder."""

    exit_code = 8


class SetupError(CnnbenchError):
    """An installation or a machine that lacks what the study needs."""

    exit_code = 9


class AnalysisError(CnnbenchError):
    """Trials that cannot be analysed at all."""

    exit_code = 10
