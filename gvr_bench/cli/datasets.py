"""`gvr-bench datasets`: list, describe, download and check data sets."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.filesize import decimal

from gvr_bench.cache.serialization import replacing
from gvr_bench.cli.options import DataRoot, Profile
from gvr_bench.cli.options import DatasetName as Name
from gvr_bench.cli.shell import SOME_FAILED, errors_in_one_line, print_table
from gvr_bench.core.errors import DataError, GvrError, UsageError
from gvr_bench.core.types import SPLITS

if TYPE_CHECKING:
    from gvr_bench.core.components import Dataset
    from gvr_bench.core.types import Split, Task
    from gvr_bench.data.fetch import FileState

MAX_LINES = 20  # of faults
ProfileName = Annotated[Profile, typer.Option()]

datasets_app = typer.Typer(help="List, download and check data sets.", no_args_is_help=True)


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
    name: Name,
    data_root: DataRoot = None,
    profile: ProfileName = "quick",
    out: Annotated[
        Path | None,
        typer.Option(help="PNG file to write, with nine images of each class as they are read."),
    ] = None,
    decode: Annotated[
        Literal["sample", "all"],
        typer.Option(help="Look at the pixels of 100 images of each split, or of all."),
    ] = "sample",
) -> None:
    """Show what a data set holds, what it measures of itself, and what is doubtful in it."""
    with errors_in_one_line():
        from gvr_bench.data.summary import count_rows
        from gvr_bench.registry.registry import blaming

        with blaming(f"dataset '{name}'"):
            dataset = open_named(name, data_root, profile)
            splits = {split: dataset.split(split) for split in SPLITS}
            counts = count_rows(dataset.task, splits)
        show_task(dataset)
        print_table(("", *SPLITS), counts)
        with blaming(f"dataset '{name}'"):  # which takes what is printed for a plugin's words
            checks = list(dataset.checks())
        if checks:
            print_table(("measured", ""), checks)
        with blaming(f"dataset '{name}'"):
            plain = name.partition(":")[0]
            for line in cautions_of(dataset, plain, splits, decode == "all"):
                print(f"caution: {line}")
        if out is not None:
            write_sheet(dataset.task, splits["train"], out)


def show_task(dataset: Dataset) -> None:
    task = dataset.task
    print(f"{'task':<10} {task.kind} of {', '.join(task.outputs)}")
    print(f"{'images':<10} {dataset.image}")
    if task.threshold is not None:
        print(f"{'positive':<10} from {task.threshold:g} {task.unit} up")
    if task.source is not None and task.target is not None:
        print(f"{'rationale':<10} {task.outputs[task.source]} to {task.outputs[task.target]}")


def cautions_of(
    dataset: Dataset, name: str, splits: Mapping[str, Split], every: bool
) -> Iterator[str]:
    """Yield what is doubtful by files and pixels; prints how many images were looked at."""
    from gvr_bench.data.summary import absent_outputs
    from gvr_bench.data.verification import PixelChecks, read_sample

    yield from dataset.cautions()
    yield from absent_outputs(dataset.task, splits)
    checks = PixelChecks()
    unreadable: list[str] = []
    for split, ids, images in read_sample(splits, every, unreadable):
        checks.add(split, ids, images)
    if unreadable:
        yield f"{len(unreadable):,} images cannot be read, the first is {unreadable[0]}"
    yield from checks.cautions(name, hasattr(dataset.settings, "bits"))
    total = sum(map(len, splits.values()))
    more = "" if every or checks.total == total else "; look at all with --decode all"
    print(f"{'pixels':<10} of {checks.total:,} of {total:,} images were looked at{more}")


def write_sheet(task: Task, split: Split, out: Path) -> None:
    from gvr_bench.data.summary import draw_sheet, read_rows

    rows = read_rows(task, split)
    with replacing(out) as partial:
        draw_sheet(rows).save(partial, "PNG")
    print(f"nine images of each class are in {out}")


@datasets_app.command("split")
def datasets_split(
    name: Name,
    data_root: DataRoot = None,
    profile: ProfileName = "quick",
    out: Annotated[
        Path | None, typer.Option(help="CSV file to write; by default to the terminal.")
    ] = None,
) -> None:
    """Write which image lies in which split, to train a network of your own on the same images."""
    with errors_in_one_line():
        import pandas as pd

        from gvr_bench.registry.registry import blaming

        with blaming(f"dataset '{name}'"):
            dataset = open_named(name, data_root, profile)
            splits = {split: dataset.split(split) for split in SPLITS}
            frames = [
                pd.DataFrame({"file": s.sample_ids, "patient": s.patient_ids, "split": split})
                for split, s in splits.items()
            ]
        table = pd.concat(frames)
        text = table.to_csv(index=False, lineterminator="\n")
        if out is None:
            print(text, end="")
            return
        with replacing(out) as partial:
            partial.write_text(text, encoding="utf-8")
        print(f"{len(table):,} images are listed in {out}")


@datasets_app.command("fetch")
def datasets_fetch(
    name: Name,
    data_root: DataRoot = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be downloaded.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a large download.")] = False,
    remove_archives: Annotated[
        bool, typer.Option("--remove-archives", help="Delete each archive once it is unpacked.")
    ] = False,
) -> None:
    """Download a data set, check and unpack it. Repeat the command to resume it after a stop."""
    with errors_in_one_line():
        from gvr_bench.data.fetch import check_states, fetch, survey
        from gvr_bench.pipeline.progress import TaskProgress
        from gvr_bench.registry.registry import blaming

        dataset = open_named(name, data_root)
        with blaming(f"dataset '{name}'"):
            remotes = dataset.remote()
        if not remotes:
            print(f"{name} has no files to download; gvr-bench datasets info {name} describes it")
            return
        with blaming(f"dataset '{name}'"):
            folder = home_of(dataset, name)
        complete = has_all_images(name, data_root)
        states = survey(remotes, folder, complete)
        if dry_run:
            show_states(states, folder, remove_archives)
            return
        check_states(states, folder, remove_archives)
        confirm(states, name, folder, yes)
        with TaskProgress(Console(stderr=True), in_bytes=True) as progress:
            fetch(remotes, folder, progress=progress, remove=remove_archives, complete=complete)
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
    """Check the files of a data set and read images; exit 1 and list the faults, if any."""
    with errors_in_one_line():
        from gvr_bench.data.verification import faults_of_files, faults_of_images
        from gvr_bench.pipeline.progress import TaskProgress
        from gvr_bench.registry.registry import blaming

        faults: list[str] = []
        with blaming(f"dataset '{name}'"):
            dataset = open_named(name, data_root)
            if fetchable := bool(dataset.remote()):
                home_of(dataset, name)
            with TaskProgress(Console(stderr=True), in_bytes=True) as progress:
                faults += faults_of_files(dataset, progress)
            if not faults or data_root:  # without a folder, opening it might download it
                with TaskProgress(Console(stderr=True), f"reading {name}") as count:
                    faults += faults_of_images(dataset, decode == "all", count)
        if not faults:
            extent = "all images were" if decode == "all" else "a sample of the images was"
            print(f"{name}: no faults; {extent} read")
            return
        for line in faults[:MAX_LINES]:
            print(" ".join(line.split()))
        if len(faults) > MAX_LINES:
            print(f"... and {len(faults) - MAX_LINES:,} more")
        print(f"{name}: {len(faults):,} {'fault' if len(faults) == 1 else 'faults'}")
        if fetchable:
            print(f"remove the damaged files, then: {command('fetch', name, data_root)}")
        raise typer.Exit(SOME_FAILED)


def command(action: str, name: str, data_root: Path | None) -> str:
    root = f" --data-root {data_root}" if data_root else ""
    return f"gvr-bench datasets {action} {name}{root}"


def open_named(name: str, data_root: Path | None, profile: Profile = "quick") -> Dataset:
    """Open a data set by what was typed. Raises `UsageError` or `PluginError`."""
    from gvr_bench.config.spec import parse_choice
    from gvr_bench.registry.registry import installed

    choice = parse_choice(name)
    return installed().open_dataset(choice.name, choice.settings, profile, data_root)


def home_of(dataset: Dataset, name: str) -> Path:
    """Return the folder of a data set's files. Raises `UsageError` if it has none."""
    if dataset.home is None:
        raise UsageError(f"{name} needs a folder for its files; add --data-root DIR")
    return dataset.home


def has_all_images(name: str, data_root: Path | None) -> bool:
    """Whether a data set with archives finds all its images, wherever they came from."""
    try:
        dataset = open_named(name.partition(":")[0], data_root)  # settings may select fewer
        if not any(remote.archive for remote in dataset.remote()):
            return False
        dataset.fingerprint()
    except GvrError:
        return False
    return True


CONFIRM_BYTES = 10**9  # downloads from this size on are confirmed


def show_states(states: list[FileState], folder: Path, remove: bool) -> None:
    from gvr_bench.data.fetch import check_states, free_space, space_needed

    rows = []
    for state in states:
        percent = f" {state.done / state.remote.size:.0%}" if state.kind == "partial" else ""
        source, *others = [str(urlsplit(url).hostname) for url in state.remote.urls] or ["nowhere"]
        mirrors = f" (+{len(others)})" if others else ""
        size = decimal(state.remote.size)
        rows.append((state.remote.name, size, state.kind + percent, source + mirrors))
    print_table(("file", "size", "here", "from"), rows)
    print(f"to download   {decimal(sum(state.to_download for state in states))}")
    print(f"to unpack     about {decimal(sum(state.to_unpack for state in states))}")
    print(f"space needed  {decimal(space_needed(states, remove))}")
    print(f"space free    {decimal(free_space(folder))} in {folder}")
    try:
        check_states(states, folder, remove)
    except DataError as error:
        print(f"this would fail: {error}")


def confirm(states: list[FileState], name: str, folder: Path, yes: bool) -> None:
    """Ask before a large download. Raises `UsageError` where nobody can answer."""
    size = sum(state.to_download for state in states)
    if yes or size < CONFIRM_BYTES:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            f"{name} would download {decimal(size)} into {folder}; add --yes to allow it, or "
            "--dry-run to see the files"
        )
    unpacked = sum(state.to_unpack for state in states)
    question = f"Download {decimal(size)} and unpack {decimal(unpacked)} into {folder}?"
    typer.confirm(question, abort=True, err=True)
