"""The command line. Bodies are short, and slow imports are inside them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gvr_bench import __version__
from gvr_bench.cli.cache import cache_app
from gvr_bench.cli.datasets import datasets_app
from gvr_bench.cli.explain import explain, show_again
from gvr_bench.cli.export import export
from gvr_bench.cli.options import (
    Address,
    AllMetrics,
    CacheDir,
    DataRoot,
    Device,
    DryRun,
    Executor,
    Json,
    Out,
    ProfileOption,
    experiment_names,
    metric_groups,
    names_of,
)
from gvr_bench.cli.plugins import plugins_app
from gvr_bench.cli.shell import (
    Options,
    carry_out,
    errors_in_one_line,
    leave_if_stopped,
    print_table,
    show_runs,
)
from gvr_bench.core.data_parallel import follows
from gvr_bench.core.types import Kind

app = typer.Typer(
    name="gvr-bench",
    help="Benchmark explainers of image classifiers: attribution maps and generative visual "
    "rationales on one scoreboard.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
experiments_app = typer.Typer(help="The papers' experiments, by name.", no_args_is_help=True)
app.add_typer(experiments_app, name="experiments")
app.add_typer(plugins_app, name="plugins")
app.add_typer(datasets_app, name="datasets")
app.add_typer(cache_app, name="cache")

Names = list[str] | None
Format = Literal["html", "md", "csv", "json", "latex"]

SHARED = ("run", "experiments")  # commands that processes of torchrun do together


def component_option(kind: Kind, default: str) -> Any:
    """Declare the repeatable option of one kind of component."""
    return typer.Option(
        autocompletion=names_of(kind),
        metavar="NAME[:SETTING=VALUE,...]",
        help=f"Repeat to compare several. Default: {default}.",
        show_default=False,
    )


def say_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        print(f"gvr-bench {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", callback=say_version, is_eager=True, help="Show version.")
    ] = False,
) -> None:
    """Benchmark explainers of image classifiers."""
    if follows() and ctx.invoked_subcommand not in SHARED:
        raise typer.Exit  # the first process does it


@app.command()
def run(
    spec_file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SPEC.toml]", help="A spec; flags override it.", show_default=False
        ),
    ] = None,
    dataset: Annotated[Names, component_option("dataset", "phantom")] = None,
    pretrain_dataset: Annotated[
        Names, component_option("dataset", "the data set itself; generator and encoder see it")
    ] = None,
    generator: Annotated[Names, component_option("generator", "wgan-gp")] = None,
    encoder: Annotated[Names, component_option("encoder", "conv")] = None,
    head: Annotated[Names, component_option("head", "the data set's natural head")] = None,
    explainer: Annotated[Names, component_option("explainer", "all")] = None,
    metrics: Annotated[
        Names,
        typer.Option(
            metavar="GROUP",
            autocompletion=metric_groups,
            help="Groups of metrics: default, all, or one of the scoreboard's. Repeatable.  "
            "\\[default: default, which is all but repeatability and simulatability]",
            show_default=False,
        ),
    ] = None,
    data_root: DataRoot = None,
    profile: ProfileOption = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(help="Repeat for several.  \\[default: 0]", show_default=False),
    ] = None,
    max_cases: Annotated[
        int | None,
        typer.Option(help="Test images explained, at most.  \\[default: 100]", show_default=False),
    ] = None,
    device: Device = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Images explained at once.")] = 128,
    checkpoint_every: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How often trainings are saved.")
    ] = 30.0,
    recompute: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND|NAME|all", help="Compute again, though stored. Repeatable."),
    ] = None,
    cached_only: Annotated[bool, typer.Option(help="Compute nothing; use what is stored.")] = False,
    executor: Executor = "local",
    ray_address: Address = None,
    out: Out = None,
    cache: CacheDir = None,
    all_metrics: AllMetrics = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train what is missing, explain the test images, score and report."""
    with errors_in_one_line():
        from gvr_bench.config.spec import build_spec

        flags = {
            "profile": profile,
            "seeds": seed or None,
            "max_cases": max_cases,
            "metrics": metrics or None,
            "data_root": str(data_root) if data_root else None,
        }
        choices = {
            "dataset": dataset,
            "pretraining_dataset": pretrain_dataset,
            "generator": generator,
            "encoder": encoder,
            "head": head,
            "explainer": explainer,
        }
        options = Options(
            out,
            cache,
            device,
            batch_size,
            checkpoint_every,
            tuple(recompute or ()),
            cached_only,
            dry_run,
            as_json,
            all_metrics,
            executor,
            ray_address,
        )
        carry_out(build_spec(spec_file, flags, choices), options)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    format: Annotated[  # noqa: A002 - the word on the command line
        Format, typer.Option("--format", help="html writes the page; others print tables.")
    ] = "html",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The page of several runs.  \\[default: comparison.html beside the first]",
        ),
    ] = None,
    all_metrics: AllMetrics = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Show finished runs again; several share one table where their scores can be compared."""
    with errors_in_one_line():
        from gvr_bench.report import check_run
        from gvr_bench.results.explained_images import is_explained

        new = len(runs) == 1 and format == "html" and out is None and is_explained(runs[0])
        folders = [] if new else [check_run(folder) for folder in runs]
        if format != "html":
            from gvr_bench.report.exports.tables import export as printed

            print(printed(folders, format), end="")
            return
        page = show_again(runs[0]) if new else show_runs(folders, out, all_metrics)
        if open_page:
            typer.launch(str(page))


app.command()(export)
app.command()(explain)


@experiments_app.command("list")
def experiments_list() -> None:
    """List the papers' experiments."""
    from gvr_bench.config.experiments import experiments

    print_table(
        ("experiment", "", "in the papers"), [(e.name, e.title, e.figures) for e in experiments()]
    )


@experiments_app.command("run")
def experiments_run(
    name: Annotated[
        str,
        typer.Argument(help="One of: gvr-bench experiments list.", autocompletion=experiment_names),
    ],
    data_root: DataRoot = None,
    profile: ProfileOption = None,
    out: Out = None,
    cache: CacheDir = None,
    device: Device = "auto",
    executor: Executor = "local",
    ray_address: Address = None,
    all_metrics: AllMetrics = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run an experiment of the papers and set its numbers beside the published ones."""
    with errors_in_one_line():
        from gvr_bench.config.experiments import experiment
        from gvr_bench.config.spec import check_table, spec_of_table

        chosen = experiment(name)
        flags = {"profile": profile, "data_root": str(data_root) if data_root else None}
        spec = spec_of_table(check_table(f"experiment '{name}'", chosen.spec), flags)
        options = Options(
            out,
            cache,
            device,
            dry_run=dry_run,
            as_json=as_json,
            all_metrics=all_metrics,
            executor=executor,
            ray_address=ray_address,
        )
        carry_out(spec, options, chosen)


def main() -> None:
    """Entry point of the command."""
    try:
        app()
    except SystemExit as end:
        leave_if_stopped(end.code)
        raise
