"""What is compared: each function runs its ways in turn and prints a table."""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import typer
from measure import (
    Regime,
    Setting,
    Workload,
    cnnbench_study,
    cnnbench_trials,
    convolution_peak,
    progressive,
    run_script,
    script_study,
)
from rounds import Way, accuracy, cpu_images_per_s, images_per_s, in_turn, median_of, spread, table

NET = Setting(size_px=64, network="three-blocks-32", num_train=1280, num_validation=256, epochs=2)
"""The network of 94,762 parameters; its study."""
SMALL_NET = Setting(size_px=32, network="three-blocks-16", num_train=1024, num_validation=256, epochs=3)
NETS = (
    Setting(32, "three-blocks-16", 1024, 64, 3),
    Setting(32, "three-blocks-32", 1024, 64, 3),
    Setting(64, "three-blocks-32", 640, 64, 3),
    Setting(128, "three-blocks-32", 320, 64, 3),
    Setting(32, "resnet18", 384, 64, 3),
    Setting(64, "resnet18", 192, 64, 3),
    Setting(64, "resnet50", 128, 64, 3),
    Setting(64, "mobilenet_v2", 320, 64, 3),
    Setting(64, "shufflenet_v2_x0_5", 640, 64, 3),
    Setting(64, "squeezenet1_1", 640, 64, 3),
)
"""Networks and sizes on which nobody should be faster; few images, because rates alone are compared."""
DEVICE_NET = Setting(32, "resnet18", 12_800, 1024, 5)
"""For the limit of a GPU."""
PEAK_NETS = (NET, Setting(32, "resnet18", 640, 64, 3), Setting(128, "resnet18", 256, 64, 3))


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


def on_device(folder: Path, peers: Sequence[str], trials: int, rounds: int, device: Literal["cpu", "cuda"]) -> None:
    """Goal 5: a GPU. One trial against the loop by hand, and trials an hour against the peers."""
    large = replace(DEVICE_NET.workload(folder), device=device, batch_size=128, precision="bf16")
    rows = []
    for compiled in (False, True):
        one = replace(large, is_compiled=compiled)
        ways: dict[str, Way] = {
            "loop on the device": partial(run_script, "loop on the device", one),
            "cnnbench": partial(cnnbench_trials, one, 1, 1),
        }
        found = in_turn(ways, rounds)
        if len(found) == len(ways):
            hand, ours = (list(map(images_per_s, found[name])) for name in ways)
            middle = [f"{statistics.median(values):.0f}" for values in (hand, ours)]
            rows.append(["compiled" if compiled else "plain", *middle, spread(ours, hand)])
    header = ["ResNet18, 32 px, bf16", "loop by hand, images/s", "cnnbench, images/s", "ratio"]
    table("One trial on the device against the loop written by hand", header, rows)

    small = replace(SMALL_NET.workload(folder), device=device)
    ways = {way: partial(script_study, way, small, trials) for way in peers}
    ways["cnnbench"] = partial(cnnbench_study, small, trials, None)
    found = in_turn(ways, rounds)
    ours = [3600 * trials / one.results_s for one in found.get("cnnbench", [])]
    rows = []
    for name, results in found.items():
        theirs = [3600 * trials / one.results_s for one in results]
        times = spread(ours, theirs) if ours else "-"
        rows.append([name, f"{statistics.median(theirs):.0f}", times, accuracy(results)])
    table(f"Trials an hour, {trials} small ones", ["way", "trials an hour", "cnnbench: times", "accuracy"], rows)


def gpu(folder: Path, peers: Sequence[str], trials: int, rounds: int) -> None:
    """Goal 5 where there is a GPU; else say that there is none."""
    import torch

    if torch.cuda.is_available():
        typer.echo(torch.cuda.get_device_name())
        on_device(folder, peers, trials, rounds, "cuda")
    else:
        typer.echo("The GPU is left out: torch finds none.")


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


def nets(folder: Path, peers: Sequence[str], rounds: int, **given: Any) -> None:
    """Goal 1, too: training images a second of ten networks and sizes, one trial for each core."""
    cores = len(os.sched_getaffinity(0))
    rows = []
    for net in NETS:
        workload = replace(net.workload(folder), **given)
        ways: dict[str, Way] = {way: partial(run_script, way, workload) for way in peers}
        ways["cnnbench"] = partial(cnnbench_trials, replace(workload, precision="fp32"), cores, cores)
        found = in_turn(ways, rounds)
        if "cnnbench" not in found:
            continue
        ours = list(map(images_per_s, found["cnnbench"]))
        faster = [spread(ours, list(map(images_per_s, found[peer]))) if peer in found else "-" for peer in peers]
        rows.append(
            [f"{net.network}, {net.size_px} px", f"{statistics.median(ours):.0f}", *faster, accuracy(found["cnnbench"])]
        )
    table(
        "Training images/s, one trial per core, and ratios to each peer",
        ["network", "cnnbench", *peers, "accuracy"],
        rows,
    )


def peak(folder: Path, rounds: int, *, bf16: bool) -> None:
    """Goal 1, too: which share of the best that convolutions reach here is left for training."""
    cores = len(os.sched_getaffinity(0))
    rows = []
    for net in PEAK_NETS:
        workload = replace(net.workload(folder), epochs=3)
        for precision in ("fp32", "bf16") if bf16 else ("fp32",):
            one = replace(workload, precision=precision)
            ways: dict[str, Way] = {"cnnbench": partial(cnnbench_trials, one, cores, cores)}
            if precision == "fp32":
                ways["plain script"] = partial(run_script, "plain script", one)
            limits, shares = [], defaultdict(list)
            for _ in range(rounds):
                limit = convolution_peak(precision, cores)
                limits.append(limit)
                found = in_turn(ways, 1)
                flops_per_image = found["cnnbench"][0].reports[0].flops_per_image if "cnnbench" in found else 0.0
                for name, results in found.items():
                    shares[name].append(flops_per_image * images_per_s(results[0]) / limit)
            rows += [
                [
                    f"{net.network}, {net.size_px} px, {precision}",
                    f"{statistics.median(limits) / 1e9:.0f}",
                    name,
                    f"{100 * statistics.median(values):.0f} % ({100 * min(values):.0f} to {100 * max(values):.0f})",
                ]
                for name, values in shares.items()
            ]
    table("Share of the convolution peak", ["network", "peak, GFLOP/s", "way", "reached"], rows)
