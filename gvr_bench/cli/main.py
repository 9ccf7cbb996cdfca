"""The command line. Slow imports are inside functions, so that `--help` is fast."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from gvr_bench import __version__
from gvr_bench.cli.cache import cache_app
from gvr_bench.cli.datasets import datasets_app
from gvr_bench.cli.explain import explain
from gvr_bench.cli.plugins import plugins_app
from gvr_bench.cli.report import export, report, site
from gvr_bench.cli.run import experiments_app, run, worker
from gvr_bench.cli.shell import flush_output, leave_if_stopped, leave_if_unwritable
from gvr_bench.core.process_group import follows

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

SHARED = ("run", "experiments")  # commands that processes of torchrun do together


def say_version(value: bool) -> None:
    if value:
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


for command in (report, run, worker, export, site, explain):
    app.command()(command)


def main() -> None:
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
