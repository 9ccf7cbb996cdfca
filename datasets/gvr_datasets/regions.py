"""Boxes, polygons and run lengths that mark a finding, drawn as masks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import gvr_bench.api as gvr

_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom"}


class Polygon(NamedTuple):
    """Corners (x, y) in pixels; a box has four."""

    corners: tuple[tuple[float, float], ...]

    def draw(self, marked: NDArray[np.bool_]) -> None:
        """Mark what lies inside in a mask (h, w)."""
        from PIL import Image, ImageDraw

        image = Image.fromarray(marked)
        ImageDraw.Draw(image).polygon(list(self.corners), fill=1)
        marked |= np.asarray(image)


class Runs(NamedTuple):
    """Pairs of a gap and a length down the columns, each gap from the end of the run before."""

    pairs: tuple[tuple[int, int], ...]

    def draw(self, marked: NDArray[np.bool_]) -> None:
        """Mark the runs in a mask (h, w)."""
        h, w = marked.shape
        line = np.zeros(w * h, np.bool_)
        at = 0
        for gap, length in self.pairs:
            line[at + gap : at + gap + length] = True
            at += gap + length
        marked |= line.reshape(w, h).T


def box(x: float, y: float, w: float, h: float) -> Polygon:
    """Return the box from (x, y), in which corners count as inside."""
    right, bottom = max(x, x + w - 1), max(y, y + h - 1)
    return Polygon(((x, y), (right, y), (right, bottom), (x, bottom)))


class Region(NamedTuple):
    """Where a finding lies; an empty name stands for whatever is predicted."""

    finding: str
    shape: Polygon | Runs


@dataclass(frozen=True)
class Regions:
    """The regions of each image, by its name without suffix, or its path in the folder.

    `extent` is the (width, height) in whose pixels they are; None: those of each image. `digest`
    changes with the file that they come from.
    """

    of: dict[str, list[Region]]
    extent: tuple[int, int] | None
    by_path: bool
    digest: str

    def find(self, name: str, findings: frozenset[str] | None) -> list[Region]:
        """The regions of an image that show one of the findings, any where None."""
        regions = self.of.get(key_of(name, self.by_path), ())
        return [r for r in regions if findings is None or not r.finding or r.finding in findings]

    def findings(self, output: str, outputs: Iterable[str]) -> frozenset[str] | None:
        """The names under which an output is marked; None: all.

        Raises `UsageError` where the regions name none of the outputs.
        """
        names = {region.finding for regions in self.of.values() for region in regions} - {""}
        outputs = list(outputs)
        known = {name.casefold() for name in names} & {name.casefold() for name in outputs}
        if not known and len(names) > 1:
            raise gvr.UsageError(
                f"regions mark {', '.join(sorted(names)[:6])}, and none is predicted "
                f"({', '.join(outputs[:6])}); name what is predicted like one of them"
            )
        if not known and len(outputs) == 1:
            return None
        return frozenset(name for name in names if name.casefold() == output.casefold())

    def mask(
        self, name: str, picture: Path, findings: frozenset[str] | None, size: int
    ) -> NDArray[np.bool_]:
        """Draw the regions of an image as a mask (size, size), empty where there is none.

        Raises `DataError` where one lies outside of the image.
        """
        regions = self.find(name, findings)
        if not regions:
            return np.zeros((size, size), np.bool_)
        width, height = gvr.read_extent(picture)
        across, down = self.extent or (width, height)
        marked = np.zeros((down, across), np.bool_)
        for _, shape in regions:
            _check(shape, marked, name)
            shape.draw(marked)
        return gvr.letterbox_mask(marked, width, height, size)


def key_of(name: str, by_path: bool) -> str:
    """What an image is found by: its path or name, without the suffix of an image."""
    path = PurePosixPath(name)
    path = path.with_suffix("") if path.suffix.lower() in _SUFFIXES else path
    return str(path) if by_path else path.name


def _check(shape: Polygon | Runs, marked: NDArray[np.bool_], name: str) -> None:
    h, w = marked.shape
    if isinstance(shape, Runs):
        inside = sum(gap + length for gap, length in shape.pairs) <= w * h
    else:
        inside = all(-1 <= x <= w + 1 and -1 <= y <= h + 1 for x, y in shape.corners)
    if not inside:
        raise gvr.DataError(
            f"a region of {name!r} lies outside of its {w} x {h} pixels; give regions in pixels of "
            "the images as they are"
        )
