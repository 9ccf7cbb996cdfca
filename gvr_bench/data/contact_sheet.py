"""A sheet of images of each class, as they were read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gvr_bench.core.types import Split, Task

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

IMAGES = 9  # of each class
MAX_CLASSES = 12
MIN_TILE, MAX_TILE = 64, 128  # pixels
GAP, LABEL = 4, 18  # pixels between tiles, and above them for the name of a class
_OUTLINE = (20, 214, 190)
_PAPER, _INK = (255, 255, 255), (30, 30, 30)

ImagesAt = Callable[[NDArray[np.int64]], NDArray[np.uint8]]


class SheetRow(NamedTuple):
    """Images (n, C, H, W) of a class, and where their masks (n, H, W) are known, those."""

    title: str
    images: NDArray[np.uint8]
    masks: NDArray[np.bool_] | None = None


def choose_rows(
    task: Task, targets: NDArray[np.float32]
) -> Iterator[tuple[str, int, NDArray[np.int64]]]:
    """Yield title, output and positions of the images of each class, evenly through the split.

    For tasks of findings the last row shows none of them; its output is 0.
    """
    positive = task.positives(targets)
    for k, name in enumerate(task.outputs[:MAX_CLASSES]):
        yield from _row(name, k, np.asarray(positive[:, k]))
    if task.kind != "multiclass":
        nothing = "not " + task.outputs[0] if len(task.outputs) == 1 else "none of these"
        known = ~np.isnan(targets).any(axis=1)
        yield from _row(nothing, 0, np.asarray(known & ~positive.any(axis=1)))


def _row(
    name: str, output: int, chosen: NDArray[np.bool_]
) -> Iterator[tuple[str, int, NDArray[np.int64]]]:
    positions = np.flatnonzero(chosen)
    if len(positions):
        rows = np.linspace(0, len(positions) - 1, min(IMAGES, len(positions))).astype(np.int64)
        yield f"{name} ({len(positions):,})", output, positions[rows]


def read_rows(task: Task, split: Split) -> list[SheetRow]:
    """Read the rows of a sheet, with masks where they are known."""
    rows = []
    for title, output, positions in choose_rows(task, split.targets):
        masks = None
        if split.truth is not None:
            masks = split.truth(positions, np.full(len(positions), output, np.int64)).mask
        rows.append(SheetRow(title, split.images(positions), masks))
    return rows


def draw_sheet(rows: list[SheetRow]) -> Picture:
    """Draw a row of images for each class, masks outlined in green."""
    from PIL import Image, ImageDraw, ImageFont

    tile = int(np.clip(rows[0].images.shape[-1], MIN_TILE, MAX_TILE))
    width, height = IMAGES * (tile + GAP) + GAP, len(rows) * (tile + LABEL + GAP) + GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for number, row in enumerate(rows):
        top = GAP + number * (tile + LABEL + GAP)
        draw.text((GAP, top), row.title, fill=_INK, font=font)
        for i, image in enumerate(row.images):
            mask = None if row.masks is None else row.masks[i]
            sheet.paste(_tile(image, mask, tile), (GAP + i * (tile + GAP), top + LABEL))
    return sheet


def _tile(image: NDArray[np.uint8], mask: NDArray[np.bool_] | None, edge: int) -> Picture:
    from PIL import Image

    colours = np.repeat(image, 3, axis=0) if len(image) == 1 else image
    picture = Image.fromarray(np.ascontiguousarray(colours.transpose(1, 2, 0)))
    pixels = np.array(picture.resize((edge, edge), Image.Resampling.BICUBIC))
    if mask is not None and mask.any():
        large = np.array(Image.fromarray(mask).resize((edge, edge), Image.Resampling.NEAREST))
        inside = large.copy()
        inside[1:-1, 1:-1] = (
            large[1:-1, 1:-1] & large[:-2, 1:-1] & large[2:, 1:-1] & large[1:-1, :-2]
            & large[1:-1, 2:]
        )  # fmt: skip
        inside[[0, -1]] = inside[:, [0, -1]] = False
        pixels[large & ~inside] = _OUTLINE
    return Image.fromarray(pixels)
