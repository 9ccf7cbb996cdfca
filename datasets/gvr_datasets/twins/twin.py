"""One image without and with a finding, and what is known of the pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import gvr_bench.api as gvr

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
TAG = "tag"


class DoesNotFitError(Exception):
    """An image that cannot have the finding, and why: one clause."""


@dataclass(frozen=True)
class Source:
    """What a twin is made of: pixels (c, h, w) in [0, 1], the sample's name, its label.

    `region` (h, w) is where findings may lie, empty where not known; `other` is another image.
    """

    pixels: Floats
    region: Mask
    name: str
    positive: bool
    other: Floats | None = None


@dataclass(frozen=True)
class Twin:
    """One image without and with a finding, (c, h, w) in [0, 1], and the pixels of the finding.

    `tag` (h, w) in [0, 1] is how far a shortcut brightens each pixel, None without one.
    """

    plain: Floats
    changed: Floats
    mask: Mask
    tag: Floats | None = None

    @property
    def tag_mask(self) -> Mask:
        """Pixels (h, w) where the tag has at least half its strength; none without one."""
        if self.tag is None:
            return np.zeros_like(self.mask)
        return np.asarray((self.tag >= self.tag.max() / 2) & (self.tag > 0))


@dataclass(frozen=True)
class Exposed:
    """A twin as its images (c, h, w) are seen: without and with the finding.

    `untagged` is the one that belongs to its label, without the tag.
    """

    plain: Pixels
    image: Pixels
    untagged: Pixels


def expose(twin: Twin, positive: bool, grain: Floats) -> Exposed:
    """Add tag and noise (h, w), in grey levels, to both twins, and round."""

    def exposed(pixels: Floats, tag: Floats | None) -> Pixels:
        if tag is not None:
            pixels = pixels + tag * (1 - pixels)
        return np.asarray(np.rint(pixels * 255 + grain).clip(0, 255), np.uint8)

    own = twin.changed if positive else twin.plain
    return Exposed(exposed(twin.plain, twin.tag), exposed(own, twin.tag), exposed(own, None))


def ground_truth(
    twins: Sequence[Twin], exposed: Sequence[Exposed], finding: str, tagged: bool
) -> gvr.GroundTruth:
    """Return what is known of images; `tagged` says that some may have a tag."""
    image = np.stack([each.image for each in exposed])
    plain = np.stack([each.plain for each in exposed])
    removed, names = [plain], [finding]
    masks = [np.stack([twin.mask for twin in twins])]
    if tagged:
        removed.append(np.stack([each.untagged for each in exposed]))
        masks.append(np.stack([twin.tag_mask for twin in twins]))
        names.append(TAG)
    mask, without = np.stack(masks, axis=1), np.stack(removed, axis=1)  # (n, K, ...)
    differs = (without != image[:, None]).any(axis=(2, 3, 4))
    present = differs & mask.any(axis=(2, 3))
    mask &= present[:, :, None, None]
    cause = np.zeros_like(present)
    cause[:, 0] = True
    structures = gvr.Structures(tuple(names), present, cause, ~cause, mask, without)
    return gvr.GroundTruth(mask[:, 0], plain, mask[:, 1] if tagged else None, structures)
