"""The command `gvr-bench export`. Slow imports are inside the function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gvr_bench.cli.shell import errors_in_one_line


def export(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Output folder. Default: export in the run's folder; for several runs, beside the "
            "first.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help="Write only tables, figures or rationales. Repeatable."),
    ] = None,
    case: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Only rationales and maps of this case. Repeatable."),
    ] = None,
    explainer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Only rationales and maps of this explainer. Repeatable."
        ),
    ] = None,
) -> None:
    """Write tables (CSV, JSON, Markdown, LaTeX), figures (SVG, PDF, PNG) and rationales (PNG,
    NPZ).
    """
    with errors_in_one_line():
        from gvr_bench.results.run_folder import check_run

        folders = [check_run(folder) for folder in runs]
        from gvr_bench.report.export import PARTS, Selection
        from gvr_bench.report.export import export as write_export

        folder = out or (runs[0] if len(runs) == 1 else runs[0].parent) / "export"
        selection = Selection(only or PARTS, case or (), explainer or ())
        print(write_export(folders, folder, selection).line(folder))
