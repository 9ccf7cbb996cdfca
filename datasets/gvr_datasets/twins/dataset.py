"""What data sets share that add a finding to images of another one."""

from __future__ import annotations

import functools
import json
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue

import gvr_bench.api as gvr
from gvr_datasets.twins.selection import Selection, choose, read_rows, select
from gvr_datasets.twins.twin import DoesNotFitError, Exposed, Source, Twin, expose, ground_truth

SPLITS = ("train", "validation", "test")


class TwinSettings(gvr.Settings):
    """The images, and which of them get the finding.

    `dataset` names another data set and `base` holds its settings, as in `base.size=64`. `label`
    chooses its images: those of a class or finding, or `all`; by default those without any finding,
    of a task with classes those of its target. `copies` is how often each image of training and
    validation comes, every second time with a finding, each time in another place or shape. `seed`
    decides which image has one. `skip` is the share of the images that may be left out because they
    cannot be read or the finding does not fit. `profile` is that of the other data set.
    """

    dataset: str = ""
    base: dict[str, JsonValue] = Field(default_factory=dict)
    label: str = Field(default="", coerce_numbers_to_str=True)
    copies: int = Field(default=8, ge=1, le=100)
    seed: int = Field(default=0, ge=0)
    skip: float = Field(default=0.1, ge=0, lt=1)
    profile: Literal["quick", "standard", "paper"] = "paper"


class Twins(gvr.Dataset):
    """Images of another data set with a finding added to a random half.

    The image without it is the true counterfactual. `noise` is the standard deviation of what is
    added to both twins before rounding, in grey levels: an untouched image would be known by its
    whole numbers.
    """

    argument = "dataset"
    files = frozenset({"base"})  # may hold paths; the rest of it is in the fingerprint
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        name: {"profile": name} for name in ("quick", "standard", "paper")
    }
    least_auroc = 0.9
    noise: ClassVar[float] = 0.0
    Settings = TwinSettings
    settings: TwinSettings

    @property
    @abstractmethod
    def finding(self) -> str:
        """What is added, as a report names it."""

    @property
    def tagged(self) -> bool:
        """Whether some images have a tag."""
        return False

    @property
    def needs_other(self) -> bool:
        """Whether a twin takes something from another image."""
        return False

    @abstractmethod
    def twin(self, source: Source) -> Twin:
        """Make an image without and with the finding, whether it is to have it or not.

        Raises `DoesNotFitError`.
        """

    @property
    def task(self) -> gvr.Task:
        """Whether the finding is there."""
        return gvr.Task(kind="binary", outputs=(self.finding,))

    @property
    def image(self) -> gvr.ImageSpec:
        """Shape of the images of the other data set."""
        return self.base.image

    def fingerprint(self) -> str:
        """Digest of the other data set, its settings and its code. Raises `DataError`."""
        base = self.base
        self.split("train")  # refuses here what could not be read later
        known = json.dumps(base.settings.model_dump(mode="json", exclude={*base.files}))
        code = gvr.source_digest(type(base).__module__)
        return " ".join(filter(None, (base.fingerprint(), base.version, known, code)))

    def read(self, file: Path) -> NDArray[np.uint8] | None:
        """Read a new image as the other data set does."""
        return self.base.read(file)

    @functools.cached_property
    def base(self) -> gvr.Dataset:
        """The other data set. Raises `UsageError`."""
        s = self.settings
        if not s.dataset:
            name = type(self).__name__.lower()
            raise gvr.UsageError(f"{name} changes the images of a data set; name it: {name}:digits")
        return gvr.open_dataset(s.dataset, s.base, s.profile, self.root)

    def split(self, name: str) -> gvr.Split:
        """The chosen images of that split, half of them with the finding. Raises `DataError`."""
        selection = self.selection(name)

        def images(index: NDArray[np.int64]) -> NDArray[np.uint8]:
            exposed = self.expose(selection, index, self.twins(selection, index))
            return np.stack([each.image for each in exposed])

        def truth(index: NDArray[np.int64], _: NDArray[np.int64]) -> gvr.GroundTruth:
            twins = self.twins(selection, index)
            exposed = self.expose(selection, index, twins)
            return ground_truth(twins, exposed, self.finding, self.tagged)

        return gvr.Split(
            sample_ids=selection.names,
            patient_ids=selection.split.patient_ids[selection.rows],
            targets=selection.positive.astype(np.float32)[:, None],
            images=images,
            truth=truth,
        )

    def selection(self, name: str) -> Selection:
        """Return the images of a split, and which have the finding. Raises `DataError`."""
        splits, rows = self._chosen
        copies = 1 if name == "test" else self.settings.copies
        return select(splits[name], rows[name], self.settings.seed, copies)

    @functools.cached_property
    def _chosen(self) -> tuple[dict[str, gvr.Split], dict[str, NDArray[np.int64]]]:
        """The splits of the other data set, and the rows of the images with the label."""
        splits = {name: self.base.split(name) for name in SPLITS}
        s = self.settings
        return splits, choose(splits, self.base.task, s.label, s.dataset)

    def twins(self, selection: Selection, index: NDArray[np.int64]) -> list[Twin]:
        """Make the twins of positions (n,).

        Raises `DataError` that names the first image that cannot be read or has no room for the
        finding, with all of them as `unreadable`.
        """
        unfit: dict[int, str] = {}
        twins = []
        for position, source in enumerate(self.read_sources(selection, index)):
            try:
                twins.append(self.twin(source))
            except DoesNotFitError as error:
                unfit[position] = str(error)
        if unfit:
            first = min(unfit)
            name = selection.names[index[first]]
            raise gvr.DataError(f"no {self.finding} fits into {name}: {unfit[first]}", unfit)
        return twins

    def read_sources(self, selection: Selection, index: NDArray[np.int64]) -> list[Source]:
        """Read what the twins of positions (n,) are made of. Raises `DataError`."""
        split, rows = selection.split, selection.rows[index]
        pixels = read_rows(split, rows) / 255.0
        others = None
        if self.needs_other:
            others = read_rows(split, self._other_rows(selection, index)) / 255.0
        n, _, h, w = pixels.shape
        region = np.zeros((n, h, w), bool) if split.region is None else split.region(rows)
        return [
            Source(
                pixels[i],
                region[i],
                str(selection.names[position]),
                bool(selection.positive[position]),
                None if others is None else others[i],
            )
            for i, position in enumerate(index)
        ]

    def _other_rows(self, selection: Selection, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Another image of the same split for each, by its name."""
        every = np.unique(selection.rows)
        steps = [
            self.rng("other", str(name)).integers(1, len(every)) for name in selection.names[index]
        ]
        at = np.searchsorted(every, selection.rows[index]) + np.array(steps, np.int64)
        return np.asarray(every[at % len(every)])

    def expose(
        self, selection: Selection, index: NDArray[np.int64], twins: list[Twin]
    ) -> list[Exposed]:
        """Make the images (c, h, w) of the twins of positions (n,)."""
        return [
            self.exposed(str(selection.names[i]), twin, bool(selection.positive[i]))
            for i, twin in zip(index, twins, strict=True)
        ]

    def exposed(self, name: str, twin: Twin, positive: bool) -> Exposed:
        """Make the images (c, h, w) of a twin, with the same noise in both."""
        grain = self.noise * self.rng("noise", name).standard_normal(twin.mask.shape)
        return expose(twin, positive, grain)

    def rng(self, *parts: object) -> np.random.Generator:
        """Random numbers that depend on the seed and `parts` only."""
        return np.random.default_rng(gvr.seed_from("twins", self.settings.seed, *parts))
