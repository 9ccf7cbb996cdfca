"""The command `gvr-bench explain`. Its body is short, and slow imports are inside it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from gvr_bench.cli.options import CacheDir, DataRoot, Device, Json, names_of
from gvr_bench.cli.shell import SOME_FAILED, errors_in_one_line, print_table
from gvr_bench.core.errors import DataError, UsageError

if TYPE_CHECKING:
    from gvr_bench.core.context import Progress
    from gvr_bench.explain import Trained
    from gvr_bench.explain.folder import Made
    from gvr_bench.explain.inputs import InputImage
    from gvr_bench.results.explained_images import Answers, Unread


def _of_several(what: str) -> str:
    return f"Which {what}, where the run has several."


def explain(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    run: Annotated[Path, typer.Option(metavar="RUN", help="The folder of a finished run.")],
    explainer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:SETTING=VALUE,...]",
            help="Repeatable, also one that was not in the run.  \\[default: those of the run]",
            autocompletion=names_of("explainer"),
            show_default=False,
        ),
    ] = None,
    finding: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="The output to explain, or the class to leave. Repeatable.  \\[default: all that "
            "the model sees in the image]",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS",
            help="The class to reach.  \\[default: the task's, or the second likeliest]",
            show_default=False,
        ),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help=_of_several("data set"))] = None,
    generator: Annotated[str | None, typer.Option(help=_of_several("generator"))] = None,
    encoder: Annotated[str | None, typer.Option(help=_of_several("encoder"))] = None,
    head: Annotated[str | None, typer.Option(help=_of_several("head"))] = None,
    seed: Annotated[int | None, typer.Option(help=_of_several("seed"))] = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Images explained at once.")] = 128,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where to write.  \\[default: explained-<run>]",
            show_default=False,
        ),
    ] = None,
    cache: CacheDir = None,
    as_json: Json = False,
) -> None:
    """Explain new images with a model of a finished run; nothing is trained."""
    with errors_in_one_line():
        from gvr_bench.explain import ModelSelector, open_run

        trained = open_run(
            run,
            ModelSelector(dataset, generator, encoder, head, seed),
            cache=cache,
            data_root=data_root,
            device=device,
            batch_size=batch_size,
        )
        folder = out or Path(f"explained-{trained.run}")
        wanted = Wanted(tuple(images), tuple(explainer or ()), tuple(finding or ()), to)
        answers = explain_into(folder, trained, wanted)
        show(folder, answers, as_json)
        if not answers.whole:
            raise typer.Exit(SOME_FAILED)


@dataclass(frozen=True)
class Wanted:
    """What is to be explained, as it was typed."""

    images: tuple[Path, ...]
    explainers: tuple[str, ...]
    findings: tuple[str, ...]
    to: str | None


def explain_into(folder: Path, trained: Trained, wanted: Wanted) -> Answers:
    """Explain images and write a folder. Raises `DataError` where none can be read."""
    from gvr_bench.explain.folder import explain_images, write_folder
    from gvr_bench.explain.targets import wish_of
    from gvr_bench.pipeline.progress import Display
    from gvr_bench.report.explain_page import write_explained

    refuse_run(folder)
    wish = wish_of(trained.task, wanted.findings, wanted.to)
    stages = {name: trained.stage(name) for name in wanted.explainers or trained.explainers}
    taken, unread = read(trained, list(dict.fromkeys(wanted.images)))
    console = Console(stderr=True)
    display = Display(console, len(stages) + 1)

    def working(name: str, work: Callable[[Progress], Made]) -> Made:
        with display.stage(name) as progress:
            made = work(progress)
        display.number += 1
        return made

    explained = explain_images(trained, taken, wish, stages, working)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write into {folder}: {error.strerror}; choose another folder with --out DIR"
        ) from error
    write_folder(folder, explained, unread)
    with display.stage("pictures") as progress:
        return write_explained(folder, progress)


def show_again(folder: Path) -> Path:
    """Draw the page of a folder again, show its answers, and return its path."""
    from gvr_bench.report.explain_page import write_explained

    show(folder, write_explained(folder), as_json=False)
    return folder / "index.html"


def refuse_run(folder: Path) -> None:
    """Refuse a folder whose own page would be lost. Raises `UsageError`."""
    if (folder / "records.jsonl").exists():
        raise UsageError(f"{folder} is the folder of a run; choose another with --out DIR")


def read(trained: Trained, paths: Sequence[Path]) -> tuple[list[InputImage], list[Unread]]:
    """Read images, naming those that cannot be read. Raises `DataError` where none can."""
    from gvr_bench.explain.inputs import names_of, readable, take_file
    from gvr_bench.results.explained_images import Unread

    taken: list[InputImage] = []
    unread: list[Unread] = []
    for path, name in zip(paths, names_of(paths), strict=True):
        try:
            taken.append(take_file(trained.dataset, path, name))
        except DataError as error:
            if len(paths) == 1:
                raise
            unread.append(Unread(readable(path), str(error)))
            warn(str(error))
    if not taken:
        raise DataError(f"none of the {len(paths)} images can be read")
    return taken, unread


def warn(line: str) -> None:
    """Print one line on stderr; what a terminal would obey in it is shown as code."""
    flat = " ".join(line.split())
    print("".join(c if c.isprintable() else repr(c)[1:-1] for c in flat), file=sys.stderr)


def show(folder: Path, answers: Answers, as_json: bool) -> None:
    """Show what was answered on stdout."""
    from gvr_bench.report.explain_page import table
    from gvr_bench.report.formatting import clean
    from gvr_bench.results.explained_images import PICTURES
    from gvr_bench.results.explained_images import as_json as document

    if as_json:
        print(document(answers))
        return
    columns = ("image", "finding", "prediction", "explainer", "after", "outcome")
    rows = [[Text(cell, style, overflow="fold") for cell in row] for row, style in table(answers)]
    print_table(columns, rows)
    for image in answers.images:
        if image.warning:
            print(clean(f"{image.name} is {image.warning}"))
    print(clean(f"Page: {folder / 'index.html'}; pictures: {folder / PICTURES}"))
