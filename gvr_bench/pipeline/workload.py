"""How much work a stage is: counts out of its settings, its networks and the images it is given.

Work is a product of counts, so that a stage which was measured tells what another one of its kind
takes. Networks count by the square of their channels, which is what a convolution costs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STEPS = ("iterations", "steps", "samples")  # settings that say how often networks are passed
TIMES = (*STEPS, "critic_steps", "batch", "draws")  # settings that multiply the work
TRAINED = ("generator", "encoder", "head")  # kinds whose settings say how long they are trained
EXPLAINED = (
    "explanations",
    "perturbed_explanations",
    "student_training_set",
)  # kinds that apply an explainer
CASE_BATCH = 128  # images explained at once, where --batch-size does not say otherwise
ORACLE_BATCH, ORACLE_STEPS, ORACLE_EPOCHS = 128, 500, (1, 40)
JUDGE_BATCH, JUDGE_STEPS, JUDGE_EPOCHS = 64, 300, 60
MOST_DECODED, MOST_TAUGHT, MOST_STUDENT = 1000, 320, 64**2
DRAWS = {"perturbed": 5}  # copies of each case that are explained


@dataclass(frozen=True)
class Scene:
    """The images that a stage works on: numbers in each image, images by split, cases."""

    numbers: int
    train: int
    validation: int
    test: int
    cases: int

    @property
    def images(self) -> int:
        """Images of all splits."""
        return self.train + self.validation + self.test


@dataclass(frozen=True)
class Job:
    """A stage as far as its cost goes, planned or computed; `networks` are settings by kind."""

    kind: str
    name: str
    version: str
    settings: Mapping[str, Any]
    networks: Mapping[str, Mapping[str, Any]]
    scene: Scene

    @property
    def part(self) -> str:
        """Which of several stages of one kind and component."""
        return str(self.settings.get("group") or self.settings.get("changed") or "")

    def channels(self, power: int) -> float:
        """Channels of generator and encoder to a power, together; 1 where nothing tells."""
        mine = {self.kind: self.settings} if self.kind in ("generator", "encoder") else {}
        told = {**self.networks, **mine}
        widths = [float(one["width"]) for one in told.values() if "width" in one]
        return sum(width**power for width in widths) or 1.0


def work_of(job: Job) -> dict[str, float]:
    """Return the counts whose product is the time that a job takes, by what is counted."""
    scene, pixels = job.scene, float(job.scene.numbers)
    match job.kind:
        case "data":
            return {"images": scene.images, "pixels": pixels}
        case "cases":
            return {"cases": scene.cases, "pixels": pixels}
        case "generator" | "encoder":
            return {**training(job), "pixels": pixels, "channels": job.channels(2)}
        case "latents":
            copies = 1 + int(job.settings.get("copies", 0))
            images = copies * scene.train + scene.validation + scene.test
            return {"images": images, "pixels": pixels, "channels": job.channels(2)}
        case "head":
            return training(job)
        case "prediction":
            return {"images": scene.test}
        case "oracle":
            epoch = math.ceil(scene.train / ORACLE_BATCH)
            least, most = (count * epoch for count in ORACLE_EPOCHS)
            return {"steps": min(max(ORACLE_STEPS, least), most), "pixels": pixels}
        case "class_autoencoders":
            epochs = JUDGE_EPOCHS * math.ceil(scene.train / JUDGE_BATCH)
            return {"steps": min(JUDGE_STEPS, epochs), "pixels": pixels}
        case "decoding":
            images = min(scene.test, MOST_DECODED)
            return {"images": images, "pixels": pixels, "channels": job.channels(2)}
        case "student":
            return {"pixels": min(pixels, MOST_STUDENT)}
    return explaining(job)


def training(job: Job) -> dict[str, float]:
    """Return the counts of a training: steps and batch, or epochs of the training images."""
    counts = {name: float(job.settings[name]) for name in TIMES if job.settings.get(name)}
    if "epochs" in job.settings:
        counts.pop("batch", None)
        counts |= {"epochs": float(job.settings["epochs"]), "images": job.scene.train}
    elif not counts.keys() & set(STEPS):
        counts["images"] = job.scene.train
    return counts


def explaining(job: Job) -> dict[str, float]:
    """Return the counts of a stage that explains or scores cases."""
    scene, pixels = job.scene, float(job.scene.numbers)
    if job.kind not in EXPLAINED:
        return {"cases": scene.cases, "pixels": pixels}
    cases = min(scene.train, MOST_TAUGHT) if job.kind == "student_training_set" else scene.cases
    counts = {name: float(job.settings[name]) for name in TIMES if job.settings.get(name)}
    again = DRAWS.get(job.part, 1)
    return counts | {"cases": cases * again, "pixels": pixels, "channels": job.channels(2)}


def room_of(job: Job) -> float:
    """Return what the files of a job are proportional to."""
    scene = job.scene
    match job.kind:
        case "data":
            return float(scene.images * scene.numbers)
        case "generator" | "encoder":
            return job.channels(2) * scene.numbers  # twice the size is a layer of twice the maps
        case "latents":
            copies = 1 + int(job.settings.get("copies", 0))
            return float(copies * scene.train + scene.validation + scene.test)
        case "cases" | "explanations" | "perturbed_explanations":
            return float(scene.cases * scene.numbers)
        case "prediction":
            return float(scene.test)
        case "student_training_set" | "student":
            return float(scene.numbers)
        case "scores":
            return float(scene.cases)
    return 1.0


def memory_of(job: Job) -> float:
    """Return what the memory of a job beyond the program itself is proportional to."""
    scene = job.scene
    if job.kind in ("generator", "encoder"):
        return float(job.settings.get("batch", 1)) * scene.numbers * job.channels(1)
    if job.kind in EXPLAINED:  # which take as many cases at once as fit
        return scene.numbers * job.channels(1)
    if job.kind in ("cases", "scores"):
        return float(min(scene.cases, CASE_BATCH) * scene.numbers)
    if job.kind in ("head", "prediction"):
        return float(scene.images)
    return float(scene.numbers)
