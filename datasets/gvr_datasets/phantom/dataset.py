"""The phantom as a data set: images, labels and ground truth, rendered on request."""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from threadpoolctl import ThreadpoolController

import gvr_bench.api as gvr
from gvr_datasets.phantom import patients, render
from gvr_datasets.phantom.counter_rng import Draws
from gvr_datasets.phantom.patients import FINDINGS, Population, State, Study
from gvr_datasets.phantom.structures import change_mask, empty_structures, render_away
from gvr_datasets.tasks import BNP

BATCH_PIXELS = 2**17  # rendered together: arrays of that size stay in the processor's cache
SPLITS = ("train", "validation", "test")


_rendering = threading.Lock()  # the number of BLAS threads belongs to the process


@functools.cache
def _libraries() -> ThreadpoolController:
    """The BLAS libraries in this process."""
    return ThreadpoolController()


class Phantom(gvr.Dataset):
    """Procedural frontal chest radiographs with known disease, masks and counterfactuals.

    Task `bnp` is heart failure seen as BNP in ng/L; `findings` are the eight of ChestX-ray8.
    """

    class Settings(gvr.Settings):
        """`train`, `validation` and `test` count images; `labelled` is a share of patients."""

        size: int = Field(default=128, ge=32, le=512)
        task: Literal["bnp", "findings"] = "bnp"
        train: int = Field(default=20_000, ge=1)
        validation: int = Field(default=2_000, ge=1)
        test: int = Field(default=2_000, ge=1)
        images_per_patient: float = Field(default=2.0, ge=1.0, le=50.0)
        labelled: float = Field(default=1.0, gt=0.0, le=1.0)
        distractor_correlation: float = Field(default=0.3, ge=0.0, le=1.0)
        institution: patients.Institution = "a"
        seed: int = Field(default=0, ge=0, lt=2**63)

    latent_copies = 1  # another image costs no more than another copy
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"size": 32, "train": 24_000, "validation": 500, "test": 1_000},
        "standard": {"size": 64, "train": 24_000, "validation": 2_000, "test": 2_000},
        "paper": {"size": 128, "train": 96_000, "validation": 2_000, "test": 2_000},
    }
    settings: Settings
    has_networks = True
    generators = ("wgan-gp", "vae")

    @property
    def head(self) -> str:  # type: ignore[override]
        """Natural head: the papers' linear one for BNP, residual for findings."""
        return "linear" if self.settings.task == "bnp" else "residual"

    @property
    def task(self) -> gvr.Task:
        """BNP with the usual cut-off of 100 ng/L, or the eight findings."""
        if self.settings.task == "findings":
            return gvr.Task(kind="multilabel", outputs=FINDINGS)
        return BNP

    @property
    def image(self) -> gvr.ImageSpec:
        """One channel."""
        return gvr.ImageSpec(channels=1, size=self.settings.size)

    def fingerprint(self) -> str:
        """The renderer's version and a digest of what it draws."""
        return f"phantom {render.RENDERER} {_digest()}"

    def split(self, name: str) -> gvr.Split:
        """The split `train`, `validation` or `test`. Raises `DataError`."""
        if name not in SPLITS:
            raise gvr.DataError(
                f"phantom has no split '{name}'; ask for one of: {', '.join(SPLITS)}"
            )
        return _make_split(self.settings, name)


def _make_split(settings: Phantom.Settings, name: str) -> gvr.Split:
    count: int = getattr(settings, name)
    key = gvr.seed_from("phantom", settings.seed, name)
    patient, people, visits = patients.roster(key, count, settings.images_per_patient)
    population = Population(settings.task, settings.distractor_correlation, settings.institution)
    scans = Scans(people, visits, patients.draw_state(people, visits, population), settings)
    targets = scans.targets()
    if name == "train":
        targets[~_labelled(patient, people, settings.labelled)] = np.nan
    return gvr.Split(
        sample_ids=np.array([f"{name}-{i:06d}" for i in range(count)]),
        patient_ids=np.array([f"{name}-p{j:06d}" for j in patient]),
        targets=targets,
        images=scans.images,
        truth=scans.truth,
    )


def _labelled(patient: NDArray[np.int64], people: np.ndarray, share: float) -> NDArray[np.bool_]:
    """Which images belong to the labelled patients; a larger share contains a smaller one."""
    _, first = np.unique(patient, return_index=True)
    chance = Draws(people[first]).uniform("labelled")[:, 0]
    labelled = np.argsort(chance, kind="stable")[: max(1, round(share * len(chance)))]
    return np.isin(patient, labelled)


class Scans:
    """The images of one split, rendered on request."""

    def __init__(
        self, people: np.ndarray, visits: np.ndarray, state: State, settings: Phantom.Settings
    ) -> None:
        self.people, self.visits, self.state = people, visits, state
        self.settings = settings

    def targets(self) -> NDArray[np.float32]:
        """(N, 1) BNP in ng/L or (N, 8) findings."""
        if self.settings.task == "bnp":
            return self.state.bnp[:, None].copy()
        return self.state.findings.astype(np.float32)

    def images(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Positions (n,) -> (n, 1, H, W)."""
        size = self.settings.size
        out = np.empty((len(index), 1, size, size), np.uint8)

        def work(part: slice, study: Study, state: State) -> None:
            light = render.clean(study, state, size)
            out[part] = render.expose(light, render.noise(study, size))

        self._each(index, work)
        return out

    def truth(self, index: NDArray[np.int64], output: NDArray[np.int64]) -> gvr.GroundTruth:
        """Ground truth of (image, output) pairs; the counterfactual lacks that output alone."""
        size = self.settings.size
        shape = (len(index), size, size)
        mask, distractor = np.empty(shape, bool), np.empty(shape, bool)
        counterfactual = np.empty((len(index), 1, size, size), np.uint8)
        structures = empty_structures(len(index), size)
        findings = self.settings.task == "findings"

        def work(part: slice, study: Study, state: State) -> None:
            own = output[part] if findings else None
            healthy = render.clean(study, state.without(own), size)
            light = render.clean(study, state, size)
            mask[part] = change_mask(light, healthy)
            render_away(structures, part, study, state, own, light)
            counterfactual[part] = render.expose(healthy, render.noise(study, size))
            distractor[part] = render.device_mask(study, state.only_device(own), size)

        self._each(index, work)
        return gvr.GroundTruth(mask, counterfactual, distractor, structures)

    def _each(self, index: NDArray[np.int64], work: Callable[[slice, Study, State], None]) -> None:
        """Call `work` on parts of a batch, on all processors."""
        study = patients.draw_study(
            self.people[index], self.visits[index], self.state.institution_b[index]
        )
        state = self.state.rows(index)
        length = max(1, BATCH_PIXELS // self.settings.size**2)
        parts = [slice(i, min(i + length, len(index))) for i in range(0, len(index), length)]

        def render_part(part: slice) -> None:
            work(part, study.rows(part), state.rows(part))

        # BLAS threads beside these make small matrix products up to 300 times slower.
        with _rendering, _libraries().limit(limits=1, user_api="blas"):
            workers = min(len(parts), os.cpu_count() or 1)
            with ThreadPoolExecutor(max(workers, 1)) as pool:
                list(pool.map(render_part, parts))


def _digest() -> str:
    """Digest of four tiny pictures, rounded so that all processors agree on it."""
    keys = np.arange(4, dtype=np.uint64) * np.uint64(7919)
    state = patients.draw_state(keys, keys, Population("findings", 1.0, "both"))
    findings = np.arange(len(FINDINGS)) % 4 == np.arange(4)[:, None]
    components = np.where(findings, np.linspace(0.0, 1.0, 4, dtype=np.float32)[:, None], 0.0)
    state = State(components, findings, state.bnp, findings, np.arange(4) % 2 == 1)
    study = patients.draw_study(keys, keys, state.institution_b)
    light = render.clean(study, state, 32).reshape(4, 8, 4, 8, 4).mean(axis=(2, 4))
    light = np.concatenate([light.ravel(), study.exposure["noise"].ravel()])
    return hashlib.sha256(np.rint(light * 128).astype(np.uint8).tobytes()).hexdigest()[:12]
