"""Load a study file: read, lay the profile over it, validate everything, and report all problems at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnbench.errors import Problem, SpecError
from cnnbench.spec.checks import check_study
from cnnbench.spec.model import StudySpec
from cnnbench.spec.overlay import name_of, overlay, parse_assignment, set_path
from cnnbench.spec.problems import check_table, did_you_mean
from cnnbench.spec.toml import Document, KeyPath, read_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from cnnbench.spec.checks import ComponentCheck
    from cnnbench.spec.problems import Finding


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
    changed: dict[KeyPath, str] = {}
    for assignment in assignments:
        _assign(data, assignment, changed, problems)
    spec, found = check_table(StudySpec, data)
    found.extend(check_study(data, spec, check_component))
    if spec is not None:
        found.extend(_unknown_profiles(spec, document.data.get("profiles", {})))
    places = _Places(document, data, profile, changed)
    problems.extend(places.problem(key_path, message) for key_path, message in dict.fromkeys(found))
    if problems or spec is None:
        problems.sort(key=lambda problem: (problem.line or 0, problem.column or 0))
        raise SpecError(path, problems)
    held = tuple(reference for reference in spec.reference if reference.profile in {None, profile})
    return StudyFile(path, document.text, profile, tuple(assignments), spec.model_copy(update={"reference": held}))


def _unknown_profiles(spec: StudySpec, profiles: Mapping[str, object]) -> Iterator[Finding]:
    for i, reference in enumerate(spec.reference):
        if reference.profile is not None and reference.profile not in profiles:
            message = f"the study has no profile `{reference.profile}`; {did_you_mean(reference.profile, profiles)}"
            yield ("reference", i, "profile"), message


def _with_profile(document: Document, profile: str | None, problems: list[Problem]) -> dict[str, Any]:
    data = {key: value for key, value in document.data.items() if key != "profiles"}
    profiles = document.data.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(value, dict) for value in profiles.values()):
        line, column = document.positions[("profiles",)]
        problems.append(Problem("profiles", "must be tables, one for each profile.", line, column))
    elif profile is not None and profile not in profiles:
        message = f"the study has no profile `{profile}`; {did_you_mean(profile, profiles)}"
        problems.append(Problem("profiles", message))
    elif profile is not None:
        return overlay(data, profiles[profile])
    return overlay(data, {})


def _assign(data: dict[str, Any], assignment: str, changed: dict[KeyPath, str], problems: list[Problem]) -> None:
    try:
        places = set_path(data, *parse_assignment(assignment))
    except KeyError as error:
        step, names = error.args
        message = f"the study has no `{step}` on this path; {did_you_mean(step, names)}"
        problems.append(Problem(f"--set {assignment}", message))
    except ValueError as error:
        problems.append(Problem("--set", str(error)))
    else:
        changed.update(dict.fromkeys(places, assignment))


@dataclass(frozen=True, slots=True)
class _Places:
    """Knows where each value of a study comes from: ``--set``, the profile, or the file's own part."""

    document: Document
    data: dict[str, Any]
    """File, profile and ``--set`` together."""
    profile: str | None
    changed: dict[KeyPath, str]
    """What ``--set`` changed: path -> assignment."""

    def problem(self, path: KeyPath, message: str) -> Problem:
        """Return a problem with its place: of the key itself, or of its nearest parent."""
        key = ".".join(str(step) for step in path)
        for place, assignment in self.changed.items():
            if path[: len(place)] == place:
                return Problem(key, f"{message} This comes from `--set {assignment}`.")
            if place[: len(path)] == path:
                message = f"{message} `--set {assignment}` changed this table."
        for length in range(len(path), 0, -1):
            if position := self._position(path[:length]):
                return Problem(key, message, *position)
        return Problem(key, message)

    def _position(self, path: KeyPath) -> tuple[int, int] | None:
        """Return where exactly this path stands: in the profile, where it may name an entry of a list, or in the file.

        The file's own value counts only if it is still there: a profile may have replaced the table that held it.
        """
        named: KeyPath = ()
        value: Any = self.data
        in_file: Any = self.document.data
        for step in path:
            value = value[step] if _holds(value, step) else None
            in_file = in_file[step] if _holds(in_file, step) else None
            name = name_of(value) if isinstance(step, int) else step
            named = (*named, name if isinstance(name, str) else step)
        candidates: list[KeyPath] = [] if value is None else [path]
        if self.profile is not None:
            in_profile: KeyPath = ("profiles", self.profile)
            candidates = [(*in_profile, *path), (*in_profile, *named), *([path] if value == in_file else [])]
        return next(filter(None, map(self.document.positions.get, candidates)), None)


def _holds(value: Any, step: str | int) -> bool:
    return step in value if isinstance(value, dict) else isinstance(value, list) and step in range(len(value))
