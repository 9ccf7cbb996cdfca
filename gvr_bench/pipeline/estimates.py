"""What the stages of a plan will take, and how that is known.

A stage's time, files and memory are those of the nearest stage of its kind, component and version
that was measured, times the ratio of their work (`gvr_bench.pipeline.workload`). Measured are all
the cache, and those of a reference machine that come with the package (`costs.json`, written by
`scripts/bench/costs.py`). What was measured nowhere is not known, and no number is given.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import h5py
import numpy as np

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.gc import stage_folders
from gvr_bench.cache.hdf5 import BAD_HDF5, read_arrays
from gvr_bench.cache.integrity import Meta, read_meta
from gvr_bench.cache.serialization import read_json
from gvr_bench.core.components import Dataset
from gvr_bench.core.errors import CacheError
from gvr_bench.core.stage import Stage
from gvr_bench.core.types import SPLITS, Split
from gvr_bench.pipeline.plan import Plan
from gvr_bench.pipeline.workload import Job, Scene, memory_of, room_of, work_of

COSTS = Path(__file__).parents[1] / "costs.json"
NETWORKS = ("generator", "encoder")
UNLIKE = math.log(2)  # how far off one other setting is: as far as twice the work
ELSEWHERE = math.log(4)  # how far off another machine is
CROWD = 0.1  # how much the number of training images tells, where it is no part of the work

Source = Literal["this cache", "reference", "?", ""]


@dataclass(frozen=True)
class Measured:
    """What a job took: seconds, bytes of its files, and by how many memory grew, if known."""

    job: Job
    device: str
    seconds: float
    disk: float
    memory: float | None
    here: bool = True


@dataclass(frozen=True)
class Estimate:
    """What a stage is expected to take; None where that is not known, or it is stored."""

    stage: Stage
    stored: bool
    seconds: float | None = None
    disk: float | None = None
    memory: float | None = None
    source: Source = ""


@dataclass(frozen=True)
class Reference:
    """What was measured on another machine; `floor` is the memory of a run beside its work."""

    machine: str
    floor: float
    measured: tuple[Measured, ...]


@functools.cache
def reference(path: Path = COSTS) -> Reference:
    """Read what comes with the package. Raises `CacheError`."""
    told = read_json(path)
    rows = tuple(
        Measured(
            Job(**{**row["job"], "scene": Scene(**row["job"]["scene"])}),
            row["device"],
            row["seconds"],
            row["disk"],
            row["memory"],
            here=False,
        )
        for row in told["measured"]
    )
    return Reference(told["machine"], told["floor"], rows)


def as_row(one: Measured) -> dict[str, Any]:
    """Return a row of `costs.json`."""
    row = asdict(one)
    del row["here"]
    return row


def estimate(
    plan: Plan, cache: ArtifactCache, device: str, fresh: Collection[str] = frozenset()
) -> list[Estimate]:
    """Say what each stage of a plan will take on a kind of device, in the order of the plan.

    `fresh` names kinds or components to compute again, or `all`, as in a run. Raises `DataError`
    where a data set cannot be read.
    """
    again: set[str] = set()
    for stage in plan.stages:
        asked = {stage.kind, stage.name, "all"} & set(fresh)
        if asked or any(needed.key in again for needed in stage.inputs):
            again.add(stage.key)
    missing = [s for s in plan.stages if s.key in again or not cache.has(s)]
    known = Known(cache, device) if missing else None
    found = {stage.key: known.of(stage) for stage in missing if known}
    return [found.get(stage.key, Estimate(stage, True)) for stage in plan.stages]


class Known:
    """All that was measured on a kind of device, in a cache and with the package."""

    def __init__(self, cache: ArtifactCache, device: str) -> None:
        self.scenes = Scenes()
        self.floor = reference().floor if device == "cpu" else 0.0
        self.measured: dict[tuple[str, str, str, str], list[Measured]] = {}
        for one in (*measured_in(cache), *reference().measured):
            if one.device == device:
                self.measured.setdefault(_alike(one.job), []).append(one)

    def of(self, stage: Stage) -> Estimate:
        """Estimate one stage by the nearest that was measured."""
        if stage.problem:
            return Estimate(stage, False, source="?")
        job = job_of(stage, self.scenes.of(stage))
        found = self.measured.get(_alike(job), [])
        if not found:
            return Estimate(stage, False, source="?")
        nearest = min(found, key=lambda one: distance(job, one))
        grown = [
            (abs(math.log(times)), one.memory * times)
            for one in found
            if one.memory is not None
            for times in [memory_of(job) / memory_of(one.job)]
        ]
        memory = self.floor + min(grown)[1] if grown else None
        return Estimate(
            stage,
            False,
            nearest.seconds * ratio(job, nearest.job),
            nearest.disk * room_of(job) / room_of(nearest.job),
            memory,
            "this cache" if nearest.here else "reference",
        )


def _alike(job: Job) -> tuple[str, str, str, str]:
    """What two jobs must share for one to tell of the other."""
    return job.kind, job.name, job.version, job.part


def ratio(job: Job, other: Job) -> float:
    """Return how many times the work of another a job is."""
    mine, theirs = work_of(job).values(), work_of(other).values()
    return float(math.prod(mine) / math.prod(theirs))


def distance(job: Job, one: Measured) -> float:
    """Return how far what was measured is from a job: each count by its ratio, then the rest."""
    mine, theirs = work_of(job), work_of(one.job)
    counts = sum(
        abs(math.log(mine.get(name, 1.0) / theirs.get(name, 1.0))) for name in mine | theirs
    )
    told = [(job.settings, one.job.settings)]
    told += [(job.networks.get(k, {}), one.job.networks.get(k, {})) for k in NETWORKS]
    unlike = sum(
        ours.get(name) != others.get(name)
        for ours, others in told
        for name in ours.keys() | others.keys()
        if name not in mine
    )
    counts += CROWD * abs(math.log(job.scene.images / one.job.scene.images))
    return float(counts + UNLIKE * unlike + (0.0 if one.here else ELSEWHERE))


class Scenes:
    """The images that planned stages work on, as the data set tells of them."""

    def of(self, stage: Stage) -> Scene:
        """Return what a stage works on. Raises `DataError`."""
        data = stage.input("data")
        dataset = cast(Dataset, data.component)
        image = dataset.image
        splits = {name: self.split(data, name) for name in SPLITS}
        counts = {name: len(split) for name, split in splits.items()}
        return Scene(
            image.channels * image.size**2, **counts, cases=self.cases(stage, splits["test"])
        )

    @functools.cache  # noqa: B019 - lives as long as one plan is shown
    def split(self, data: Stage, name: str) -> Split:
        """Read a split of a planned data set, without its images."""
        return cast(Dataset, data.component).split(name)

    def cases(self, stage: Stage, test: Split) -> int:
        """Return how many images are explained."""
        try:
            limit = int(stage.input("cases").settings["max_cases"])
        except LookupError:
            return 0
        task = cast(Dataset, stage.input("data").component).task
        shown = task.positives(test.targets)
        shown = shown if task.source is None else shown[:, [task.source]]
        return min(limit, int(np.count_nonzero(shown)))


def job_of(stage: Stage, scene: Scene) -> Job:
    """Tell of a planned stage what its cost depends on."""
    networks = {}
    for kind in NETWORKS:
        with contextlib.suppress(LookupError):
            above = stage.input(cast(Any, kind))
            networks[kind] = {"name": above.name, **plain(above.settings)}
    settings = plain(stage.settings)
    if stage.kind == "perturbed_explanations":
        settings |= plain(stage.inputs[0].settings)
    return Job(stage.kind, stage.name, stage.version, settings, networks, scene)


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of settings what is no number and no word."""
    return {k: v for k, v in settings.items() if not isinstance(v, dict | list)}


def measured_in(cache: ArtifactCache) -> Iterator[Measured]:
    """Yield what the values of a cache took; those whose images are gone tell nothing."""
    shelf = Stored(cache)
    for key, (_, meta, content) in shelf.told.items():
        stage, scene = shelf.stage(key), shelf.scene(key)
        if stage and scene and key not in shelf.shipped:
            disk = sum(file.size for file in (meta.files or {}).values())
            yield Measured(
                job_of(stage, scene),
                str(content["device"]),
                meta.seconds,
                float(disk),
                content.get("memory"),
            )


class Stored:
    """The values of a cache, told as stages again."""

    def __init__(self, cache: ArtifactCache) -> None:
        self.told: dict[str, tuple[Path, Meta, dict[str, Any]]] = {}
        self.shipped: set[str] = set()  # computed who knows where
        self.scenes: dict[tuple[str, str], Scene | None] = {}
        for root in (cache.pretrained, cache.root):
            for folder in stage_folders(root):
                with contextlib.suppress(CacheError):
                    meta, content = read_meta(folder)
                    self.told[meta.key] = folder, meta, content
                    (self.shipped.add if root == cache.pretrained else self.shipped.discard)(
                        meta.key
                    )

    @functools.cache  # noqa: B019 - lives as long as one plan is shown
    def stage(self, key: str) -> Stage | None:
        """Return the stage of a key; None where it or one that it needs is gone."""
        if key not in self.told:
            return None
        content = self.told[key][2]
        inputs = tuple(self.stage(text.split()[-1]) for text in content["inputs"])
        if None in inputs:
            return None
        names = ("kind", "name", "version", "settings", "seed", "fingerprint")
        return Stage(**{name: content[name] for name in names}, inputs=cast(Any, inputs))

    def scene(self, key: str) -> Scene | None:
        """Return what a stage worked on; None where that is gone."""
        folders = []
        for kind in ("data", "cases"):
            try:
                above = cast(Stage, self.stage(key)).input(cast(Any, kind))
                folders.append(str(self.told[above.key][0]))
            except (AttributeError, LookupError):
                folders.append("")
        data, cases = folders
        if (data, cases) not in self.scenes:
            self.scenes[data, cases] = read_scene(data, cases) if data else None
        return self.scenes[data, cases]


def read_scene(data: str, cases: str) -> Scene | None:
    """Read how many images lie in the folders of two stages; None where one is damaged."""
    try:
        with h5py.File(Path(data, "data.h5"), "r") as file:
            shapes = {name: file[name]["images"].shape for name in SPLITS}
        counts = {name: shape[0] for name, shape in shapes.items()}
        known = read_arrays(Path(cases, "cases.h5"), "position") if cases else {"position": ()}
    except (*BAD_HDF5, CacheError):
        return None
    return Scene(math.prod(shapes["test"][1:]), **counts, cases=len(known["position"]))
