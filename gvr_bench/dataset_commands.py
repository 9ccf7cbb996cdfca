"""The commands that tell what can be explained."""

from __future__ import annotations

from typing import Annotated

import typer

from gvr_bench.options import DataRoot, Profile
from gvr_bench.shell import errors_in_one_line, print_table

datasets_app = typer.Typer(help="What can be explained.", no_args_is_help=True)


@datasets_app.command("list")
def datasets_list() -> None:
    """List the data sets."""
    from gvr_bench.plugins import installed

    rows = [r for r in installed().rows if r.plugin.kind == "dataset"]
    print_table(
        ("data set", "", "from"),
        [(r.plugin.name, r.problem or r.plugin.summary, r.distribution) for r in rows],
    )


@datasets_app.command("info")
def datasets_info(
    name: Annotated[str, typer.Argument(metavar="NAME[:SETTING=VALUE,...]")],
    data_root: DataRoot = None,
    profile: Annotated[Profile, typer.Option()] = "quick",
) -> None:
    """Say what a data set holds: task, image size, and its splits."""
    with errors_in_one_line():
        from gvr_bench.planner import open_dataset
        from gvr_bench.plugins import installed
        from gvr_bench.spec import parse_choice
        from gvr_bench.summary import summarise

        dataset = open_dataset(parse_choice(name), profile, data_root, installed())
        facts, columns, rows = summarise(dataset)
        for fact, value in facts:
            print(f"{fact:<10} {value}")
        print_table(columns, rows)
