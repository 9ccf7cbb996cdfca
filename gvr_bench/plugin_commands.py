"""The commands that list what is installed."""

from __future__ import annotations

import typer

from gvr_bench.options import Json
from gvr_bench.shell import show_plugins

plugins_app = typer.Typer(help="What is installed.", no_args_is_help=True)


@plugins_app.command("list")
def plugins_list(as_json: Json = False) -> None:
    """List every component, and every plugin that does not load, with the reason."""
    show_plugins(as_json)
