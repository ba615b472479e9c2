"""`cnnbench selfcheck`: this installation beside R and NIST, case by case."""

from __future__ import annotations

import json
import sys

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cnnbench.report.export import plain
from cnnbench.stats import checked_cases, summarise_checks

BEYOND_TOLERANCE = 13
"""Exit code where a figure is wrong."""


def print_selfcheck(*, as_json: bool) -> int:
    """Compute every case anew, print the errors, and return the exit code."""
    cases = checked_cases()
    found = summarise_checks(cases)
    if as_json:
        document = {**plain(found), "by_case": plain(cases)}
        sys.stdout.write(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n")
        return BEYOND_TOLERANCE if found.failed else 0
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Case", overflow="fold")
    table.add_column("Figures", justify="right")
    table.add_column("Worst error", justify="right", no_wrap=True)
    table.add_column("Of", overflow="fold")
    for case in cases:
        table.add_row(case.name, str(case.figures), f"{case.worst_error:.1e}", Text(case.worst_figure))
    console = Console(highlight=False)
    console.print(table)
    for figure in found.failed:
        console.print(Text(f"Beyond its tolerance: {figure}"))
    console.print(Text(found.sentence))
    return BEYOND_TOLERANCE if found.failed else 0
