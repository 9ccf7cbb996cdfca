"""What a data set holds: counts of its splits, and a sheet of images of each class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gvr_bench.core.types import SPLITS, Bools, Bytes, Floats, Ints, Split, Task

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


def count_rows(task: Task, splits: Mapping[str, Split]) -> tuple[tuple[str, ...], ...]:
    """Count images, patients, labels and positives; a row has a name and a count per split."""
    columns: list[tuple[str, ...]] = [("images", "patients", "labelled", *task.outputs)]
    for name in SPLITS:
        split = splits[name]
        labelled = int((~np.isnan(split.targets).any(axis=1)).sum())
        positives = task.positives(split.targets).sum(axis=0)
        counts = (len(split), len(np.unique(split.patient_ids)), labelled, *positives)
        columns.append(tuple(f"{count:,}" for count in counts))
    return tuple(zip(*columns, strict=True))


def absent_outputs(task: Task, splits: Mapping[str, Split]) -> Iterator[str]:
    for name in SPLITS:
        positive = np.asarray(task.positives(splits[name].targets).any(axis=0))
        absent = [output for output, some in zip(task.outputs, positive, strict=True) if not some]
        if absent and positive.any():
            more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
            yield (
                f"no image of {name} shows {', '.join(absent[:3])}{more}; scores of "
                f"{'it' if len(absent) == 1 else 'them'} mean nothing"
            )


IMAGES = 9  # of each class
MAX_CLASSES = 12
MIN_TILE, MAX_TILE = 64, 128  # pixels
GAP, LABEL = 4, 18  # pixels between tiles, and above them for the name of a class
_OUTLINE = (20, 214, 190)
_PAPER, _INK = (255, 255, 255), (30, 30, 30)

ImagesAt = Callable[[Ints], Bytes]


class SheetRow(NamedTuple):
    """Images (n, C, H, W) of a class, and where their masks (n, H, W) are known, those."""

    title: str
    images: Bytes
    masks: Bools | None = None


def choose_rows(task: Task, targets: Floats) -> Iterator[tuple[str, int, Ints]]:
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


def _row(name: str, output: int, chosen: Bools) -> Iterator[tuple[str, int, Ints]]:
    positions = np.flatnonzero(chosen)
    if len(positions):
        rows = np.linspace(0, len(positions) - 1, min(IMAGES, len(positions))).astype(np.int64)
        yield f"{name} ({len(positions):,})", output, positions[rows]


def read_rows(task: Task, split: Split) -> list[SheetRow]:
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


def _tile(image: Bytes, mask: Bools | None, edge: int) -> Picture:
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
