"""Load a study file: read, lay the profile over it, validate everything, and report all problems at once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from cnnbench.errors import Problem, SpecError
from cnnbench.spec.checks import check_study
from cnnbench.spec.model import StudySpec
from cnnbench.spec.overlay import overlay, parse_assignment, set_path
from cnnbench.spec.problems import did_you_mean, explain
from cnnbench.spec.toml import Document, KeyPath, read_toml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cnnbench.spec.checks import ComponentCheck


@dataclass(frozen=True, slots=True)
class StudyFile:
    """A study file with one profile applied."""

    path: Path
    text: str
    """As it stands in the file."""
    profile: str | None
    assignments: tuple[str, ...]
    """What ``--set`` changed, as ``path=value``."""
    spec: StudySpec


def load_study(
    path: Path,
    *,
    check_component: ComponentCheck,
    profile: str | None = None,
    assignments: Sequence[str] = (),
) -> StudyFile:
    """Read and validate a study file.

    Args:
        path: The TOML file.
        check_component: Says what is wrong with a component's parameters (`Registry.check`); components are validated
            in the same pass as everything else, without this room having to know them.
        profile: Name of the profile to lay over the file's own values.
        assignments: Changes as ``path=value``, laid over file and profile.

    Raises:
        SpecError: With every problem that was found, in the order of the file.
    """
    document = read_toml(path)
    problems: list[Problem] = []
    data = _with_profile(document, profile, problems)
    for assignment in assignments:
        _assign(data, assignment, problems)
    prefixes: list[KeyPath] = [("profiles", profile)] if profile else []
    spec: StudySpec | None = None
    found: list[tuple[KeyPath, str]] = []
    try:
        spec = StudySpec.model_validate(data)
    except ValidationError as error:
        found.extend(explain(error, StudySpec))
    found.extend(check_study(data, spec, check_component))
    problems.extend(_placed(key_path, message, document, prefixes) for key_path, message in dict(found).items())
    if problems or spec is None:
        problems.sort(key=lambda problem: (problem.line or 0, problem.column or 0))
        raise SpecError(path, problems)
    return StudyFile(path, document.text, profile, tuple(assignments), spec)


def _with_profile(document: Document, profile: str | None, problems: list[Problem]) -> dict[str, Any]:
    data = {key: value for key, value in document.data.items() if key != "profiles"}
    profiles = document.data.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(value, dict) for value in profiles.values()):
        line, column = document.positions[("profiles",)]
        problems.append(Problem("profiles", "must be tables, one for each profile.", line, column))
        return data
    if profile is None:
        return overlay(data, {})
    if profile not in profiles:
        message = f"the study has no profile `{profile}`; {did_you_mean(profile, profiles)}"
        problems.append(Problem("profiles", message))
        return overlay(data, {})
    return overlay(data, profiles[profile])


def _assign(data: dict[str, Any], assignment: str, problems: list[Problem]) -> None:
    try:
        set_path(data, *parse_assignment(assignment))
    except KeyError as error:
        problems.append(Problem(f"--set {assignment}", f"the study has no {error.args[0]!r} on this path."))
    except ValueError as error:
        problems.append(Problem("--set", str(error)))


def _placed(path: KeyPath, message: str, document: Document, prefixes: Sequence[KeyPath]) -> Problem:
    """Find where a key stands: in the profile, in the file's own part, or where its nearest parent stands."""
    key = ".".join(str(step) for step in path)
    problem = Problem(key, message)
    for length in range(len(path), 0, -1):
        for prefix in [*prefixes, ()]:
            if position := document.positions.get((*prefix, *path[:length])):
                return dataclasses.replace(problem, line=position[0], column=position[1])
    return problem
