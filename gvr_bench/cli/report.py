"""The commands `gvr-bench report` and `export`. Slow imports are inside the functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from gvr_bench.cli.explain import show_again
from gvr_bench.cli.options import AllMetrics
from gvr_bench.cli.shell import errors_in_one_line
from gvr_bench.core.errors import UsageError

Format = Literal["html", "markdown", "csv", "json", "latex"]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")]


def report(
    runs: Runs,
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
            from gvr_bench.report.table_formats import export as printed

            chosen = names_in(columns), names_in(explainer)
            print(printed(folders, format, *chosen, interval), end="")
            return
        page = show_again(runs[0]) if new else show_runs(folders, out, all_metrics)
        if open_page:
            typer.launch(str(page))


def names_in(text: str) -> list[str]:
    """The names of a list with commas; settings of an explainer keep theirs."""
    parts: list[str] = []
    for part in filter(None, text.split(",")):
        if "=" in part and ":" not in part and parts:
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    return [part.strip() for part in parts]


def show_runs(folders: Sequence[Path], out: Path | None, every: bool) -> Path:
    """Write the report of one or more runs and print its tables; return its path."""
    from gvr_bench.report import html, terminal
    from gvr_bench.report.data import load_report

    data = load_report(folders)
    if len(folders) == 1 and out is None:
        page = html.write_html(folders[0], data)
        terminal.show(data, Console(), every)
        return page
    where = out or folders[0].parent / "comparison.html"
    if where.is_dir():
        raise UsageError(f"{where} is a folder; name a file in it: --out {where / where.name}.html")
    page = html.write_shared_html(folders, where, data)
    terminal.show(data, Console(), every)
    print(f"\nReport: {page}")
    return page


def site(
    runs: Runs,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the site.")] = Path("site"),
) -> None:
    """Write a static site: all runs on one page, the page of each run and of each explainer.

    The runs must be whole, and runs of one model of one protocol.
    """
    with errors_in_one_line():
        from gvr_bench.report.site import write_site

        print(f"Site: {write_site(runs, out)}")


def export(
    runs: Runs,
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
