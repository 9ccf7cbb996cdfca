"""The command line. Slow imports are inside functions, so that `--help` is fast."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Literal

import typer

from gvr_bench import __version__
from gvr_bench.cli.cache import cache_app
from gvr_bench.cli.datasets import datasets_app
from gvr_bench.cli.explain import explain, show_again
from gvr_bench.cli.export import export
from gvr_bench.cli.options import AllMetrics
from gvr_bench.cli.plugins import plugins_app
from gvr_bench.cli.run import experiments_app, run, worker
from gvr_bench.cli.shell import (
    errors_in_one_line,
    flush_output,
    leave_if_stopped,
    leave_if_unwritable,
    show_runs,
)
from gvr_bench.core.data_parallel import follows
from gvr_bench.core.errors import UsageError

app = typer.Typer(
    name="gvr-bench",
    help="Benchmark explainers of image classifiers: attribution maps and generative visual "
    "rationales on one scoreboard.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
app.add_typer(experiments_app, name="experiments")
app.add_typer(plugins_app, name="plugins")
app.add_typer(datasets_app, name="datasets")
app.add_typer(cache_app, name="cache")

Format = Literal["html", "markdown", "csv", "json", "latex"]

SHARED = ("run", "experiments")  # commands that processes of torchrun do together


def say_version(value: bool) -> None:
    """Print the version and stop."""
    if value:
        print(f"gvr-bench {__version__}")
        raise typer.Exit


def names_in(text: str) -> list[str]:
    """The names of a list with commas; settings of an explainer keep theirs."""
    parts: list[str] = []
    for part in filter(None, text.split(",")):
        if "=" in part and ":" not in part and parts:
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    return [part.strip() for part in parts]


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
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    format: Annotated[  # noqa: A002 - the word on the command line
        Format, typer.Option("--format", help="html writes a page; the other formats print tables.")
    ] = "html",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Page for several runs.  \\[default: comparison.html beside the first run]",
        ),
    ] = None,
    columns: Annotated[
        str,
        typer.Option(
            metavar="METRIC,...",
            help="One table of these scores, e.g. pixel_ap,oracle_validity, instead of all tables.",
        ),
    ] = "",
    explainer: Annotated[
        str, typer.Option(metavar="NAME,...", help="One table of these explainers, in this order.")
    ] = "",
    interval: Annotated[
        Literal["brackets", "pm"],
        typer.Option(help="Intervals as [low, high], or as half their width behind ±."),
    ] = "brackets",
    all_metrics: AllMetrics = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Rebuild the report of one or more finished runs; comparable runs share a table."""
    with errors_in_one_line():
        from gvr_bench.results.explained_images import is_explained
        from gvr_bench.results.run_folder import check_run

        if format == "html" and (columns or explainer):
            raise UsageError("--columns and --explainer need --format latex, markdown, csv or json")
        new = len(runs) == 1 and format == "html" and out is None and is_explained(runs[0])
        folders = [] if new else [check_run(folder) for folder in runs]
        if format != "html":
            from gvr_bench.report.choice import Choice
            from gvr_bench.report.exports import export as printed

            choice = Choice(names_in(columns), names_in(explainer))
            print(
                printed(folders, format, choice if any((columns, explainer)) else None, interval),
                end="",
            )
            return
        page = show_again(runs[0]) if new else show_runs(folders, out, all_metrics)
        if open_page:
            typer.launch(str(page))


app.command()(run)
app.command()(worker)
app.command()(export)
app.command()(explain)


def main() -> None:
    """Entry point of the command."""
    try:
        try:
            app()
        finally:
            flush_output()
    except SystemExit as end:
        leave_if_stopped(end.code)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is left to save, nor to print
        raise
    except OSError as error:
        leave_if_unwritable(error)
        raise
