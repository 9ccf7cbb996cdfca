"""The command line. Bodies are short, and slow imports are inside them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from rich.console import Console

from gvr_bench import __version__
from gvr_bench.errors import GvrError, UsageError, did_you_mean

BAD_INPUT, SOME_FAILED, INTERRUPTED = 2, 1, 130

app = typer.Typer(
    name="gvr-bench",
    help="Benchmark explainers of image classifiers: attribution maps and generative visual "
    "rationales on one scoreboard.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
plugins_app = typer.Typer(help="What is installed.", no_args_is_help=True)
datasets_app = typer.Typer(help="What can be explained.", no_args_is_help=True)
app.add_typer(plugins_app, name="plugins")
app.add_typer(datasets_app, name="datasets")

Names = list[str] | None
Profile = Literal["quick", "standard", "paper"]
Format = Literal["html", "md", "csv", "json", "latex"]


def component_option(kind: str, default: str) -> Any:
    """Declare the repeatable option of one kind of component."""
    return typer.Option(
        f"--{kind}",
        metavar="NAME[:SETTING=VALUE,...]",
        help=f"Repeat to compare several. Default: {default}.",
        show_default=False,
    )


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


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Bad input ends with one line on stderr and exit code 2, never with a traceback."""
    try:
        yield
    except GvrError as error:
        leave(f"error: {' '.join(str(error).split())}", BAD_INPUT)
    except KeyboardInterrupt:
        leave("interrupted; the same command goes on from the last checkpoint", INTERRUPTED)


def leave(line: str, code: int) -> NoReturn:
    """Print one line on stderr and exit."""
    print(line, file=sys.stderr)
    raise typer.Exit(code)


def say_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        print(f"gvr-bench {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=say_version, is_eager=True, help="Show version.")
    ] = False,
) -> None:
    """Benchmark explainers of image classifiers."""


@app.command()
def run(
    spec_file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SPEC.toml]", help="A spec; flags override it.", show_default=False
        ),
    ] = None,
    dataset: Annotated[Names, component_option("dataset", "phantom")] = None,
    unlabelled: Annotated[
        Names, component_option("unlabelled", "the data set itself; generator and encoder see it")
    ] = None,
    generator: Annotated[Names, component_option("generator", "wgan-gp")] = None,
    encoder: Annotated[Names, component_option("encoder", "conv")] = None,
    head: Annotated[Names, component_option("head", "the data set's natural head")] = None,
    explainer: Annotated[Names, component_option("explainer", "all")] = None,
    data_root: DataRoot = None,
    profile: Annotated[
        Profile | None,
        typer.Option(
            help="quick: minutes on two cores. standard: an hour on a GPU. paper: the published "
            "values.  [default: quick]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="Repeat for several.  [default: 0]", show_default=False)
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="Test images explained, at most.  [default: 100]", show_default=False),
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option()] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Images explained at once.")] = 128,
    checkpoint_every: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How often trainings are saved.")
    ] = 30.0,
    fresh: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND|NAME|all", help="Compute again, though stored. Repeatable."),
    ] = None,
    cached_only: Annotated[bool, typer.Option(help="Compute nothing; use what is stored.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's folder.  [default: reports/<dataset>-<key>]"),
    ] = None,
    store: StoreRoot = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be computed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Train what is missing, explain the test images, score and report."""
    began = time.time()
    with errors_in_one_line():
        from gvr_bench.plugins import installed
        from gvr_bench.spec import build_spec
        from gvr_bench.stages import make_plan
        from gvr_bench.store import Store, default_root

        flags = {
            "profile": profile,
            "seeds": seed or None,
            "limit": limit,
            "data_root": str(data_root) if data_root else None,
        }
        choices = {
            "dataset": dataset or (),
            "unlabelled": unlabelled or (),
            "generator": generator or (),
            "encoder": encoder or (),
            "head": head or (),
            "explainer": explainer or (),
        }
        spec = build_spec(spec_file, flags, choices)
        planned = make_plan(spec, installed())
        stored = Store(store or default_root())
        if plan:
            show_plan(planned, stored, as_json)
            return
        folder = out or Path("reports") / f"{spec.dataset[0].name}-{planned.key[:8]}"
        failed = carry_out(
            planned, stored, folder, device, batch_size, checkpoint_every, fresh, cached_only, began
        )
        show(folder, as_json)
    raise typer.Exit(SOME_FAILED if failed else 0)


def carry_out(
    plan: Any,
    store: Any,
    out: Path,
    device: str,
    batch_size: int,
    checkpoint_every: float,
    fresh: Names,
    cached_only: bool,
    began: float,
) -> bool:
    """Run a plan and write its folder; return whether some stage failed."""
    from gvr_bench.plugins import installed
    from gvr_bench.report.html import write_html
    from gvr_bench.run import How, Runner, choose_device, write_run

    known = {s.kind for s in plan.stages} | {s.name for s in plan.stages} | {"all"}
    for word in fresh or ():
        if word not in known:
            raise UsageError(f"--fresh {word}: no such stage{did_you_mean(word, known)}")
    if fresh and cached_only:
        raise UsageError("--fresh computes again and --cached-only computes nothing; leave one out")
    how = How(
        choose_device(device), batch_size, checkpoint_every, frozenset(fresh or ()), cached_only
    )
    runner = Runner(plan, store, installed(), how)
    runner.prepare()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write the run's folder {out}: {error.strerror}; choose another with --out DIR"
        ) from error
    outcomes = runner.run(Console(stderr=True))
    write_run(out, plan, store, outcomes, how, began)
    write_html(out)
    return any(outcome.status == "failed" for outcome in outcomes.values())


def show(folder: Path, as_json: bool) -> None:
    """Show a run folder on stdout."""
    if as_json:
        from gvr_bench.report.exports import export

        print(export([folder], "json"), end="")
        return
    from gvr_bench.report.terminal import show as show_tables

    show_tables(folder, Console())


def show_plan(plan: Any, store: Any, as_json: bool) -> None:
    """Show the stages of a plan, and which of them are stored."""
    rows = [(s.kind, s.name, s.key[:16], "stored" if store.has(s) else "") for s in plan.stages]
    if as_json:
        names = ("kind", "name", "key", "state")
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=1))
        return
    print_table(("stage", "component", "key", "state"), rows)
    missing = sum(not row[3] for row in rows)
    print(f"{missing} of {len(rows)} stages to compute in {store.root}")


def print_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a rich table to stdout."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    format: Annotated[  # noqa: A002 - the word on the command line
        Format, typer.Option("--format", help="html rewrites each page; others print tables.")
    ] = "html",
) -> None:
    """Show finished runs again: tables here, or in another format."""
    with errors_in_one_line():
        from gvr_bench.report import check_run

        folders = [check_run(folder) for folder in runs]
        if format != "html":
            from gvr_bench.report.exports import export

            print(export(folders, format), end="")
            return
        from gvr_bench.report.html import write_html

        for folder in folders:
            write_html(folder)
            show(folder, as_json=False)


@plugins_app.command("list")
def plugins_list(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List every component, and every plugin that does not load, with the reason."""
    from gvr_bench.plugins import installed

    registry = installed()
    rows = [
        (
            r.plugin.kind,
            r.plugin.name,
            r.distribution,
            r.problem or r.plugin.summary,
            bool(r.problem),
        )
        for r in registry.rows
    ] + [("?", b.entry_point, b.distribution, b.problem, True) for b in registry.broken]
    if as_json:
        names = ("kind", "name", "distribution", "text", "broken")
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=1))
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table("kind", "name", "from", "", box=box.SIMPLE_HEAD)
    for kind, name, distribution, text, broken in rows:
        style = "red" if broken else ""
        cells = (kind, name, distribution, f"broken: {text}" if broken else text)
        table.add_row(*(Text(cell, style=style) for cell in cells))
    Console().print(table)


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
        from gvr_bench.plugins import installed
        from gvr_bench.spec import parse_choice
        from gvr_bench.stages import open_dataset
        from gvr_bench.summary import summarise

        dataset = open_dataset(parse_choice(name), profile, data_root, installed())
        facts, columns, rows = summarise(dataset)
        for fact, value in facts:
            print(f"{fact:<10} {value}")
        print_table(columns, rows)


def main() -> None:
    """Entry point of the command."""
    app()
