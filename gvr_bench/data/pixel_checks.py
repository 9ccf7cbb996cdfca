"""What one pass over the pixels of a data set shows: images that cannot be true."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gvr_bench.core.types import SPLITS

FEW_GREYS = 17  # what is left of 12 bits that are read as 16
_DIM = 32  # the brightest pixel of an image of at most 13 bits that are read as 16
_DARK = 127  # the brightest pixel of images whose upper bits are not used
_MOST = 0.5  # share of images; digits on black have few greys now and then
_COVERED = 0.9  # share of a picture from which a mask marks nearly all of it


class PixelChecks:
    """Looks at images as they are read, batch by batch, and remembers what is odd of each."""

    def __init__(self) -> None:
        self.total = 0
        self.brightest = 0
        self.constant: list[str] = []
        self.few_greys: list[str] = []
        self.dim: list[str] = []
        self.first: dict[bytes, tuple[str, str]] = {}
        self.doubles: dict[tuple[str, str], list[tuple[str, str]]] = {}

    def add(self, split: str, sample_ids: NDArray[np.str_], images: NDArray[np.uint8]) -> None:
        """Look at images (n, C, H, W) of a split."""
        self.total += len(images)
        self.brightest = max(self.brightest, int(images.max(initial=0)))
        for sample_id, image in zip(sample_ids.tolist(), images, strict=True):
            greys = np.count_nonzero(np.bincount(image.ravel(), minlength=256))
            if greys <= 2 and is_constant(image):
                self.constant.append(sample_id)
                continue
            if greys <= FEW_GREYS:
                self.few_greys.append(sample_id)
            if image.max() <= _DIM:
                self.dim.append(sample_id)
            digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
            other, name = self.first.setdefault(digest, (split, sample_id))
            if other != split:
                self.doubles.setdefault((split, other), []).append((sample_id, name))

    def cautions(self, dataset: str, has_bits: bool) -> Iterator[str]:
        """Yield a line for each kind of oddity.

        `has_bits` says whether the data set has the setting `bits`.
        """
        if self.constant:
            yield (
                f"{_count(self.constant, self.total)} one colour throughout (the first is "
                f"{self.constant[0]!r}): nothing can be seen in them; look at the files, and "
                "remove their rows"
            )
        varied = self.total - len(self.constant)
        if varied and self.brightest <= _DARK:
            yield self._dark(dataset, has_bits)
        elif self.dim:
            yield (
                f"{_count(self.dim, self.total)} nearly black, with no pixel above {_DIM} of 255 "
                f"(the first is {self.dim[0]!r}), and others are not; if these files use fewer "
                "bits, convert them to the full range"
            )
        if varied and self.brightest > _DARK and len(self.few_greys) > _MOST * varied:
            yield (
                f"{_count(self.few_greys, self.total, 'have')} at most {FEW_GREYS} of 256 greys "
                f"(the first is {self.few_greys[0]!r}); if they were converted from more, convert "
                "them again with their full range"
            )
        for (split, other), pairs in sorted(self.doubles.items(), key=_order):
            name, twin = pairs[0]
            yield (
                f"{len(pairs):,} images of {split} are the same as images of {other} (the first is "
                f"{name!r}, as {twin!r}): scores of them are not those of new images; remove one "
                "of each pair, or give both the same patient"
            )

    def _dark(self, dataset: str, has_bits: bool) -> str:
        bits = math.ceil(math.log2(max(self.brightest - 0.5, 1) * 257))
        advice = (
            f"if 16-bit files use {bits} bits, type --dataset {dataset}:bits={bits}"
            if has_bits and 9 <= bits < 16
            else "scale them to the full range"
        )
        return (
            f"no pixel of the {self.total:,} images is brighter than {self.brightest} of 255: "
            f"{advice}"
        )


def _count(names: list[str], total: int, verb: str = "are") -> str:
    return f"{len(names):,} of {total:,} images {verb}"


def _order(item: tuple[tuple[str, str], object]) -> tuple[int, int]:
    split, other = item[0]
    return -SPLITS.index(split), SPLITS.index(other)


def is_constant(image: NDArray[np.uint8]) -> bool:
    """Whether an image (C, H, W) shows one colour, beside black bars around it."""
    lit = np.asarray(image.any(axis=0))
    if not lit.any():
        return True
    inside = image[:, *_box(lit)]
    return bool((inside == inside[:, :1, :1]).all())


def _box(lit: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns of a square (H, W) that are not black throughout."""
    rows, columns = (np.flatnonzero(lit.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


class MaskChecks:
    """Looks at masks of positive cases, batch by batch."""

    def __init__(self) -> None:
        self.total = 0
        self.full: list[str] = []
        self.empty: list[str] = []

    def add(
        self,
        sample_ids: NDArray[np.str_],
        masks: NDArray[np.bool_],
        images: NDArray[np.uint8],
    ) -> None:
        """Look at masks (n, H, W) of images (n, C, H, W)."""
        self.total += len(masks)
        for sample_id, mask, image in zip(sample_ids.tolist(), masks, images, strict=True):
            if not mask.any():
                self.empty.append(sample_id)
            elif _share(mask, image) > _COVERED:
                self.full.append(sample_id)

    def cautions(self) -> Iterator[str]:
        """Yield lines on masks that mark nearly all, or nothing though the label is positive.

        Where no mask marks anything, none is known, and nothing is said.
        """
        if self.full:
            yield (
                f"masks of {len(self.full):,} of {self.total:,} cases mark nearly all of the image "
                f"(the first is {self.full[0]!r}); if they mark the background, invert them: any "
                "colour but black marks"
            )
        if 0 < len(self.empty) < self.total:
            yield (
                f"{len(self.empty):,} of {self.total:,} cases have no mask, or one that marks "
                f"nothing, though their label is positive (the first is {self.empty[0]!r}): no "
                "score against masks counts them"
            )


def _share(mask: NDArray[np.bool_], image: NDArray[np.uint8]) -> float:
    lit = np.asarray(image.any(axis=0))
    rows, columns = _box(lit) if lit.any() else (slice(None), slice(None))
    return float(mask[rows, columns].mean())
