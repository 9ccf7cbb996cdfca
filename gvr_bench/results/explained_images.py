"""What explainers answered about new images: the file `explanations.json` of their folder."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gvr_bench.cache.serialization import replacing
from gvr_bench.core.errors import DataError

ANSWERS = "explanations.json"
CASES, FLOATS, PICTURES = "cases.h5", "explanations.h5", "pictures"  # beside it
UNSEEN = "the model does not see this finding: there is nothing to take away"
USUAL = 0.995  # share of a run's own images below each of two limits: 1 in 100 is marked, at most

Status = Literal["ok", "n/a", "failed"]


@dataclass(frozen=True)
class Answer:
    """What one explainer answered.

    `key` says all that it depends on but the image; `picture` is a file of the same folder, empty
    where there is no map. `found` and what follows are None for one that makes no counterfactual;
    `reason` says why there is no map, or why no counterfactual was found.
    """

    explainer: str
    key: str
    status: Status
    reason: str = ""
    picture: str = ""
    found: bool | None = None
    steps: int | None = None
    prediction_after: float | None = None
    prediction_reencoded: float | None = None
    oracle_after: float | None = None


@dataclass(frozen=True)
class Asked:
    """What was asked about an image: why `finding`, or why `finding` and not the class `target`.

    `seen` is whether the model sees the finding at all. `prediction` is a probability, or a value
    in the task's unit; `oracle` what an independent model says, None where none was trained.
    """

    finding: str
    target: str | None
    seen: bool
    prediction: float | None
    oracle: float | None
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class ImageAnswers:
    """One image and all that was asked about it.

    `reconstruction_error` is the mean absolute difference between the image and its reconstruction,
    from 0 to 2, and `latent_distance` the Mahalanobis distance of its latent from those of the
    training images; `warning` says where they are unusual, and `note` why nothing was asked.
    """

    name: str
    path: str
    sha256: str
    reconstruction_error: float | None
    latent_distance: float | None
    warning: str
    predictions: dict[str, float | None]
    note: str
    asked: tuple[Asked, ...]


@dataclass(frozen=True)
class Unread:
    """An image that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Answers:
    """All images of one call, explained with one model of a run.

    `keys` are those of the model's stages. Of `test_images` images of the run's test split 99.5 %
    are below `usual_reconstruction_error`, and as many below `usual_latent_distance`.
    """

    gvr_bench: str
    run: str
    dataset: str
    generator: str
    encoder: str
    head: str
    seed: int
    kind: str
    outputs: tuple[str, ...]
    unit: str
    keys: dict[str, str]
    usual_reconstruction_error: float
    usual_latent_distance: float
    test_images: int
    images: tuple[ImageAnswers, ...]
    unread: tuple[Unread, ...]

    @property
    def model(self) -> str:
        """The model in words."""
        return f"{self.generator} · {self.encoder} · {self.head}, seed {self.seed}"

    @property
    def whole(self) -> bool:
        """Whether all images were read, and no explainer failed."""
        every = (answer for i in self.images for asked in i.asked for answer in asked.answers)
        return not self.unread and all(answer.status != "failed" for answer in every)


def unlike(error: float, usual_error: float, distance: float, usual_distance: float) -> str:
    """Say how an image is unlike those of a run; empty where it is not. Not a number is."""
    measures = (
        ("reconstruction error", error, usual_error),
        ("distance of the latent", distance, usual_distance),
    )
    beyond = [
        f"{name} {value:.3g}, usually below {limit:.3g}"
        for name, value, limit in measures
        if not value <= limit
    ]
    if not beyond:
        return ""
    return f"unlike the images of the run, so do not trust this: {'; '.join(beyond)}"


def amount(value: float | None, unit: str) -> str:
    """A prediction with its unit, or as a probability."""
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()


def as_json(answers: Answers) -> str:
    """One JSON document; what is not known is null."""
    return json.dumps(dataclasses.asdict(answers), ensure_ascii=False, indent=1, allow_nan=False)


def is_explained(folder: Path) -> bool:
    """Whether a folder holds answers about new images, rather than a run."""
    return (folder / ANSWERS).is_file() and not (folder / "records.jsonl").exists()


def write_answers(folder: Path, answers: Answers) -> None:
    """Write the file into a folder. Raises `CacheError`."""
    with replacing(folder / ANSWERS) as partial:
        partial.write_text(f"{as_json(answers)}\n", encoding="utf-8")


def read_answers(folder: Path) -> Answers:
    """Read what `write_answers` wrote. Raises `DataError`."""
    import pydantic

    path = folder / ANSWERS
    config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
    form = pydantic.TypeAdapter(pydantic.with_config(config)(Answers))
    try:
        return form.validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # pydantic's is a ValueError
        first = str(error).splitlines()[0]
        raise DataError(
            f"cannot read {path}: {first}; write it again with: gvr-bench explain"
        ) from error
