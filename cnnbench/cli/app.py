"""Commands and options. What a command needs is imported when it runs: ``--help`` answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cnnbench import __version__

app = typer.Typer(
    name="cnnbench",
    help="Benchmark CNNs with declarative, repeated, honestly tested experiments.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
plugins_app = typer.Typer(help="What the installed plugins offer.", no_args_is_help=True)
app.add_typer(plugins_app, name="plugins")

StudyArgument = Annotated[Path, typer.Argument(metavar="STUDY", help="The study file (TOML).", show_default=False)]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="Lay this profile of the study over its defaults.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change one value, e.g. design.replicates=8; may be repeated."),
]
RunsDirOption = Annotated[Path, typer.Option("--runs-dir", metavar="DIR", help="Folder of all runs.")]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=0, metavar="N", help="Worker processes; 0 runs in this process. [default: cores]"),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device", "--devices", metavar="DEVICES", help="auto, cpu, cuda, or a list such as cuda:0,cuda:1 or 0,1."
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print the finding only.")]


def _print_version(value: bool) -> None:  # noqa: FBT001 - the shape of an option's callback
    if value:
        typer.echo(f"cnnbench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Benchmark CNNs with declarative, repeated, honestly tested experiments."""


@app.command()
def study(  # noqa: PLR0913 - a command has as many parameters as options
    study: StudyArgument,
    *,
    profile: ProfileOption = None,
    assignments: SetOption = None,
    runs_dir: RunsDirOption = Path("runs"),
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed trials again.")] = False,
    checkpoint_every: Annotated[
        float,
        typer.Option("--checkpoint-every", min=0, metavar="SECONDS", help="Least time between checkpoints of a trial."),
    ] = 30.0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what the run folder holds.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Run a study: plan, train what is missing, test, and write the report."""
    from cnnbench.environment import tune_process  # noqa: PLC0415 - before numpy and torch

    tune_process()
    from cnnbench.cli.commands import Invocation, run_study  # noqa: PLC0415 - see the module's docstring
    from cnnbench.execute import RunOptions  # noqa: PLC0415 - see the module's docstring

    invocation = Invocation(study, profile, tuple(assignments or ()), quiet)
    options = RunOptions(
        runs_dir, workers, device, retry_failed=retry_failed, fresh=fresh, checkpoint_every_s=checkpoint_every
    )
    status = run_study(invocation, options)
    raise typer.Exit(status)


@app.command()
def plan(
    study: StudyArgument,
    *,
    profile: ProfileOption = None,
    assignments: SetOption = None,
    runs_dir: RunsDirOption = Path("runs"),
) -> None:
    """Show what a study would do: factors, cells, infeasible cells, trials, expected time."""
    from cnnbench.environment import tune_process  # noqa: PLC0415 - before numpy and torch

    tune_process()
    from cnnbench.cli.commands import Invocation, show_plan  # noqa: PLC0415 - see the module's docstring

    show_plan(Invocation(study, profile, tuple(assignments or ()), quiet=False), runs_dir)


@app.command()
def doctor(  # noqa: PLR0913 - a command has as many parameters as options
    study: StudyArgument,
    *,
    profile: ProfileOption = None,
    assignments: SetOption = None,
    runs_dir: RunsDirOption = Path("runs"),
    device: DeviceOption = "auto",
    budget: Annotated[
        float, typer.Option("--budget", min=0, metavar="SECONDS", help="Time for the checks that train.")
    ] = 60.0,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the checks that train.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every outcome as JSON.")] = False,
) -> None:
    """Look for what would spoil a study before it is run: leaks, labels, images, networks, evaluation."""
    from cnnbench.environment import tune_process  # noqa: PLC0415 - before numpy and torch

    tune_process()
    from cnnbench.cli.commands import Invocation  # noqa: PLC0415 - see the module's docstring
    from cnnbench.cli.doctor import run_doctor  # noqa: PLC0415 - see the module's docstring

    invocation = Invocation(study, profile, tuple(assignments or ()), quiet=as_json)
    raise typer.Exit(run_doctor(invocation, runs_dir, device, 0.0 if quick else budget, as_json=as_json))


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, e.g. runs/entr.", show_default=False)],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the report. [default: RUN/report]")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write one page of Markdown with its figures there, too.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Analyse a run folder again and rewrite its report."""
    from cnnbench.cli.commands import write_and_print  # noqa: PLC0415 - see the module's docstring

    write_and_print(run, output, quiet=quiet, markdown=markdown)


@app.command()
def analyse(  # noqa: PLR0913 - a command has as many parameters as options
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A CSV file of results, or a run folder.", show_default=False)
    ],
    *,
    response: Annotated[str | None, typer.Option(metavar="COLUMN", help="The result of each trial.")] = None,
    factors: Annotated[
        str | None, typer.Option(metavar="COLUMNS", help="The factors, separated by commas: depth,size.")
    ] = None,
    block: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Which trials share their seeds; the analysis is paired then.")
    ] = None,
    ordered: Annotated[
        str | None, typer.Option(metavar="LIST", help="Factors with an order: depth=log2,epochs=linear.")
    ] = None,
    random: Annotated[
        str | None, typer.Option(metavar="FACTOR", help="The factor whose levels are a sample, such as datasets.")
    ] = None,
    nested_in: Annotated[
        str | None,
        typer.Option(metavar="FACTORS", help="Factors at whose levels the same --block value means another block."),
    ] = None,
    scale: Annotated[Literal["raw", "log", "logit"], typer.Option(help="The scale of the analysis.")] = "raw",
    primary: Annotated[
        str | None, typer.Option(metavar="CONTRAST", help='The hypothesis, levels of --over: "gradual - none".')
    ] = None,
    over: Annotated[str | None, typer.Option(metavar="FACTOR", help="The factor of --primary.")] = None,
    slope: Annotated[
        str | None, typer.Option(metavar="COLUMNS", help="Or: the slope over one or two ordered factors.")
    ] = None,
    interaction: Annotated[
        str | None, typer.Option(metavar="COLUMNS", help="Or: the interaction of two or three factors.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="Smallest effect of interest, on the scale of the analysis.")
    ] = None,
    alpha: Annotated[float, typer.Option(metavar="NUMBER", help="Significance level, below 0.5.")] = 0.05,
    test_size: Annotated[
        str | None,
        typer.Option(metavar="COLUMN|NUMBER", help="How many examples each response is a share of, e.g. n_test."),
    ] = None,
    blocks_are: Annotated[
        Literal["seeds", "datasets", "examples"] | None,
        typer.Option(help="What the blocks are. [default: told from the name of the column]", show_default=False),
    ] = None,
    higher_is_better: Annotated[
        bool | None,
        typer.Option("--higher-is-better/--lower-is-better", help="Which end of the response has rank 1."),
    ] = None,
    control: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="Compare the ranks of the other levels with this one's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON, with all digits.")] = False,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write tests and effects as one flat table.")] = None,
    r_script: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write an R script that computes the tables anew.")
    ] = None,
) -> None:
    """Analyse a table of results, or a run folder again, without writing a report."""
    from cnnbench.cli.analyse import Plan, analyse_source  # noqa: PLC0415 - see the module's docstring

    plan = Plan(
        response,
        factors,
        block,
        ordered,
        scale,
        primary,
        over,
        slope,
        interaction,
        margin=margin,
        alpha=alpha,
        test_size=test_size,
        random=random,
        nested_in=nested_in,
        blocks_are=blocks_are,
        higher_is_better=higher_is_better,
        control=control,
    )
    analyse_source(source, plan, as_json=as_json, csv_file=csv, r_file=r_script)


@app.command()
def selfcheck(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print every case as JSON.")] = False,
) -> None:
    """Hold this installation's numbers against R's answers and NIST's certified values."""
    from cnnbench.cli.selfcheck import print_selfcheck  # noqa: PLC0415 - see the module's docstring

    raise typer.Exit(print_selfcheck(as_json=as_json))


@app.command()
def compare(  # noqa: PLR0913 - a command has as many parameters as options
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN[:FACTOR=LEVEL,...]...",
            help="Run folders, or parts of them: runs/a runs/b, or runs/a:depth=8 runs/a:depth=14.",
            show_default=False,
        ),
    ],
    *,
    split: Annotated[
        Literal["test", "validation"] | None,
        typer.Option(help="Whose examples. [default: test where all have it]", show_default=False),
    ] = None,
    view: Annotated[
        Literal["plain", "tta"], typer.Option(help="Which evaluation: plain, or averaged views.")
    ] = "plain",
    response: Annotated[
        str | None, typer.Option(metavar="NAME", help="The response over trials. [default: the first in common]")
    ] = None,
    alpha: Annotated[float, typer.Option(metavar="NUMBER", help="Significance level, below 0.5.")] = 0.05,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON, with all digits.")] = False,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a row for each pair of trials.")] = None,
) -> None:
    """Compare runs, or parts of them: on the same examples, over seeds, and in what differs between them."""
    from cnnbench.cli.compare import print_comparison  # noqa: PLC0415 - see the module's docstring
    from cnnbench.compare import Options  # noqa: PLC0415 - see the module's docstring

    print_comparison(sources, Options(split, view, response, alpha), as_json=as_json, csv_file=csv)


@app.command()
def power(  # noqa: PLR0913 - a command has as many parameters as options
    study: StudyArgument,
    *,
    profile: ProfileOption = None,
    assignments: SetOption = None,
    pilot: Annotated[
        Path | None, typer.Option("--from", metavar="RUN", help="A pilot's run folder, whose trials show the noise.")
    ] = None,
    sd: Annotated[
        float | None, typer.Option(metavar="SD", help="Or: the SD between seeds within a cell, on the analysis scale.")
    ] = None,
    correlation: Annotated[
        float, typer.Option(metavar="NUMBER", help="With --sd: between cells of one seed, where seeds are shared.")
    ] = 0.0,
    effect: Annotated[
        float | None,
        typer.Option(metavar="EFFECT", help="The effect to be detected. [default: the study's equivalence_margin]"),
    ] = None,
    power: Annotated[float, typer.Option("--power", metavar="SHARE", help="The power asked for.")] = 0.8,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON, with all digits.")] = False,
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE", help="Draw the curve of power, as FILE.svg or FILE.pdf.")
    ] = None,
) -> None:
    """Say how many seeds the primary hypothesis of a study needs, from a pilot or from an assumed SD."""
    from cnnbench.cli.commands import Invocation  # noqa: PLC0415 - see the module's docstring
    from cnnbench.cli.power import Wanted, show_power  # noqa: PLC0415 - see the module's docstring

    invocation = Invocation(study, profile, tuple(assignments or ()), quiet=False)
    show_power(invocation, Wanted(pilot, sd, correlation, effect, power), as_json=as_json, figure=figure)


@plugins_app.command("list")
def plugins_list() -> None:
    """List every component with its plugin, and plugins that are broken."""
    from cnnbench.cli.catalogue import list_plugins  # noqa: PLC0415 - see the module's docstring

    list_plugins()


@app.command()
def schema() -> None:
    """Print the JSON Schema of study files, with the parameters of the installed components."""
    from cnnbench.cli.catalogue import print_schema  # noqa: PLC0415 - see the module's docstring

    print_schema()
