"""All checks on all subjects of a study, the cheap ones first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench.design import probe
from cnnbench.doctor.classes import check_balance, check_baseline, check_order, check_precision
from cnnbench.doctor.images import check_pixels, check_size, check_statistics
from cnnbench.doctor.leaks import check_copies, check_groups
from cnnbench.doctor.runs import check_run
from cnnbench.doctor.subjects import find_subjects
from cnnbench.types import Checkup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from cnnbench.design.plan import Prober
    from cnnbench.doctor.subjects import DataSubject
    from cnnbench.registry import Registry
    from cnnbench.spec import StudyFile
    from cnnbench.types import Diagnosis, ResponseInfo


@dataclass(frozen=True, slots=True)
class Scope:
    """How far an examination goes."""

    cache_dir: Path
    run: Path
    """The study's run folder, whether or not it is there."""
    device: str = "cpu"
    budget_s: float = 60.0
    """Seconds for the checks that compute with networks; 0 leaves them out."""


def examine(
    study: StudyFile,
    registry: Registry,
    scope: Scope,
    progress: Callable[[str, int, int], None] | None = None,
    prober: Prober = probe,
) -> Checkup:
    """Examine a study: its data, its networks, and its earlier results if there are any.

    Args:
        study: The study.
        registry: All components.
        scope: Where, and for how long.
        progress: Told (what is being looked at, done, in all).
        prober: Tries whether a network can be built.

    Raises:
        CnnbenchError: Data or design cannot be used at all, so that there is nothing to be examined.
    """
    subjects = find_subjects(study, registry, scope.cache_dir, prober, progress)
    margin = _margin(study, subjects.responses)
    found: list[Diagnosis] = []
    for subject in subjects.data:
        found += _of_data(subject, margin, study.spec.design.replicates, progress)
    if scope.budget_s > 0:
        from cnnbench.doctor.networks import check_networks  # noqa: PLC0415 - torch, which --quick does not need

        found += check_networks(subjects, registry, scope.device, scope.budget_s, progress)
    found.append(check_run(scope.run))
    return Checkup(study.spec.name, study.spec.question, study.profile, tuple(found))


def _of_data(
    subject: DataSubject, margin: float | None, replicates: int, progress: Callable[[str, int, int], None] | None
) -> Iterator[Diagnosis]:
    yield check_order(subject)
    yield check_balance(subject)
    yield check_baseline(subject)
    yield check_precision(subject, margin, replicates)
    yield from check_pixels(subject)
    yield check_statistics(subject)
    yield check_size(subject)
    tell = None if progress is None else lambda done, total: progress(f"{subject.name}: comparing", done, total)
    yield from check_copies(subject, tell)
    yield check_groups(subject)


def _margin(study: StudyFile, responses: Sequence[ResponseInfo]) -> float | None:
    """Return the margin where it is one of a share of examples: a response between 0 and 1 on its own scale."""
    analysis = study.spec.analysis
    is_share = responses[0].bounded == "unit" and not responses[0].uses_time
    return analysis.equivalence_margin if is_share and analysis.scale == "raw" else None
