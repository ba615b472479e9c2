"""`cnnbench analyse`: the analysis of a run folder, or of anybody's table of results."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from cnnbench.cli.findings_text import findings_text
from cnnbench.data import default_cache_dir
from cnnbench.errors import AnalysisError
from cnnbench.report import build_view
from cnnbench.report.export import FORMAT, findings_json, plain
from cnnbench.report.r import exported_table, r_script
from cnnbench.spec import AnalysisSpec, Hypothesis
from cnnbench.stats import TableQuestion, analyse, flat_columns, flat_rows, prove, read_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cnnbench.types import Blocks, Findings

Order = Literal["log2", "linear"]
_ORDERS: Mapping[str, Order] = {"log2": "log2", "linear": "linear"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What the options of a table say, as they were typed; lists are separated by commas."""

    response: str | None = None
    factors: str | None = None
    block: str | None = None
    ordered: str | None = None
    scale: Literal["raw", "log", "logit"] = "raw"
    primary: str | None = None
    over: str | None = None
    slope: str | None = None
    interaction: str | None = None
    at: str | None = None
    margin: float | None = None
    alpha: float = 0.05
    test_size: str | None = None
    random: str | None = None
    nested_in: str | None = None
    blocks_are: Blocks | None = None
    higher_is_better: bool | None = None
    control: str | None = None
    pool_environments: bool = False

    def question(self, table: str) -> TableQuestion:
        """Return the analysis plan for a table of that name.

        Raises:
            AnalysisError: Something is missing, out of range, or contradicts another option.
        """
        factors = _names(self.factors or "")
        if self.response is None or not factors:
            raise AnalysisError(f"say which columns of {table} mean what: --response and --factors are needed.")
        if not 0 < self.alpha < 0.5:
            raise AnalysisError(f"--alpha must lie between 0 and 0.5; got {self.alpha:g}.")
        if self.margin is not None and not 0 < self.margin < inf:
            raise AnalysisError(f"--margin must be above 0; got {self.margin:g}.")
        analysis = AnalysisSpec(
            response=self.response,
            scale=self.scale,
            primary=self._hypothesis(),
            equivalence_margin=self.margin,
            alpha=self.alpha,
            datasets="fixed" if self.random is None else "random",
            pool_environments=self.pool_environments,
        )
        size = int(self.test_size) if self.test_size is not None and self.test_size.isdecimal() else self.test_size
        return TableQuestion(
            factors,
            analysis,
            self.block,
            self._orders(),
            test_size=size,
            random=self.random,
            nested_in=_names(self.nested_in or ""),
            blocks_are=self.blocks_are,
            higher_is_better=self.higher_is_better,
            control=self.control,
        )

    def _hypothesis(self) -> Hypothesis | None:
        named = [
            (option, text)
            for option, text in (
                ("--primary", self.primary),
                ("--slope", self.slope),
                ("--interaction", self.interaction),
            )
            if text is not None
        ]
        if len(named) > 1:
            raise AnalysisError(f"{named[0][0]} and {named[1][0]} are two primary hypotheses; choose one.")
        if (self.primary is None) != (self.over is None):
            raise AnalysisError("--primary (a contrast of levels) and --over (their factor) belong together.")
        if self.at is not None and self.primary is None and self.slope is None:
            raise AnalysisError("--at holds factors at a level for --primary or --slope; give one of them.")
        if self.primary is not None or self.slope is not None:
            slope = None if self.slope is None else _some("--slope", self.slope, 1, 2)
            return self._held(Hypothesis(contrast=self.primary, over=self.over, slope=slope))
        if self.interaction is not None:
            return Hypothesis(interaction=_some("--interaction", self.interaction, 2, 3))
        return None

    def _held(self, hypothesis: Hypothesis) -> Hypothesis:
        at: dict[str, str] = {}
        for pair in _names(self.at or ""):
            name, sign, level = (part.strip() for part in pair.partition("="))
            if not (name and sign and level):
                raise AnalysisError(f"--at: `{pair}` is not FACTOR=LEVEL.")
            if name in hypothesis.factors:
                raise AnalysisError(f"--at: the hypothesis is about `{name}` itself; hold other factors.")
            if name in at:
                raise AnalysisError(f"--at: `{name}` can be held at one level only; leave the other out.")
            at[name] = level
        if self.at is not None and not at:
            raise AnalysisError("--at is empty; give FACTOR=LEVEL, or leave it out.")
        return hypothesis.model_copy(update={"at": at})

    def _orders(self) -> Mapping[str, Order]:
        orders: dict[str, Order] = {}
        for pair in _names(self.ordered or ""):
            name, _, order = pair.partition("=")
            if order not in _ORDERS:
                raise AnalysisError(f"--ordered: `{pair}` is not FACTOR=log2 or FACTOR=linear.")
            orders[name.strip()] = _ORDERS[order]
        return orders


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _some(option: str, text: str, least: int, most: int) -> tuple[str, ...]:
    names = _names(text)
    if not least <= len(names) <= most or len(set(names)) < len(names):
        raise AnalysisError(f"{option} takes {least} to {most} different factors, separated by commas.")
    return names


def analyse_source(
    source: Path, plan: Plan, *, as_json: bool, csv_file: Path | None, r_file: Path | None = None
) -> None:
    """Analyse a run folder (whose plan is its own) or a table, and print the findings.

    Raises:
        AnalysisError: The source is neither, the table or its plan cannot be used, or a file cannot be written.
        StoreError: The folder is no run folder.
    """
    if not source.exists():
        raise AnalysisError(f"there is no `{source}`; name a CSV file or a run folder such as runs/entr.")
    if source.is_dir():
        if plan != Plan():
            raise AnalysisError(
                f"{source} is a folder: a run brings its own analysis plan, so leave these options out."
            )
        if r_file is not None:
            raise AnalysisError(
                f"--r-script is for tables; the script of this run is {source / 'report' / 'analysis.R'}."
            )
        view = build_view(source)
        findings, text = view.findings, findings_json(view)
    else:
        data = read_table(source, plan.question(source.name))
        findings = prove(data, analyse(data), default_cache_dir() / "proofs")
        if r_file is not None:
            _write(r_file, r_script(data, findings, exported_table(source, r_file, plan.block)))
        # Nobody can know whether these options were chosen before the results were seen.
        document: dict[str, Any] = {"format": FORMAT, "profile": None, **plain(findings), "confirmatory": None}
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    if csv_file is not None:
        _write_csv(findings, csv_file)
    if as_json:
        sys.stdout.write(text)
        return
    console = Console(highlight=False)
    for part in findings_text(findings):
        console.print(part)


def _write_csv(findings: Findings, path: Path) -> None:
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, flat_columns(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat_rows(findings))
    _write(path, table.getvalue())


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise AnalysisError(f"{path} cannot be written ({error.strerror}); choose another place.") from error
