"""cnnbench against what people would write or pick instead, on the same work, in one run: ratios with their spread.

    pip install -e .[bench]
    python benchmarks/peers.py --rounds 5

In every round each way runs once, in an order that turns from round to round, so that the machine's moods fall on all
of them alike. A ratio is taken within a round; printed are the median over the rounds, the lowest and the highest.
Figures belong to a machine that does nothing else: the load average is printed with them. Times on a busy machine say
little; the CPU seconds, printed beside them where they mean something, say more.

A way whose library is not installed, or that fails, is left out with a sentence.
"""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from measure import (
    Regime,
    Setting,
    Timed,
    WayError,
    Workload,
    cnnbench_study,
    cnnbench_trials,
    missing,
    progressive,
    run_script,
    script_study,
)

PEERS = ("plain script", "Lightning", "fastai", "timm")
NET = Setting(size_px=64, width=32, num_train=1280, num_validation=256, epochs=2)
"""The network of 94,762 parameters; its study."""
SMALL_NET = Setting(size_px=32, width=16, num_train=1024, num_validation=256, epochs=3)
GOALS = ("rate", "study", "small", "limit", "progressive")

Way = Callable[[], Timed]
Rounds = dict[str, list[Timed]]
"""Way -> one result for each round that it has done."""


# ------------------------------------------------------------------------------------------------ rounds


def in_turn(ways: dict[str, Way], rounds: int) -> Rounds:
    """Run every way once a round; one that fails is left out from then on."""
    found: Rounds = defaultdict(list)
    failed: set[str] = set()
    names = list(ways)
    for number in range(rounds):
        turned = names[number % len(names) :] + names[: number % len(names)]
        for name in turned:
            if name in failed:
                continue
            try:
                found[name].append(ways[name]())
            except WayError as error:
                typer.echo(f"{name} is left out: {error}")
                failed.add(name)
                found.pop(name, None)
        typer.echo(f"  round {number + 1} of {rounds}; load average {os.getloadavg()[0]:.1f}", err=True)
    return {name: found[name] for name in names if name in found}


def ratios(values: Sequence[float], base: Sequence[float]) -> tuple[float, float, float]:
    """Return median, lowest and highest of the ratios within rounds."""
    each = [value / other for value, other in zip(values, base, strict=True)]
    return statistics.median(each), min(each), max(each)


def spread(values: Sequence[float], base: Sequence[float]) -> str:
    """Return the ratios as text."""
    median, low, high = ratios(values, base)
    return f"{median:6.2f} ({low:.2f} to {high:.2f})"


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    typer.echo(f"\n{title}; load average {os.getloadavg()[0]:.1f}")
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        typer.echo("  " + "  ".join(cells))


# ------------------------------------------------------------------------------------------------ what is read


def images_per_s(timed: Timed) -> float:
    """Return training images a second after the first epoch, of all trials that ran beside one another."""
    return sum(report.num_train / statistics.median(report.epoch_s[1:]) for report in timed.reports)


def cpu_images_per_s(timed: Timed) -> float:
    """Return training images a second of CPU time, after the first epoch."""
    (report,) = timed.reports
    return report.num_train / statistics.median(report.epoch_cpu_s[1:])


def accuracy(results: Sequence[Timed]) -> str:
    """Return the mean accuracy of all trials: a way that does not learn is not fast."""
    return f"{statistics.fmean(report.accuracy for timed in results for report in timed.reports):.3f}"


def median_of(results: Sequence[Timed], read: Callable[[Timed], float], digits: int = 1) -> str:
    """Return the median over the rounds."""
    return f"{statistics.median(map(read, results)):.{digits}f}"


# ------------------------------------------------------------------------------------------------ goals


def rate(workload: Workload, peers: Sequence[str], rounds: int, *, bf16: bool) -> None:
    """Goal 1: training images a second."""
    cores = len(os.sched_getaffinity(0))
    ways: dict[str, Way] = {way: partial(run_script, way, workload) for way in peers}
    precisions = ("fp32", "bf16") if bf16 else ("fp32",)
    for precision in precisions:
        one = replace(workload, precision=precision)
        ways[f"cnnbench, {precision}, one trial"] = partial(cnnbench_trials, one, 1, 1)
        ways[f"cnnbench, {precision}, {cores} trials"] = partial(cnnbench_trials, one, cores, cores)
    found = in_turn(ways, rounds)
    rows = []
    for name, results in found.items():
        values = list(map(images_per_s, results))
        to_each = [spread(values, list(map(images_per_s, found[peer]))) if peer in found else "-" for peer in peers]
        rows.append([name, median_of(results, images_per_s, 0), *to_each, accuracy(results)])
    table("Training images/s (ratio to each peer)", ["way", "images/s", *peers, "accuracy"], rows)


def study(title: str, workload: Workload, peers: Sequence[str], trials: int, rounds: int, *, bf16: bool) -> None:
    """Goal 2: a whole study, from a cold start to the last result."""
    cores = len(os.sched_getaffinity(0))
    ways: dict[str, Way] = {way: partial(script_study, way, workload, trials) for way in peers}
    if "plain script" in peers:
        ways[f"plain script, {cores} side by side"] = partial(script_study, "plain script", workload, trials, cores)
    for precision in ("fp32", "bf16") if bf16 else ("fp32",):
        ways[f"cnnbench, {precision}"] = partial(
            cnnbench_study, replace(workload, precision=precision, deterministic=True), trials, cores
        )
    found = in_turn(ways, rounds)
    others = [name for name in found if not name.startswith("cnnbench")]
    ours = [name for name in found if name.startswith("cnnbench")]
    rows = []
    for name, results in found.items():
        seconds = [median_of(results, lambda one: one.results_s), median_of(results, lambda one: one.wall_s)]
        faster = [spread([one.results_s for one in results], [one.results_s for one in found[our]]) for our in ours]
        cpu = [spread([one.cpu_s for one in results], [one.cpu_s for one in found[our]]) for our in ours[:1]]
        rows.append([name, *seconds, median_of(results, lambda one: one.cpu_s), *faster, *cpu, accuracy(results)])
    header = ["way", "to last result, s", "to the end, s", "CPU s", *(f"times {our}" for our in ours)]
    if ours:
        header.append(f"CPU times {ours[0]}")
    table(f"{title}: {trials} trials, {len(others)} other ways", [*header, "accuracy"], rows)


def limit(workload: Workload, rounds: int, *, bf16: bool) -> None:
    """Goal 3: cnnbench against the loop written by hand, both one thread, one trial."""
    rows = []
    for precision in ("fp32", "bf16") if bf16 else ("fp32",):
        one = replace(workload, precision=precision, epochs=max(workload.epochs, 4))
        ways: dict[str, Way] = {
            "fast loop": partial(run_script, "fast loop", one),
            "cnnbench": partial(cnnbench_trials, one, 1, 1),
        }
        found = in_turn(ways, rounds)
        if len(found) < len(ways):
            continue
        hand, ours = found["fast loop"], found["cnnbench"]
        rows.append(
            [
                precision,
                median_of(hand, images_per_s, 0),
                median_of(ours, images_per_s, 0),
                spread(list(map(images_per_s, ours)), list(map(images_per_s, hand))),
                spread(list(map(cpu_images_per_s, ours)), list(map(cpu_images_per_s, hand))),
            ]
        )
    header = ["precision", "fast loop, images/s", "cnnbench, images/s", "ratio", "ratio by CPU time"]
    table("cnnbench against the loop written by hand", header, rows)


def resizing(workload: Workload, rounds: int) -> None:
    """Goal 4: half of the epochs at half the size, against full size throughout."""
    small_px = workload.size_px // 2
    found = progressive(replace(workload, epochs=4), small_px, rounds)

    def of(name: str, read: Callable[[Regime], float]) -> list[float]:
        return [read(one) for one in found if one.name == name]

    rows = []
    for what, read in (
        ("FLOPs", lambda one: one.flops),
        ("wall time", lambda one: one.train_s),
        ("CPU time", lambda one: one.train_cpu_s),
    ):
        rows.append([what, spread(of("progressive", read), of("throughout", read))])
    table(f"{small_px} -> {workload.size_px} px against {workload.size_px} px throughout", ["", "ratio"], rows)


# ------------------------------------------------------------------------------------------------ command


def has_bf16() -> bool:
    """Return whether the CPU computes with bf16 (Linux only; elsewhere it is not measured)."""
    info = Path("/proc/cpuinfo")
    return info.exists() and bool({"avx512_bf16", "amx_bf16", "bf16"} & set(info.read_text("utf-8").split()))


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; each runs every way once.")] = 5,
    trials: Annotated[int, typer.Option(min=2, help="Trials of a whole study; an even number.")] = 12,
    small_trials: Annotated[int, typer.Option(min=2, help="Trials of the study of the smaller network.")] = 12,
    goal: Annotated[list[str] | None, typer.Option(help=f"Only this: {', '.join(GOALS)}; may be repeated.")] = None,
    peer: Annotated[list[str] | None, typer.Option(help=f"Only this: {', '.join(PEERS)}; may be repeated.")] = None,
    *,
    deterministic: Annotated[bool, typer.Option(help="Make the peers deterministic; cnnbench always is.")] = False,
    peers_bf16: Annotated[
        bool, typer.Option(help="Let the peers train in bf16, as their users can; else fp32.")
    ] = False,
    bf16: Annotated[bool, typer.Option(help="Measure cnnbench in bf16, too, where the CPU has it.")] = True,
) -> None:
    """Measure cnnbench against its peers."""
    goals, peers = _chosen(goal, GOALS, "--goal"), _chosen(peer, PEERS, "--peer")
    if trials % 2 or small_trials % 2:
        raise typer.BadParameter("the study has two cells, so the number of its trials must be even.")
    left_out = {way: sentence for way in peers if (sentence := missing(way)) is not None}
    for sentence in left_out.values():
        typer.echo(sentence)
    peers = [way for way in peers if way not in left_out]
    bf16 = bf16 and has_bf16()
    typer.echo(f"{len(os.sched_getaffinity(0))} cores, load average before {os.getloadavg()[0]:.1f}")
    with TemporaryDirectory() as folder:
        given = {"deterministic": deterministic, "precision": "bf16" if peers_bf16 else "fp32"}
        net, small = (replace(one.workload(Path(folder)), **given) for one in (NET, SMALL_NET))
        if "rate" in goals:
            rate(replace(net, epochs=4), peers, rounds, bf16=bf16)
        if "study" in goals:
            study("Whole study, 64 px", net, peers, trials, rounds, bf16=bf16)
        if "small" in goals:
            study("Whole study, smaller network, 32 px", small, peers, small_trials, rounds, bf16=bf16)
        if "limit" in goals:
            limit(net, rounds, bf16=bf16)
        if "progressive" in goals:
            resizing(replace(small, width=NET.width, precision="fp32"), rounds)


def _chosen(wanted: list[str] | None, known: tuple[str, ...], option: str) -> list[str]:
    for one in wanted or ():
        if one not in known:
            raise typer.BadParameter(f"{option} {one} is unknown; choose among {', '.join(known)}.")
    return [one for one in known if wanted is None or one in wanted]


if __name__ == "__main__":
    typer.run(main)
