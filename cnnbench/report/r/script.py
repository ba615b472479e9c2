"""The script: a head that reads the trials, the methods (`helpers.R`), and a section for each response.

What a section calls follows from the findings: a table that the report does not have is not computed.
"""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench.report.r import literals
from cnnbench.report.r.section import packages, section, waiting_families
from cnnbench.stats import level_index, level_text, read_csv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.stats import AnalysisInput
    from cnnbench.types import Factor, Findings

_HELPERS = Path(__file__).with_name("helpers.R")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Exported:
    """The file that the script reads."""

    path: str
    """Relative to the script, with ``/`` between folders."""
    columns: Mapping[str, Sequence[str]]
    """Its texts, one for each trial of the analysis, in the same order."""
    block: str | None
    """The column that says which trials share their seeds; None where none do."""
    stripped: bool = False
    """Whether spaces around values are no part of them."""
    marked: bool = False
    """Whether the file begins with a byte order mark."""


def exported_trials(text: str, *, paired: bool) -> Exported:
    """Return ``trials.csv`` of a report as the script beside it finds it."""
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    columns = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(header, ())
    return Exported("trials.csv", columns, "replicate" if paired else None)


def exported_table(path: Path, script: Path, block: str | None) -> Exported:
    """Return anybody's table as a script finds it that lies elsewhere.

    Raises:
        AnalysisError: The table cannot be read.
    """
    found = Path(os.path.relpath(path.resolve(), script.resolve().parent))
    with path.open("rb") as file:
        marked = file.read(3) == _BOM
    return Exported(found.as_posix(), read_csv(path).columns, block, stripped=True, marked=marked)


def r_script(data: AnalysisInput, findings: Findings, exported: Exported) -> str:
    """Return an R script that reproduces the tables of ``findings`` from the exported trials.

    It reads the file by its relative path, wherever it is run from, applies the scale, and computes the tables anew
    with base R, car, emmeans and afex. Names and levels may hold any character. Its last lines are all figures with 15
    digits, as CSV under the names of the findings: ``response``, ``table``, ``key``, ``field``, ``value``.
    """
    needed = sorted(set().union(*(packages(data, found) for found in findings.responses)))
    lines = [
        *literals.comment(f"Study {findings.study}: the tables of its report, computed anew by R from its trials."),
        "#",
        "#     Rscript analysis.R",
        "#",
        *literals.comment(
            "Each block names the table of the report that it reproduces. The last lines of the output are all figures "
            f"with 15 digits, under the names of findings.json. Made by cnnbench {findings.versions['cnnbench']}."
        ),
        "",
        *[f"suppressPackageStartupMessages(library({name}))" for name in needed],
        'options(contrasts = c("contr.treatment", "contr.poly"), width = 140)',
        "",
        *_reading(exported),
        "",
        *_study(data, exported),
        "",
        _HELPERS.read_text("utf-8").rstrip("\n"),
    ]
    infos = {info.response.name: info for info in data.responses}
    for found in findings.responses:
        lines += section(data, infos[found.response], found)
    for family in waiting_families(findings.responses):
        lines += ["", *literals.comment(f"Adjusted over the family: {family}."), f"holm({literals.text(family)})"]
    return "\n".join([*lines, "", *_FIGURES]) + "\n"


_FIGURES = (
    "# ---- All figures, for programs ----",
    'cat("\\n# figures\\n")',
    "quoted <- function(x) paste0('\"', gsub('\"', '\"\"', enc2utf8(x), fixed = TRUE), '\"')",
    'rows <- vapply(figures, function(one) paste(c(quoted(one[1:4]), one[5]), collapse = ","), "")',
    'writeLines(c("response,table,key,field,value", rows), useBytes = TRUE)',
)


def _reading(exported: Exported) -> list[str]:
    encoding = 'fileEncoding = "UTF-8-BOM"' if exported.marked else 'encoding = "UTF-8"'
    lines = [
        *literals.comment("The trials, as text. The file is found from wherever this script is run."),
        'script <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))',
        'if (length(script) == 1) setwd(dirname(gsub("~+~", " ", script, fixed = TRUE)))',
        f'trials <- read.csv({literals.text(exported.path)}, colClasses = "character", check.names = FALSE,',
        f"  na.strings = character(0), {encoding})",
    ]
    if exported.stripped:
        lines += [
            'names(trials) <- trimws(names(trials), whitespace = "[\\\\h\\\\v]")',
            'trials[] <- lapply(trials, trimws, whitespace = "[\\\\h\\\\v]")',
            'trials <- trials[rowSums(trials != "") > 0, , drop = FALSE]',
        ]
    return lines


def _study(data: AnalysisInput, exported: Exported) -> list[str]:
    lines = [
        *literals.comment(
            "The design. `texts` are the values in the file, `levels` how the report calls them, `position` where they "
            "stand on the scale of an ordered factor."
        ),
        f"study <- list(alpha = {literals.number(data.analysis.alpha)}, factors = list())",
    ]
    for index, factor in enumerate(data.factors, start=1):
        lines += _factor(index, factor, exported.columns.get(factor.name, ()))
    if exported.block is not None:
        replicates = [str(value) for value in data.trials["replicate"].tolist()]
        texts = exported.columns.get(exported.block, ())
        lines += [f"study$block <- {literals.text(exported.block)}", *_blocks(texts, replicates)]
    return lines


def _factor(index: int, factor: Factor, texts: Sequence[str]) -> list[str]:
    by_text = {level_text(level): i for i, level in enumerate(factor.levels)}
    known = sorted({(_index(factor, by_text, text), text) for text in dict.fromkeys(texts)})
    shown = [level_text(factor.levels[i]) for i, _ in known]
    name = literals.text(factor.name)
    lines = literals.wrapped("", [f"study$factors[[{index}]] <- list(name = {name}", f"column = {name}"], ",")
    lines += literals.wrapped("  texts = c(", [literals.text(text) for _, text in known], "),")
    lines += literals.wrapped("  levels = c(", [literals.text(text) for text in shown], "),")
    position = [float(factor.levels[i]) for i in dict.fromkeys(i for i, _ in known)] if factor.order else []
    scale = "log2(c(" if factor.order == "log2" else "c("
    tail = ")))" if factor.order == "log2" else "))"
    if factor.order is None:
        return [*lines, "  position = NULL)"]
    return [*lines, *literals.wrapped(f"  position = {scale}", [literals.number(value) for value in position], tail)]


def _index(factor: Factor, by_text: Mapping[str, int], text: str) -> int:
    """Return the level that a text of the file means: its name, as Python spells it, or an equal number."""
    if text in by_text:
        return by_text[text]
    if text in {"True", "False"}:
        found = level_index(factor, text == "True")
        if found is not None:
            return found
    found = level_index(factor, float(text))
    if found is None:
        raise ValueError(f"{text!r} is no level of {factor.name}")
    return found


def _blocks(texts: Sequence[str], replicates: Sequence[str]) -> list[str]:
    """Return where the blocks are read, with a translation where texts that differ mean the same block."""
    pairs = dict(zip(texts, replicates, strict=True))
    if len(set(pairs.values())) == len(pairs):
        return ["study$blocks <- trials[[study$block]]"]
    keys, values = list(pairs), list(pairs.values())
    return [
        *literals.wrapped("same_block <- c(", [literals.text(value) for value in values], ")"),
        *literals.wrapped("names_of_blocks <- c(", [literals.text(key) for key in keys], ")"),
        "study$blocks <- same_block[match(trials[[study$block]], names_of_blocks)]",
    ]
