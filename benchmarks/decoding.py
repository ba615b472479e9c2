"""Decode a folder of real images with one core and with all, in alternating order.

    python benchmarks/decoding.py PATH [--sizes 128 224] [--rounds 5]

PATH is what an `image-folder` may be: a folder, or a zip archive. Each round decodes it twice, each time in a process
of its own with an empty cache; the ratio is taken within rounds. CPU seconds stand beside wall seconds: where a machine
does other things as well, they say what more processes cost, and the wall says nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import typer


def once(path: str, sizes_px: list[int], cores: int) -> dict[str, float]:
    """Decode in a process of its own, on so many cores."""
    command = [sys.executable, __file__, path, "--sizes", *map(str, sizes_px), "--cores", str(cores)]
    result: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return result


def measured(path: str, sizes_px: list[int], cores: int) -> dict[str, float]:
    """Decode here; what is imported is not timed."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    from cnnbench.environment import tune_process

    tune_process()
    from cnnbench_plugins.datasets import ImageFolder

    from cnnbench.data import prepare

    before_s = _cpu_s()
    with tempfile.TemporaryDirectory() as cache:
        begun = time.perf_counter()
        prepared = prepare(ImageFolder(path=path), sizes_px, "crop", Path(cache))
        wall_s = time.perf_counter() - begun
    return {"wall_s": wall_s, "cpu_s": _cpu_s() - before_s, "images": prepared.info.num_examples}


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Print medians, and the ratio with its lowest and highest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 224])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cores:
        typer.echo(json.dumps(measured(given.path, given.sizes, given.cores)))
        return
    most = len(os.sched_getaffinity(0))
    rounds = []
    for number in range(given.rounds):
        order = [1, most] if number % 2 else [most, 1]
        rounds.append({cores: once(given.path, given.sizes, cores) for cores in order})
    for cores in (1, most):
        rate = statistics.median(one[cores]["images"] / one[cores]["wall_s"] for one in rounds)
        cpu_s = statistics.median(one[cores]["cpu_s"] for one in rounds)
        typer.echo(f"{cores} cores: {rate:.0f} images/s, {cpu_s:.2f} s of CPU (medians of {given.rounds})")
    ratios = sorted(one[1]["wall_s"] / one[most]["wall_s"] for one in rounds)
    spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    typer.echo(
        f"{most} cores are {statistics.median(ratios):.2f} ({spread}) times as fast; load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
