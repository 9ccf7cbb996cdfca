"""New images, explained with the models of a run: a page, and a picture of every rationale."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gvr_bench.cache.hdf5 import SLASH, read_arrays
from gvr_bench.cache.serialization import replacing
from gvr_bench.core.errors import CacheError, DataError
from gvr_bench.report.cases import case_view, maps
from gvr_bench.report.cases.case_view import Tile
from gvr_bench.report.cases.cases_file import Combination, read_cases
from gvr_bench.report.cases.gallery import Case, galleries
from gvr_bench.report.formatting import clean, count
from gvr_bench.report.page import Section, make_page
from gvr_bench.report.rationale_picture import Line, RationalePicture
from gvr_bench.report.verdict import Verdict
from gvr_bench.results.case_scores import RunValues
from gvr_bench.results.explained_images import (
    EXPLANATIONS,
    IMAGES,
    ExplainedImage,
    ExplainedImages,
    ExplainerResult,
    OutputExplanation,
    format_prediction,
    read_explanations,
)
from gvr_bench.results.records import CASES

Arrays = Mapping[str, NDArray[Any]]
_OUTPUTS = 3  # predictions in a row of the table
_NAMED = 2  # attribution maps that a terminal lists by name
_ROWS = 12  # cases in the table of maps
_SECTIONS = (
    Section("images", "Images"),
    Section("maps", "Maps"),
    Section("cases", "Cases"),
    Section("provenance", "Provenance", summary="keys and limits", template="explained_with"),
)


@dataclass(frozen=True)
class Row:
    """One image in the table of a page: the image, its reconstruction, a map over it.

    There is no reconstruction without a decoder; the map is None, and so is `case`, the number of
    the first of its cases, where nothing was explained.
    """

    image: ExplainedImage
    predicted: str
    tiles: tuple[Tile | None, ...]
    case: int | None
    lines: tuple[Line, ...]


def write_explained(
    folder: Path, progress: Callable[[int, int, str], None] | None = None
) -> ExplainedImages:
    """Draw the page and all pictures of a folder from its files. Raises `DataError`.

    All changes of intensity share one scale. `progress` gets the number of pictures drawn, the
    total, and an empty text.
    """
    explained = read_explanations(folder)
    combinations = read_cases(folder)
    cases = [e for image in explained.images for e in image.explanations]
    if len(combinations) != 1 or len(combinations[0]) != len(cases):
        raise DataError(
            f"{folder / CASES} and {folder / EXPLANATIONS} do not belong together; write "
            "them again with: gvr-bench explain"
        )
    (c,) = combinations
    with replacing(folder / "index.html") as partial:
        partial.write_text(_page(explained, c, read_images(folder)), encoding="utf-8")
    drawings = list(_pictures(folder, explained, c))
    with ThreadPoolExecutor(2) as pool:
        for number, _ in enumerate(pool.map(lambda drawing: _write(*drawing), drawings), start=1):
            if progress is not None:
                progress(number, len(drawings), "")
    return explained


def read_images(folder: Path) -> Arrays:
    """Read all images of a folder, and their reconstructions: (n, C, H, W) uint8.

    Empty where there is no such file. Raises `DataError` for a damaged one.
    """
    if not (folder / IMAGES).is_file():
        return {}
    try:
        return read_arrays(folder / IMAGES)
    except CacheError as error:
        raise DataError(f"{error}; write it again with: gvr-bench explain") from error


def _write(path: Path, picture: RationalePicture) -> None:
    with replacing(path) as partial:
        partial.write_bytes(picture.png())


def _pictures(
    folder: Path, explained: ExplainedImages, c: Combination
) -> Iterator[tuple[Path, RationalePicture]]:
    change = case_view.change_scale(c)
    explainers = {e.name.replace(SLASH, "/"): e for e in case_view.shown(c)}
    cases = ((image, case) for image in explained.images for case in image.explanations)
    for i, (image, case) in enumerate(cases):
        for result in case.results:
            e = explainers.get(result.explainer)
            if e is None or e.attribution is None:
                continue
            moved = e.counterfactual
            picture = RationalePicture(
                image.name, result.explainer, case.output, case.target_class, explained.unit,
                c.input[i], e.attribution[i], None if moved is None else moved[i], case.prediction,
                result.prediction_after, case.predicted, result.success, result.reason,
                image.warning, case_view.heat_scale(e, change),
            )  # fmt: skip
            yield _inside(folder, result.picture), picture


def _inside(folder: Path, name: str) -> Path:
    """A PNG file of the folder. Raises `DataError` for any other."""
    path = folder / name
    if not name.endswith(".png") or not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{folder / EXPLANATIONS}: '{name}' is no picture of this folder")
    return path


def _page(explained: ExplainedImages, c: Combination, images: Arrays) -> str:
    warnings = [image.warning for image in explained.images for _ in image.explanations]

    def noted(items: Iterable[Case | maps.Row]) -> tuple[Any, ...]:
        """Cases or rows that say which images are unlike those of the run."""
        return tuple(
            replace(item, view=replace(item.view, label="", note=warning or item.view.note))
            for item, warning in zip(items, warnings, strict=False)
        )

    content = {
        "explained": explained,
        "rows": list(_rows(explained, c, images)),
        "decoded": "reconstruction" in images,
        "absent": case_view.absent(c),
        "galleries": [replace(g, cases=noted(g.cases)) for g in galleries([c], RunValues())],
        "maps": [replace(m, rows=noted(m.rows)) for m in maps.maps([c], _ROWS, all_cases=True)],
    }
    where = f"{explained.dataset}, {explained.model}"
    return make_page(
        _SECTIONS,
        content,
        version=explained.gvr_bench,
        title=f"New images, {explained.dataset}",
        heading=count(len(explained.images), "new image"),
        verdicts=[Verdict("", f"Explained with the model of {explained.run}: {where}")],
    )


def _rows(explained: ExplainedImages, c: Combination, images: Arrays) -> Iterator[Row]:
    number = 0
    for i, image in enumerate(explained.images):
        case = number if image.explanations else None
        yield Row(
            image=image,
            predicted=predicted(explained, image),
            tiles=tuple(_tiles(c, case, i, image.name, images)),
            case=case,
            lines=tuple(_lines(explained, image)),
        )
        number += len(image.explanations)


def predicted(explained: ExplainedImages, image: ExplainedImage) -> str:
    ordered = sorted(image.predictions.items(), key=lambda output: -(output[1] or 0.0))
    parts = [
        f"{name} {format_prediction(value, explained.unit)}" for name, value in ordered[:_OUTPUTS]
    ]
    rest = len(ordered) - len(parts)
    return ", ".join(parts) + (f" and {rest} less likely" if rest else "")


def _tiles(
    c: Combination, case: int | None, i: int, name: str, images: Arrays
) -> Iterator[Tile | None]:
    """Draw image `i`, its reconstruction, and the map of the first explainer over it."""
    for kind, text in (("image", "Image"), ("reconstruction", "Reconstruction of image")):
        if kind in images:
            yield case_view.image_tile(images[kind][i], f"{text} {name}")
    if case is None or not (first := case_view.shown(c)[:1]):
        yield None
        return
    (e,) = first
    yield case_view.map_tile(c, e, case, case_view.heat_scale(e, case_view.change_scale(c)), e.name)


def _lines(explained: ExplainedImages, image: ExplainedImage) -> Iterator[Line]:
    if image.warning:
        yield Line(image.warning, bad=True)
    if image.note:
        yield Line(image.note)
    for case in image.explanations:
        for result in case.results:
            if result.success is not None:
                text, bad = outcome(case, result)
                before = format_prediction(case.prediction, explained.unit)
                after = format_prediction(result.prediction_after, explained.unit)
                yield Line(f"{result.explainer}, {case.label}: {before} → {after}, {text}", bad)


def outcome(explanation: OutputExplanation, result: ExplainerResult) -> tuple[str, bool]:
    if result.status != "ok":
        return f"{result.status}: {result.reason or 'no reason given'}", result.status == "failed"
    if not explanation.predicted:
        return "not predicted by the model", False
    steps = f" in {result.steps} steps" if result.steps is not None else ""
    if result.success:
        return f"decision changed{steps}", False
    return f"decision not changed: {result.reason or 'no reason given'}", True


def table(explained: ExplainedImages) -> Iterator[tuple[tuple[str, ...], str]]:
    """Rows of six cells for a terminal, each with the style of the row.

    Image, output, prediction, explainer, prediction after, outcome. A cell that repeats the row
    above is empty, and attribution maps share a row.
    """
    for image in explained.images:
        name, style = clean(image.name), "yellow" if image.warning else ""
        if not image.explanations:
            yield (name, "–", predicted(explained, image), "–", "–", image.note), style
        for explanation in image.explanations:
            label = clean(explanation.label)
            before = format_prediction(explanation.prediction, explained.unit)
            for explainer, after, text, bad in _outcomes(explanation, explained.unit):
                cells = (name, label, before, clean(explainer), after, clean(text))
                yield cells, "red" if bad else style
                name = label = before = ""


def _outcomes(explanation: OutputExplanation, unit: str) -> Iterator[tuple[str, str, str, bool]]:
    """Explainer, prediction after, outcome, and whether it is a failure."""
    maps_of = []
    for result in explanation.results:
        if result.status == "ok" and result.success is None:
            maps_of.append(result.explainer)
            continue
        known = result.prediction_after is not None
        after = format_prediction(result.prediction_after, unit) if known else "–"
        yield result.explainer, after, *outcome(explanation, result)
    if maps_of:
        names = ", ".join(maps_of) if len(maps_of) <= _NAMED else f"{len(maps_of)} others"
        yield names, "–", "map" if len(maps_of) == 1 else "maps", False
