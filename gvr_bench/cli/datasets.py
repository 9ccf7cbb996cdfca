"""The commands that tell what can be explained, get it, and check it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

import typer

from gvr_bench.cli.options import DataRoot, Profile, names_of
from gvr_bench.cli.shell import SOME_FAILED, errors_in_one_line, print_table

if TYPE_CHECKING:
    from gvr_bench.core.components import Dataset
    from gvr_bench.data.fetch import State

ASKED_FROM = 10**9  # bytes to download
MOST_LINES = 20  # of what is wrong

datasets_app = typer.Typer(help="What can be explained.", no_args_is_help=True)
Name = Annotated[
    str,
    typer.Argument(metavar="NAME[:SETTING=VALUE,...]", autocompletion=names_of("dataset")),
]


@datasets_app.command("list")
def datasets_list() -> None:
    """List the data sets."""
    from gvr_bench.registry.registry import installed

    rows = [r for r in installed().rows if r.plugin.kind == "dataset"]
    print_table(
        ("data set", "", "from"),
        [(r.plugin.name, r.problem or r.plugin.summary, r.distribution) for r in rows],
    )


@datasets_app.command("info")
def datasets_info(
    name: Name, data_root: DataRoot = None, profile: Annotated[Profile, typer.Option()] = "quick"
) -> None:
    """Say what a data set holds: task, image size, and its splits."""
    with errors_in_one_line():
        from gvr_bench.data.summary import summarise

        facts, columns, rows = summarise(opened(name, data_root, profile))
        for fact, value in facts:
            print(f"{fact:<10} {value}")
        print_table(columns, rows)


@datasets_app.command("fetch")
def datasets_fetch(
    name: Name,
    data_root: DataRoot = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be downloaded.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, however large it is.")] = False,
    remove_archives: Annotated[
        bool, typer.Option("--remove-archives", help="Delete each archive once it is unpacked.")
    ] = False,
) -> None:
    """Download a data set, check it, and unpack it; the same command goes on after a stop."""
    with errors_in_one_line():
        from rich.console import Console

        from gvr_bench.cli.download_progress import watching
        from gvr_bench.data.fetch import fetch, refuse, survey
        from gvr_bench.registry.registry import blaming

        dataset = opened(name, data_root)
        with blaming(f"dataset '{name}'"):
            remotes = dataset.remote()
            folder = place(dataset, name) if remotes else None
        if folder is None:
            print(f"{name} has no files to download; gvr-bench datasets info {name} says more")
            return
        ready = is_ready(name, data_root)
        states = survey(remotes, folder, ready)
        if dry_run:
            show_states(states, folder, remove_archives)
            return
        refuse(states, folder, remove_archives)
        ask(states, name, folder, yes)
        with watching(Console(stderr=True)) as watch:
            fetch(remotes, folder, watch=watch, remove=remove_archives, ready=ready)
        print(f"{name} is in {folder}; check it: {command('verify', name, data_root)}")


@datasets_app.command("verify")
def datasets_verify(
    name: Name,
    data_root: DataRoot = None,
    decode: Annotated[
        Literal["sample", "all"],
        typer.Option(help="Read 100 images of each split, or all of them."),
    ] = "sample",
) -> None:
    """Check the files of a data set and read images; exit 1 and say what is wrong."""
    with errors_in_one_line():
        from rich.console import Console

        from gvr_bench.cli.download_progress import watching
        from gvr_bench.data.verification import faults_of_files, faults_of_images
        from gvr_bench.pipeline.progress import Display
        from gvr_bench.registry.registry import blaming

        console = Console(stderr=True)
        wrong: list[str] = []
        with blaming(f"dataset '{name}'"):
            dataset = opened(name, data_root)
            if fetchable := bool(dataset.remote()):
                place(dataset, name)
            with watching(console) as watch:
                wrong += faults_of_files(dataset, watch)
            if not wrong or data_root:  # without a folder, opening it might download it
                with Display(console, 1).stage(f"reading {name}") as count:
                    wrong += faults_of_images(dataset, decode == "all", count)
        if wrong:
            show_faults(wrong, name)
            if fetchable:
                print(f"remove what is damaged, then: {command('fetch', name, data_root)}")
            raise typer.Exit(SOME_FAILED)
        read = "all images were" if decode == "all" else "a sample of the images was"
        print(f"{name}: nothing is wrong; {read} read")


def show_faults(wrong: list[str], name: str) -> None:
    """Print what is wrong, a line each, and how much of it there is."""
    for line in wrong[:MOST_LINES]:
        print(" ".join(line.split()))
    if len(wrong) > MOST_LINES:
        print(f"... and {len(wrong) - MOST_LINES:,} more")
    print(f"{name}: {len(wrong):,} {'fault' if len(wrong) == 1 else 'faults'}")


def command(word: str, name: str, data_root: Path | None) -> str:
    """Return what to type for the same data set in the same folder."""
    root = f" --data-root {data_root}" if data_root else ""
    return f"gvr-bench datasets {word} {name}{root}"


def opened(name: str, data_root: Path | None, profile: Profile = "quick") -> Dataset:
    """Make a data set from what was typed. Raises `UsageError` or `PluginError`."""
    from gvr_bench.config.spec import parse_choice
    from gvr_bench.pipeline.graph import open_dataset
    from gvr_bench.registry.registry import installed

    return open_dataset(parse_choice(name), profile, data_root, installed())


def place(dataset: Dataset, name: str) -> Path:
    """Return the folder of a data set's files. Raises `UsageError` where none was given."""
    from gvr_bench.core.errors import UsageError

    if dataset.home is None:
        raise UsageError(f"{name} needs a folder for its files; add --data-root DIR")
    return dataset.home


def is_ready(name: str, data_root: Path | None) -> bool:
    """Whether a data set with archives finds all its images, wherever they came from."""
    from gvr_bench.core.errors import GvrError

    try:
        dataset = opened(name.partition(":")[0], data_root)  # settings may ask for fewer
        if not any(remote.archive for remote in dataset.remote()):
            return False
        dataset.fingerprint()
    except GvrError:
        return False
    return True


def show_states(states: list[State], folder: Path, remove: bool) -> None:
    """Print what is here and what would be downloaded, with the space that it takes."""
    from rich.filesize import decimal

    from gvr_bench.core.errors import DataError
    from gvr_bench.data.fetch import free_space, refuse, space_needed

    rows = []
    for state in states:
        share = f" {state.done / state.remote.size:.0%}" if state.kind == "partial" else ""
        source, *others = [str(urlsplit(url).hostname) for url in state.remote.urls] or ["nowhere"]
        mirrors = f" (+{len(others)})" if others else ""
        size = decimal(state.remote.size)
        rows.append((state.remote.name, size, state.kind + share, source + mirrors))
    print_table(("file", "size", "here", "from"), rows)
    print(f"to download   {decimal(sum(state.to_download for state in states))}")
    print(f"to unpack     about {decimal(sum(state.to_unpack for state in states))}")
    print(f"space needed  {decimal(space_needed(states, remove))}")
    print(f"space free    {decimal(free_space(folder))} in {folder}")
    try:
        refuse(states, folder, remove)
    except DataError as error:
        print(f"so it would be refused: {error}")


def ask(states: list[State], name: str, folder: Path, yes: bool) -> None:
    """Ask before much is downloaded. Raises `UsageError` where nobody can answer."""
    from rich.filesize import decimal

    from gvr_bench.core.errors import UsageError

    coming = sum(state.to_download for state in states)
    if yes or coming < ASKED_FROM:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            f"{name} would download {decimal(coming)} into {folder}; add --yes to let it, or "
            "--dry-run to see the files"
        )
    unpacking = sum(state.to_unpack for state in states)
    question = f"Download {decimal(coming)} and unpack {decimal(unpacking)} into {folder}?"
    typer.confirm(question, abort=True, err=True)
