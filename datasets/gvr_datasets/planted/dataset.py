"""The data set `planted`: findings in real images, with their exact truth."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

import gvr_bench.api as gvr
from gvr_datasets.planted import outlines
from gvr_datasets.planted.blending import foreign_opacity
from gvr_datasets.planted.place import guess_lungs
from gvr_datasets.planted.tags import TagName, draw_tag
from gvr_datasets.twins.dataset import Twins, TwinSettings
from gvr_datasets.twins.twin import DoesNotFitError, Floats, Mask, Source, Twin

PlantName = Literal["nodule", "consolidation", "effusion", "foreign-opacity", "shape"]
# By detectability: on 237 real radiographs of 64 px a filter that searches the lungs for a nodule
# has an AUROC of 0.55 for 0.15 and of 0.92 for 0.28, one that knows the place of 0.95 for 0.15.
AMPLITUDE: dict[str, float] = {
    "nodule": 0.25, "consolidation": 0.2, "effusion": 0.22, "foreign-opacity": 0.3, "shape": 0.22,
}  # fmt: skip
MASK = 0.15  # of a plant's full strength
ROUNDING = 1e-9
LEAST_PIXELS = 3  # of a finding
SAMPLE = 48  # training images that decide whether the images are radiographs
MOST_UNGUESSED = 0.2  # of them


class Planted(Twins):
    """Findings planted in half of the images of another data set, where lungs are if there are any.

    `planted:folder,plant=nodule,base.size=64`. They lie in the user's masks of the lungs; without
    any, in what looks like lungs; where nothing does, anywhere.
    """

    noise = 0.7

    class Settings(TwinSettings):
        """What is planted, in which images.

        `plant` is a `nodule`, a `consolidation` or an `effusion`, for frontal chest radiographs; a
        `foreign-opacity` is a patch of another image blended in, for images of anything. With
        `shape` all images get a round opacity, and its outline is the label: smooth or spiculated.
        `amplitude` is how much a plant brightens, of the range from black to white, where the lung
        is as dark as its median; by default that of the plant. `place` decides where plants may
        lie. `tag` is a mark that goes along with the label: images with the finding have it with
        probability `strength`, others with 1 - `strength`.
        """

        plant: PlantName = "nodule"
        amplitude: float | None = Field(default=None, gt=0, le=1)
        place: Literal["auto", "masks", "lungs", "anywhere"] = "auto"
        tag: TagName = "none"
        strength: float = Field(default=0.95, ge=0, le=1)

    settings: Settings

    @property
    def finding(self) -> str:
        """The plant, or what the outline of `shape` is."""
        return "spiculated" if self.settings.plant == "shape" else self.settings.plant

    @property
    def tagged(self) -> bool:
        """Whether some images have a tag."""
        return self.settings.tag != "none"

    @property
    def needs_other(self) -> bool:
        """Whether a patch of another image is planted."""
        return self.settings.plant == "foreign-opacity"

    @property
    def amplitude(self) -> float:
        """How much a plant brightens, of the range from black to white."""
        return self.settings.amplitude or AMPLITUDE[self.settings.plant]

    def split(self, name: str) -> gvr.Split:
        """The images of that split. Raises `DataError` or `UsageError`."""
        _ = self.place
        return super().split(name)

    def twin(self, source: Source) -> Twin:
        """Plant the finding. Raises `DoesNotFitError`."""
        plain, unit, mask = self.unit_change(source)
        if mask.sum() < LEAST_PIXELS:
            raise DoesNotFitError(f"it has {mask.sum()} pixels at this size; use larger images")
        changed = plain + self.amplitude * unit
        if max(plain.max(), changed.max()) > 1 + ROUNDING or changed.min() < -ROUNDING:
            raise DoesNotFitError(clipping(plain, unit, self.amplitude))
        return Twin(plain, changed, mask, self._tag(source))

    def unit_change(self, source: Source) -> tuple[Floats, Floats, Mask]:
        """Return the image (c, h, w) without the finding, its change by an amplitude of 1, and its
        pixels (h, w). Raises `DoesNotFitError`.
        """
        region = self.region(source)
        rng, plant, pixels = self.rng("plant", source.name), self.settings.plant, source.pixels
        if plant == "foreign-opacity":
            assert source.other is not None
            change, mask = foreign_opacity(pixels, source.other, region, self.amplitude, rng)
            return pixels, change / self.amplitude, mask
        room = dark_share(pixels, region)
        if plant == "shape":
            smooth, spiculated = outlines.round_pair(region, rng)
            plain = pixels + self.amplitude * smooth * room
            mask = np.maximum(smooth, spiculated) > MASK
            return plain, (spiculated - smooth) * room, mask
        draw = {
            "nodule": outlines.nodule,
            "consolidation": outlines.consolidation,
            "effusion": outlines.effusion,
        }[plant]
        strength = draw(region, rng)
        return pixels, strength * room, strength > MASK

    def region(self, source: Source) -> Mask:
        """Where the plant of an image may lie: (h, w). Raises `DoesNotFitError`."""
        if self.place == "anywhere":
            return np.ones_like(source.region)
        if source.region.any():
            return source.region
        lungs = guess_lungs(source.pixels)
        if self.settings.place == "masks" or not lungs.any():
            guess = "" if self.settings.place == "masks" else ", and no two lungs stand out"
            raise DoesNotFitError(f"it has no mask of the lungs{guess}")
        return lungs

    @functools.cached_property
    def place(self) -> Literal["masks", "lungs", "anywhere"]:
        """Where plants may lie. Raises `DataError` or `UsageError` where that is not known."""
        s = self.settings
        masked = self.selection("train").split.region is not None
        if s.place == "masks" and not masked:
            raise gvr.DataError(
                f"place=masks, and '{s.dataset}' has no masks of lungs; add the column lung_mask "
                "to its table, or base.lung_masks=FOLDER, or leave place=masks out"
            )
        place: Literal["masks", "lungs", "anywhere"] = "anywhere"
        if s.place != "auto":
            place = s.place
        elif masked:
            place = "masks"
        elif self._looks_like_lungs():
            place = "lungs"
        if place == "anywhere" and s.plant == "effusion":
            raise gvr.UsageError(
                f"plant=effusion needs lungs: '{s.dataset}' has no masks of them, and its images "
                "do not look like frontal chest radiographs; bring masks (column lung_mask), or "
                "type plant=foreign-opacity"
            )
        return place

    def _looks_like_lungs(self) -> bool:
        """Whether two lungs stand out in most of the first training images."""
        if self.base.image.channels != 1:
            return False
        selection = self.selection("train")
        rows = np.unique(selection.rows)[:SAMPLE]
        guesses = [guess_lungs(picture / 255.0).any() for picture in selection.split.images(rows)]
        return bool(np.mean(guesses) >= 1 - MOST_UNGUESSED)

    def _tag(self, source: Source) -> Floats | None:
        """The tag of an image (h, w), None where it has none."""
        s = self.settings
        if s.tag == "none":
            return None
        rng = self.rng("tag", source.name)
        chance = s.strength if source.positive else 1 - s.strength
        return draw_tag(s.tag, self.image.size, rng) if rng.random() < chance else None

    def checks(self) -> Iterator[tuple[str, str]]:
        """Yield whether traces of the planting give the label away, and how visible plants are."""
        from gvr_datasets.planted.checks import measure

        return measure(self)


def dark_share(pixels: Floats, region: Mask) -> Floats:
    """How much of an amplitude each pixel (c, h, w) takes: 1 at the median of the region, 0 where
    the image is white already. Raises `DoesNotFitError` where nothing is darker than white.
    """
    median = float(np.median(pixels[:, region]))
    if median >= 1:
        raise DoesNotFitError("its region is white")
    return np.asarray((1 - pixels) / (1 - median))


def clipping(plain: Floats, unit: Floats, amplitude: float) -> str:
    """Say which amplitude would not leave the range from black to white."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        most = np.where(unit > 0, (1 - plain) / unit, np.where(unit < 0, plain / -unit, np.inf))
    return f"amplitude={amplitude:g} clips; at most {max(float(most.min()), 0):.2f} fits"
