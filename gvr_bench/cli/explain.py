"""The command `gvr-bench explain`. Slow imports are inside the functions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from gvr_bench.cli import options as opt
from gvr_bench.cli.shell import SOME_FAILED, errors_in_one_line, print_table
from gvr_bench.core.errors import DataError, UsageError
from gvr_bench.results.records import RECORDS

if TYPE_CHECKING:
    from gvr_bench.core.context import Progress
    from gvr_bench.explain import Trained
    from gvr_bench.explain.folder import Explained, ExplainerOutput
    from gvr_bench.explain.inputs import InputImage
    from gvr_bench.results.explained_images import ExplainedImages, UnreadableImage

COLUMNS = ("image", "output", "prediction", "explainer", "after", "outcome")
Images = Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")]
Run = Annotated[Path, typer.Option(metavar="RUN", help="The folder of a finished run.")]
Explainers = Annotated[
    list[str] | None,
    opt.option(
        metavar=opt.COMPONENT, autocompletion=opt.names_of("explainer"),
        help="Repeatable; also explainers that were not in the run.  \\[default: those of the run]",
    ),
]  # fmt: skip
Outputs = Annotated[
    list[str] | None,
    opt.option(
        metavar="NAME",
        help="The output to explain, or the class to leave. Repeatable.  \\[default: all that the "
        "model predicts]",
    ),
]
TargetClass = Annotated[
    str | None,
    opt.option(
        metavar="CLASS",
        help="The class to reach.  \\[default: the task's, or the second most likely]",
    ),
]
Out = Annotated[
    Path | None,
    opt.option(metavar="DIR", help="The folder to write.  \\[default: explained-<run>]"),
]


def _selects(what: str) -> Any:
    return typer.Option(help=f"Selects a {what}, if the run has several.")


def explain(
    images: Images,
    run: Run,
    explainer: Explainers = None,
    output: Outputs = None,
    target_class: TargetClass = None,
    dataset: Annotated[str | None, _selects("data set")] = None,
    generator: Annotated[str | None, _selects("generator")] = None,
    encoder: Annotated[str | None, _selects("encoder")] = None,
    head: Annotated[str | None, _selects("head")] = None,
    seed: Annotated[int | None, _selects("seed")] = None,
    data_root: opt.DataRoot = None,
    device: opt.Device = "auto",
    batch_size: opt.BatchSize = 128,
    out: Out = None,
    cache: opt.CacheDir = None,
    as_json: opt.Json = False,
) -> None:
    """Explain new images with a model of a finished run; nothing is trained."""
    with errors_in_one_line():
        from gvr_bench.explain import load
        from gvr_bench.explain.folder import explain_images
        from gvr_bench.explain.targets import TargetSelection
        from gvr_bench.registry.registry import output_to_stderr

        with output_to_stderr():
            trained = load(
                run, cache=cache, data_root=data_root, device=device, batch_size=batch_size,
                dataset=dataset, generator=generator, encoder=encoder, head=head, seed=seed,
            )  # fmt: skip
            folder = out or Path(f"explained-{trained.run}")
            if (folder / RECORDS).exists():
                raise UsageError(f"{folder} is the folder of a run; choose another with --out DIR")
            selection = TargetSelection.by_name(trained.task, output or (), target_class)
            stages = {name: trained.stage(name) for name in explainer or trained.explainers}
            if trained.absent and not explainer:
                absent = ", ".join(trained.absent)
                print(f"left out, for they are not installed: {absent}", file=sys.stderr)
            inputs, unreadable = read_images(trained, list(dict.fromkeys(images)))
            display = Stages(len(stages) + 1)
            explained = explain_images(trained, inputs, selection, stages, display.run)
            explanations = write(folder, explained, unreadable, display)
        show(folder, explanations, as_json)
        if not explanations.succeeded:
            raise typer.Exit(SOME_FAILED)


class Stages:
    """Shows the progress of each explainer on stderr."""

    def __init__(self, count: int) -> None:
        from gvr_bench.pipeline.progress import Display

        self.display = Display(Console(stderr=True), count)

    def run(self, name: str, work: Callable[[Progress], ExplainerOutput]) -> ExplainerOutput:
        with self.display.stage(name) as progress:
            output = work(progress)
        self.display.number += 1
        return output


def write(
    folder: Path, explained: Explained, unreadable: Sequence[UnreadableImage], display: Stages
) -> ExplainedImages:
    """Write the folder and draw its page. Raises `UsageError` or `CacheError`."""
    from gvr_bench.report.explain_page import write_explained

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write into {folder}: {error.strerror}; choose another folder with --out DIR"
        ) from error
    explained.write(folder, unreadable)
    with display.display.stage("pictures") as progress:
        return write_explained(folder, progress)


def show_again(folder: Path) -> Path:
    from gvr_bench.report.explain_page import write_explained

    show(folder, write_explained(folder), as_json=False)
    return folder / "index.html"


def read_images(
    trained: Trained, paths: Sequence[Path]
) -> tuple[list[InputImage], list[UnreadableImage]]:
    """Read images, naming those that cannot be read. Raises `DataError` if none can."""
    from gvr_bench.explain.inputs import printable, read_file, short_names
    from gvr_bench.results.explained_images import UnreadableImage

    images: list[InputImage] = []
    unreadable: list[UnreadableImage] = []
    for path, name in zip(paths, short_names(paths), strict=True):
        try:
            images.append(read_file(trained.dataset, path, name))
        except DataError as error:
            if len(paths) == 1:
                raise
            unreadable.append(UnreadableImage(printable(path), str(error)))
            flat = " ".join(str(error).split())
            # A file name could hold control sequences.
            text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in flat)
            print(text, file=sys.stderr)
    if not images:
        raise DataError(f"none of the {len(paths)} images can be read")
    return images, unreadable


def show(folder: Path, explained: ExplainedImages, as_json: bool) -> None:
    from gvr_bench.report.explain_page import table
    from gvr_bench.report.formatting import clean
    from gvr_bench.results.explained_images import PICTURES
    from gvr_bench.results.explained_images import as_json as document

    if as_json:
        print(document(explained))
        return
    rows = [[Text(cell, style, overflow="fold") for cell in row] for row, style in table(explained)]
    print_table(COLUMNS, rows)
    for image in explained.images:
        if image.warning:
            print(clean(f"{image.name} is {image.warning}"))
    drawn = any(image.explanations for image in explained.images)
    pictures = f"; pictures: {folder / PICTURES}" if drawn else ""
    print(clean(f"Page: {folder / 'index.html'}{pictures}"))
