"""`cnnbench compare`: what was found, as text, JSON and CSV."""

from __future__ import annotations

import csv
import json
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console

from cnnbench.cli.compare_text import comparison_text
from cnnbench.compare import compare
from cnnbench.errors import AnalysisError
from cnnbench.report.export import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cnnbench.compare import Options
    from cnnbench.types import Comparison

FORMAT = 1
"""Version of the JSON; raised when a key changes its meaning or goes."""


def print_comparison(given: Sequence[str], options: Options, *, as_json: bool, csv_file: Path | None) -> None:
    """Compare sources and print what was found.

    Raises:
        AnalysisError: The sources cannot be compared, or the CSV file cannot be written.
        StoreError: A folder is no run folder, or a file in it cannot be read.
    """
    found = compare(given, options)
    if csv_file is not None:
        _write_csv(found, csv_file)
    if as_json:
        document = {"format": FORMAT, **plain(found)}
        sys.stdout.write(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n")
        return
    console = Console(highlight=False)
    for part in comparison_text(found):
        console.print(part)


def _write_csv(found: Comparison, path: Path) -> None:
    rows = list(_rows(found))
    free = list(found.groups[0].cell) if found.groups else []
    columns = [*free, *_COLUMNS]
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise AnalysisError(f"{path} cannot be written ({error.strerror}); choose another place.") from error


_COLUMNS = (
    "replicate",
    "split",
    "view",
    "first",
    "second",
    "first_trial_id",
    "second_trial_id",
    "num_examples",
    "first_share",
    "second_share",
    "n10",
    "n01",
    "difference",
    "interval_low",
    "interval_high",
    "se",
    "p_exact",
    "p_exact_holm",
    "chisq",
    "p_chisq",
    "chisq_corrected",
    "p_chisq_corrected",
)


def _rows(found: Comparison) -> Iterator[dict[str, Any]]:
    """Yield a row for each pair of trials: the fields of `ExamplePair` with those of its group."""
    for group in found.groups:
        share = {each.name: each.share for each in group.found.accuracies}
        trial = dict(zip((source.name for source in found.sources), group.trial_ids, strict=True))
        for pair in group.found.pairs:
            values = plain(pair)
            values.pop("wald_interval")
            interval = values.pop("interval") or {"low": None, "high": None}
            yield {
                **group.cell,
                "replicate": group.replicate,
                "split": group.split,
                "view": group.view,
                "first_trial_id": trial[str(pair.first)],
                "second_trial_id": trial[str(pair.second)],
                "num_examples": group.found.num_examples,
                "first_share": share[pair.first],
                "second_share": share[pair.second],
                "interval_low": interval["low"],
                "interval_high": interval["high"],
                **values,
            }
