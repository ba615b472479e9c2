"""What the installed plugins offer, as a list and as a schema; nothing here waits for torch."""

from __future__ import annotations

import json
import sys

from cnnbench.registry import Registry


def list_plugins() -> None:
    """Print every component and every broken plugin."""
    registry = Registry.discover()
    kind = ""
    for entry in registry.entries():
        if entry.kind != kind:
            kind = entry.kind
            sys.stdout.write(f"{kind}s\n")
        summary = (entry.component.__doc__ or "").strip().partition("\n")[0]
        sys.stdout.write(f"  {entry.component.key:<22} {summary} [{entry.plugin}, {entry.distribution}]\n")
    for broken in registry.broken:
        sys.stdout.write(f"\nbroken: {broken.plugin} ({broken.distribution}): {broken.error}\n")
        sys.stdout.write("".join(f"    {line}\n" for line in broken.traceback.splitlines()))


def print_schema() -> None:
    """Print the JSON Schema of study files."""
    sys.stdout.write(json.dumps(Registry.discover().json_schema(), indent=2) + "\n")
