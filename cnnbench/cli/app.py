"""Commands and options. What a command needs is imported when it runs: ``--help`` answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cnnbench import __version__
from cnnbench.cli import options as opt  # noqa: TC001 - typer reads the annotations when the program runs

app = typer.Typer(
    name="cnnbench",
    help="Benchmark CNNs with declarative, repeated, honestly tested experiments.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
plugins_app = typer.Typer(help="What the installed plugins offer.", no_args_is_help=True)
app.add_typer(plugins_app, name="plugins")


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
    study: opt.Study,
    *,
    profile: opt.Profile = None,
    assignments: opt.Set = None,
    runs_dir: opt.RunsDir = Path("runs"),
    workers: opt.Workers = None,
    device: opt.Device = "auto",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed trials again.")] = False,
    checkpoint_every: Annotated[
        float,
        typer.Option("--checkpoint-every", min=0, metavar="SECONDS", help="Least time between checkpoints of a trial."),
    ] = 30.0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what the run folder holds.")] = False,
    quiet: opt.Quiet = False,
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
    study: opt.Study,
    *,
    profile: opt.Profile = None,
    assignments: opt.Set = None,
    runs_dir: opt.RunsDir = Path("runs"),
) -> None:
    """Show what a study would do: factors, cells, infeasible cells, trials, expected time."""
    from cnnbench.environment import tune_process  # noqa: PLC0415 - before numpy and torch

    tune_process()
    from cnnbench.cli.commands import Invocation, show_plan  # noqa: PLC0415 - see the module's docstring

    show_plan(Invocation(study, profile, tuple(assignments or ()), quiet=False), runs_dir)


@app.command()
def doctor(  # noqa: PLR0913 - a command has as many parameters as options
    study: opt.Study,
    *,
    profile: opt.Profile = None,
    assignments: opt.Set = None,
    runs_dir: opt.RunsDir = Path("runs"),
    device: opt.Device = "auto",
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
def speed(  # noqa: PLR0913 - a command has as many parameters as options
    study: opt.Study,
    *,
    profile: opt.Profile = None,
    assignments: opt.Set = None,
    runs_dir: opt.RunsDir = Path("runs"),
    device: opt.Device = "auto",
    compiled: Annotated[
        bool, typer.Option("--compile", help="Try compiled networks, too; compiling takes up to minutes.")
    ] = False,
) -> None:
    """Measure whether another precision, or compiling, would make a study faster on this machine."""
    from cnnbench.environment import tune_process  # noqa: PLC0415 - before numpy and torch

    tune_process()
    from cnnbench.cli.commands import Invocation  # noqa: PLC0415 - see the module's docstring
    from cnnbench.cli.speed import run_speed  # noqa: PLC0415 - see the module's docstring

    invocation = Invocation(study, profile, tuple(assignments or ()), quiet=False)
    run_speed(invocation, runs_dir, device, compiled=compiled)


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
    quiet: opt.Quiet = False,
) -> None:
    """Analyse a run folder again and rewrite its report."""
    from cnnbench.cli.commands import write_and_print  # noqa: PLC0415 - see the module's docstring

    write_and_print(run, output, quiet=quiet, markdown=markdown)


@app.command()
def analyse(  # noqa: PLR0913 - a command has as many parameters as options
    source: opt.Source,
    *,
    response: opt.Response = None,
    factors: opt.Factors = None,
    block: opt.Block = None,
    ordered: opt.Ordered = None,
    random: opt.Random = None,
    nested_in: opt.NestedIn = None,
    scale: opt.Scale = "raw",
    primary: opt.Primary = None,
    over: opt.Over = None,
    slope: opt.Slope = None,
    interaction: opt.Interaction = None,
    at: opt.At = None,
    margin: opt.Margin = None,
    alpha: opt.Alpha = 0.05,
    test_size: opt.TestSize = None,
    blocks_are: opt.BlocksAre = None,
    higher_is_better: opt.HigherIsBetter = None,
    control: opt.Control = None,
    pool_environments: opt.PoolEnvironments = False,
    as_json: opt.Json = False,
    csv: opt.Csv = None,
    r_script: opt.RScript = None,
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
        at,
        margin=margin,
        alpha=alpha,
        test_size=test_size,
        random=random,
        nested_in=nested_in,
        blocks_are=blocks_are,
        higher_is_better=higher_is_better,
        control=control,
        pool_environments=pool_environments,
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
    study: opt.Study,
    *,
    profile: opt.Profile = None,
    assignments: opt.Set = None,
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
