"""Patients and their disease: every random parameter of a study is drawn here."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from gvr_datasets.phantom.counter_rng import Draws, Floats, Keys, derive
from gvr_datasets.tasks import THRESHOLD

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration",
    "Mass", "Nodule", "Pneumonia", "Pneumothorax",
)  # fmt: skip
(
    ATELECTASIS, CARDIOMEGALY, EFFUSION, INFILTRATION,
    MASS, NODULE, PNEUMONIA, PNEUMOTHORAX,
) = range(8)  # fmt: skip

# What heart failure shows; right and left are the patient's.
COMPONENTS = (
    "heart to the right", "heart to the left", "haze, right lung", "haze, left lung",
    "effusion, right", "effusion, left", "septal lines", "swollen vessels",
)  # fmt: skip
(
    HEART_RIGHT, HEART_LEFT, HAZE_RIGHT, HAZE_LEFT,
    FLUID_RIGHT, FLUID_LEFT, SEPTAL, VESSELS,
) = range(8)  # fmt: skip

# One device per finding, in the order of FINDINGS: what correlates with it without causing it.
DEVICES = (
    "feeding tube", "electrode, left chest", "electrode, right flank", "central line",
    "electrode, left flank", "electrode, right chest", "side marker", "chest drain",
)  # fmt: skip
SIDE_MARKER = DEVICES.index("side marker")

BNP_HEALTHY, BNP_SEVERE, BNP_LOG_SD = 25.0, 2500.0, 0.35  # ng/L, ng/L, natural logarithm
BNP_POWER = 5 / 3  # the heart makes BNP late: at 100 ng/L the severity is 0.49
CONFOUNDER_PREVALENCE, FINDING_PREVALENCE = 0.03, 0.15

# Mean and standard deviation over patients; half the picture's width is 1.
ANATOMY = {
    "neck": (0.25, 0.025), "shoulder": (0.93, 0.05), "slope": (-0.80, 0.035),
    "torso": (0.91, 0.05), "arm": (1.13, 0.06), "bulk": (1.0, 0.07),
    "apex": (-0.74, 0.03), "lung_width": (0.735, 0.042), "lung_top": (0.42, 0.025),
    "dome_right": (0.36, 0.045), "dome_left": (0.43, 0.045), "dome_depth": (0.24, 0.03),
    "heart_x": (0.085, 0.04), "heart_y": (0.22, 0.035), "heart_long": (0.335, 0.02),
    "heart_short": (0.235, 0.014), "heart_tilt": (0.62, 0.18),
    "mediastinum": (0.125, 0.012), "knob": (0.075, 0.02), "knob_y": (-0.37, 0.025),
    "trachea": (0.042, 0.005), "spine": (0.085, 0.008), "spine_bend": (0.0, 0.02),
    "vertebra": (0.118, 0.008), "vertebra_phase": (0.0, 0.4),
    "rib_gap": (0.158, 0.008), "rib_phase": (0.0, 0.12), "rib_arch": (0.20, 0.03),
    "rib_width": (0.235, 0.02), "rib_density": (0.150, 0.022),
    "front_gap": (0.185, 0.01), "front_phase": (0.0, 0.3), "front_slope": (0.42, 0.05),
    "clavicle_y": (-0.60, 0.03), "clavicle_slope": (-0.18, 0.05),
    "scapula": (0.74, 0.04), "lung_air": (0.64, 0.035), "vessels": (1.0, 0.15),
    "breast": (0.0, 0.05), "breast_y": (0.30, 0.06),
    "gas": (0.0, 0.10), "gas_x": (0.36, 0.07),
}  # fmt: skip

# Mean and standard deviation over the images of one patient.
POSE = {
    "zoom": (1.02, 0.035), "shift_x": (0.0, 0.03), "shift_y": (0.01, 0.03),
    "tilt": (0.0, 0.025), "turn": (0.0, 0.018), "breath": (0.0, 0.02),
}  # fmt: skip

EXPOSURE = {
    "a": {"gain": (1.12, 0.08), "gamma": (0.05, 0.14), "offset": (0.005, 0.012),
          "noise": (0.014, 0.003), "blur": (0.007, 0.002)},
    "b": {"gain": (0.98, 0.07), "gamma": (0.38, 0.12), "offset": (0.06, 0.02),
          "noise": (0.022, 0.004), "blur": (0.013, 0.003)},
}  # fmt: skip
Institution = Literal["a", "b", "both"]


@dataclass(frozen=True)
class Population:
    """What determines prevalences."""

    task: Literal["bnp", "findings"]
    distractor_correlation: float
    institution: Institution


@dataclass(frozen=True)
class State:
    """Disease and devices when the image is taken.

    `components` (n, 8) are the severities in [0, 1] of what heart failure shows; `findings` (n, 8)
    bool; `bnp` (n,) ng/L; `devices` (n, 8) bool; `institution_b` (n,) bool.
    """

    components: Floats
    findings: NDArray[np.bool_]
    bnp: Floats
    devices: NDArray[np.bool_]
    institution_b: NDArray[np.bool_]

    @property
    def severity(self) -> Floats:
        """Severity of heart failure in [0, 1], (n,): the norm of its components."""
        return np.asarray(np.sqrt((self.components**2).sum(axis=1)))

    def rows(self, rows: slice | NDArray[np.int64]) -> Self:
        """The state in some of the images."""
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def without(self, output: NDArray[np.int64] | None) -> State:
        """The same images without finding `output` (n,), or without heart failure if None.

        Devices and laboratory values stay: the disease does not cause them.
        """
        if output is None:
            return replace(self, components=np.zeros_like(self.components))
        findings = self.findings.copy()
        findings[np.arange(len(findings)), output] = False
        return replace(self, findings=findings)

    def only_device(self, output: NDArray[np.int64] | None) -> State:
        """The same images with no other device than that of finding `output` (n,), if not None."""
        if output is None:
            return self
        return replace(self, devices=self.devices & (np.arange(len(DEVICES)) == output[:, None]))


def _copy_label(
    label: NDArray[np.bool_], draws: Draws, strength: float, chance: float
) -> NDArray[np.bool_]:
    """With probability `strength` the label itself, else a coin with this `chance` of heads."""
    count = label.shape[1]
    coin = draws.uniform("device.coin", count) < chance
    return np.where(draws.uniform("device.copies", count) < strength, label, coin)


def draw_mixture(patients: Keys) -> Floats:
    """Shares (n, 8) of the components of heart failure, of norm 1: a patient has two to four."""
    person = Draws(patients)
    order = person.uniform("failure.order", len(COMPONENTS))
    rank = np.argsort(np.argsort(order, axis=1), axis=1)
    count = 2 + np.floor(3 * person.uniform("failure.count")).astype(np.int64)
    share = person.between("failure.share", 0.2, 1.0, len(COMPONENTS))
    share = np.where(rank == 0, 1.0, share) * (rank < count)
    return (share / np.linalg.norm(share, axis=1, keepdims=True)).astype(np.float32)


def draw_state(patients: Keys, visits: Keys, population: Population) -> State:
    """What each image's patient has: `patients` and `visits` (n,) keys."""
    person, visit = Draws(patients), Draws(visits)
    n = len(visits)
    if population.task == "bnp":
        prone = person.uniform("failure.prone") < 0.5
        ill = visit.uniform("failure.now") < np.where(prone, 0.85, 0.15)
        burden = np.where(ill, visit.between("failure.severity", 0.04, 1.0), 0.0)[:, 0]
        prevalence = CONFOUNDER_PREVALENCE
    else:
        burden, prevalence = np.zeros(n), FINDING_PREVALENCE
    severity = (burden ** (1 / BNP_POWER)).astype(np.float32)
    log_ratio = np.log(BNP_SEVERE / BNP_HEALTHY)
    noise = visit.normal("bnp")[:, 0]
    bnp = (BNP_HEALTHY * np.exp(burden * log_ratio + BNP_LOG_SD * noise)).astype(np.float32)
    findings = visit.uniform("findings", len(FINDINGS)) < prevalence
    strength = population.distractor_correlation
    if population.task == "bnp":
        present = _copy_label(bnp[:, None] >= THRESHOLD, visit, strength, 0.5)
        devices = present & (visit.uniform("device.kinds", len(DEVICES)) < 0.4)
        devices[:, SIDE_MARKER] = present[:, 0]
    else:
        devices = _copy_label(findings, visit, strength, 0.2)
    b = {"a": np.zeros(n, bool), "b": np.ones(n, bool)}.get(
        population.institution, person.uniform("institution")[:, 0] < 0.5
    )
    return State(severity[:, None] * draw_mixture(patients), findings, bnp, devices, b)


@dataclass(frozen=True)
class Study:
    """Random parameters of n images, apart from the `State`.

    `body`, `pose` and `exposure` hold (n, 1, 1) arrays by the names of `ANATOMY`, `POSE` and
    `EXPOSURE`; `patients` and `visits` are keys for parameters that only some parts of a picture
    need.
    """

    patients: Keys
    visits: Keys
    body: dict[str, Floats]
    pose: dict[str, Floats]
    exposure: dict[str, Floats]

    def rows(self, rows: slice | NDArray[np.int64]) -> Study:
        """Some of the images."""
        tables = (self.body, self.pose, self.exposure)
        cut = ({name: values[rows] for name, values in table.items()} for table in tables)
        return Study(self.patients[rows], self.visits[rows], *cut)


def draw_study(patients: Keys, visits: Keys, institution_b: NDArray[np.bool_]) -> Study:
    """Anatomy by patient; pose and exposure by image."""
    person, visit = Draws(patients), Draws(visits)
    body = person.table("body", ANATOMY)
    # A third of the patients have breast shadows; most have some gas in the stomach.
    size = person.between("breast.size", 0.05, 0.14)[:, :, None]
    body["breast"] = np.where(person.uniform("breast.any")[:, :, None] < 0.35, size, 0.0)
    pose = visit.table("pose", POSE)
    body["gas"] = np.maximum(body["gas"] + 0.25 * visit.normal("gas")[:, :, None], 0.0)
    own = {name: visit.table("exposure", rows) for name, rows in EXPOSURE.items()}
    b = institution_b[:, None, None]
    exposure = {name: np.where(b, own["b"][name], own["a"][name]) for name in own["a"]}
    return Study(patients, visits, body, pose, exposure)


def roster(key: int, images: int, mean: float) -> tuple[NDArray[np.int64], Keys, Keys]:
    """Patient numbers, patient keys and visit keys of the images of a split, each (N,).

    Patients have 1, 2, 3, ... images with geometric frequencies and this `mean`; a longer split
    begins with the shorter one.
    """
    root = derive(np.array([key], dtype=np.uint64), 0)  # all keys of the split come from it
    everyone = derive(root, np.arange(images))
    share = Draws(everyone).uniform("images")[:, 0].astype(np.float64)
    more = np.log(share) / np.log1p(-1.0 / mean) if mean > 1 else np.zeros(images)
    first = np.cumsum(1 + np.floor(more).astype(np.int64))
    patient = np.searchsorted(first, np.arange(images), side="right")
    begins = np.concatenate([[0], first])[patient]
    patients = everyone[patient]
    return patient, patients, derive(patients, np.arange(images) - begins)
