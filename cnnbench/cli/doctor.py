"""`cnnbench doctor`: a study is examined before hours are spent on it."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cnnbench.cli.commands import EXIT_FAULT_FOUND
from cnnbench.data import default_cache_dir
from cnnbench.doctor import Scope, examine
from cnnbench.environment import choose_devices
from cnnbench.execute.probes import CachedProber
from cnnbench.execute.session import run_name
from cnnbench.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from cnnbench.cli.commands import Invocation
    from cnnbench.types import Checkup, Condition, Diagnosis

FORMAT = 1
_TELL_AFTER_S = 5.0
_STYLES: dict[Condition, str] = {"fault": "bold red", "warning": "yellow", "ok": "green", "not applicable": "dim"}


def run_doctor(invocation: Invocation, runs_dir: Path, device: str, budget_s: float, *, as_json: bool) -> int:
    """Examine a study and print what was found; return the exit status."""
    console = Console(highlight=False)
    registry = Registry.discover()
    study = invocation.load(registry)
    scope = Scope(default_cache_dir(), runs_dir / run_name(study), choose_devices(device)[0], budget_s)
    with CachedProber(scope.cache_dir) as prober:
        checkup = examine(study, registry, scope, None if as_json else _progress(console), prober)
    if as_json:
        sys.stdout.write(checkup_json(checkup))
    else:
        for part in checkup_text(checkup):
            console.print(part)
    return EXIT_FAULT_FOUND if checkup.count("fault") else 0


def checkup_json(checkup: Checkup) -> str:
    """Return a checkup as a JSON document; numbers that are not finite become null."""
    document = {
        "format": FORMAT,
        "study": checkup.study,
        "profile": checkup.profile,
        "faults": checkup.count("fault"),
        "warnings": checkup.count("warning"),
        "checks": [_plain(one) for one in checkup.diagnoses],
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def _plain(diagnosis: Diagnosis) -> dict[str, object]:
    numbers = {name: value if abs(value) < float("inf") else None for name, value in diagnosis.numbers.items()}
    return {**dataclasses.asdict(diagnosis), "numbers": numbers}


def checkup_text(checkup: Checkup) -> Iterator[RenderableType]:
    """Yield the verdict, then faults and warnings with their remedies, then the rest in a line each."""
    profile = f" ({checkup.profile})" if checkup.profile else ""
    yield Text(f"{checkup.study}{profile}: {checkup.question}", style="bold")
    yield Text(f"{_verdict(checkup)}\n")
    for diagnosis in sorted(checkup.diagnoses, key=lambda one: one.condition):  # faults before warnings
        if diagnosis.condition in {"fault", "warning"}:
            yield _in_full(diagnosis)
    rest: tuple[Condition, ...] = ("ok", "not applicable")
    for condition in rest:
        found = [diagnosis for diagnosis in checkup.diagnoses if diagnosis.condition == condition]
        if found:
            yield Text(condition, style=_STYLES[condition])
            yield Padding(_briefly(found), (0, 0, 1, 2))


def _verdict(checkup: Checkup) -> str:
    faults, warnings = checkup.count("fault"), checkup.count("warning")
    looked = len(checkup.diagnoses) - checkup.count("not applicable")
    what = ", ".join(
        f"{number} {noun}{'' if number == 1 else 's'}"
        for number, noun in ((faults, "fault"), (warnings, "warning"))
        if number
    )
    if faults:
        return f"{what} in {looked} checks. Mend the faults before you run it."
    return f"No fault{f', {what}' if warnings else ''} in {looked} checks."


def _in_full(diagnosis: Diagnosis) -> RenderableType:
    text = Text(f"{diagnosis.condition}: {diagnosis.title} ", style=_STYLES[diagnosis.condition])
    text.append(f"[{diagnosis.subject}]\n", style="dim")
    text.append(f"{diagnosis.evidence}\n", style="default")
    for example in diagnosis.examples:
        text.append(f"  {example}\n", style="dim")
    text.append("Remedy: ", style="bold default")
    text.append(f"{diagnosis.remedy}\n", style="default")
    return text


def _briefly(diagnoses: Sequence[Diagnosis]) -> Table:
    """Draw one line for each check: a single outcome as it is, of several how many they are."""
    table = Table.grid(padding=(0, 2))
    by_title: dict[str, list[Diagnosis]] = {}
    for diagnosis in diagnoses:
        by_title.setdefault(diagnosis.title, []).append(diagnosis)
    for title, found in by_title.items():
        evidence = dict.fromkeys(f"{one.evidence} {one.remedy}".rstrip() for one in found)
        shown = next(iter(evidence)) if len(evidence) == 1 else f"{len(found)} times; first: {next(iter(evidence))}"
        table.add_row(Text(title), Text(shown, style="dim"))
    return table


def _progress(console: Console) -> Callable[[str, int, int], None]:
    """Return what tells of long work: a line at most every few seconds."""
    told = time.monotonic()

    def progress(what: str, done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told > _TELL_AFTER_S:
            told = time.monotonic()
            console.print(Text(f"{what}: {done} of {total}", style="dim"))

    return progress
