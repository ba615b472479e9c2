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
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from goals import NET, SMALL_NET, gpu, limit, nets, peak, rate, resizing, study
from measure import missing

PEERS = ("plain script", "Lightning", "fastai", "timm")
GOALS = ("rate", "nets", "peak", "study", "small", "limit", "progressive", "gpu")


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
        given: dict[str, Any] = {"deterministic": deterministic, "precision": "bf16" if peers_bf16 else "fp32"}
        place = Path(folder)
        net, small = (replace(one.workload(place), **given) for one in (NET, SMALL_NET))
        runs = {
            "rate": lambda: rate(replace(net, epochs=4), peers, rounds, bf16=bf16),
            "nets": lambda: nets(place, peers, rounds, **given),
            "peak": lambda: peak(place, rounds, bf16=bf16),
            "study": lambda: study("Whole study, 64 px", net, peers, trials, rounds, bf16=bf16),
            "small": lambda: study(
                "Whole study, smaller network, 32 px", small, peers, small_trials, rounds, bf16=bf16
            ),
            "limit": lambda: limit(net, rounds, bf16=bf16),
            "progressive": lambda: resizing(replace(small, network=NET.network, precision="fp32"), rounds),
            "gpu": lambda: gpu(place, peers, small_trials, rounds),
        }
        for name in goals:
            runs[name]()


def _chosen(wanted: list[str] | None, known: tuple[str, ...], option: str) -> list[str]:
    for one in wanted or ():
        if one not in known:
            raise typer.BadParameter(f"{option} {one} is unknown; choose among {', '.join(known)}.")
    return [one for one in known if wanted is None or one in wanted]


if __name__ == "__main__":
    typer.run(main)
