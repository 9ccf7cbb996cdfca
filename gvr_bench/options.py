"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Profile = Literal["quick", "standard", "paper"]

DataRoot = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder with the data set's files.")
]
StoreRoot = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        help="Where models and latents are kept. Default: $GVR_BENCH_STORE or the user's cache.",
    ),
]
ProfileOption = Annotated[
    Profile | None,
    typer.Option(
        help="quick: 32 px, minutes on two cores. standard: 64 px, for a GPU. paper: the "
        "published values at 128 px.  \\[default: quick]",
        show_default=False,
    ),
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option()]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The run's folder.  \\[default: reports/<name>-<key>]"),
]
Every = Annotated[
    bool, typer.Option("--all", help="Print every score, not one of each group but the first.")
]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Show what would be computed.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
