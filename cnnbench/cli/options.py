"""The types of options: those that several commands share, and those of `cnnbench analyse`, which has the most."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Study = Annotated[Path, typer.Argument(metavar="STUDY", help="The study file (TOML).", show_default=False)]
Profile = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="Lay this profile of the study over its defaults.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change one value, e.g. design.replicates=8; may be repeated."),
]
RunsDir = Annotated[Path, typer.Option("--runs-dir", metavar="DIR", help="Folder of all runs.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=0, metavar="N", help="Worker processes; 0 runs in this process. [default: cores]"),
]
Device = Annotated[
    str,
    typer.Option(
        "--device", "--devices", metavar="DEVICES", help="auto, cpu, cuda, or a list such as cuda:0,cuda:1 or 0,1."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the finding only.")]

# Of analyse: what the columns of a table mean, what is asked of them, and where the answers go.
Source = Annotated[
    Path, typer.Argument(metavar="SOURCE", help="A CSV file of results, or a run folder.", show_default=False)
]
Response = Annotated[str | None, typer.Option(metavar="COLUMN", help="The result of each trial.")]
Factors = Annotated[str | None, typer.Option(metavar="COLUMNS", help="The factors, separated by commas: depth,size.")]
Block = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Which trials share their seeds; the analysis is paired then.")
]
Ordered = Annotated[str | None, typer.Option(metavar="LIST", help="Factors with an order: depth=log2,epochs=linear.")]
Random = Annotated[
    str | None, typer.Option(metavar="FACTOR", help="The factor whose levels are a sample, such as datasets.")
]
NestedIn = Annotated[
    str | None,
    typer.Option(metavar="FACTORS", help="Factors at whose levels the same --block value means another block."),
]
Scale = Annotated[Literal["raw", "log", "logit"], typer.Option(help="The scale of the analysis.")]
Primary = Annotated[
    str | None, typer.Option(metavar="CONTRAST", help='The hypothesis, levels of --over: "gradual - none".')
]
Over = Annotated[str | None, typer.Option(metavar="FACTOR", help="The factor of --primary.")]
Slope = Annotated[str | None, typer.Option(metavar="COLUMNS", help="Or: the slope over one or two ordered factors.")]
Interaction = Annotated[
    str | None, typer.Option(metavar="COLUMNS", help="Or: the interaction of two or three factors.")
]
At = Annotated[
    str | None, typer.Option(metavar="LIST", help="Other factors, held at a level for --primary or --slope: depth=50.")
]
Margin = Annotated[
    float | None, typer.Option(metavar="NUMBER", help="Smallest effect of interest, on the scale of the analysis.")
]
Alpha = Annotated[float, typer.Option(metavar="NUMBER", help="Significance level, below 0.5.")]
TestSize = Annotated[
    str | None,
    typer.Option(metavar="COLUMN|NUMBER", help="How many examples each response is a share of, e.g. n_test."),
]
BlocksAre = Annotated[
    Literal["seeds", "datasets", "examples"] | None,
    typer.Option(help="What the blocks are. [default: told from the name of the column]", show_default=False),
]
HigherIsBetter = Annotated[
    bool | None,
    typer.Option("--higher-is-better/--lower-is-better", help="Which end of the response has rank 1."),
]
Control = Annotated[
    str | None, typer.Option(metavar="LEVEL", help="Compare the ranks of the other levels with this one's.")
]
PoolEnvironments = Annotated[
    bool, typer.Option("--pool-environments", help="Test trials together though `environment_key` tells them apart.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the findings as JSON, with all digits.")]
Csv = Annotated[Path | None, typer.Option(metavar="FILE", help="Write tests and effects as one flat table.")]
RScript = Annotated[Path | None, typer.Option(metavar="FILE", help="Write an R script that computes the tables anew.")]
