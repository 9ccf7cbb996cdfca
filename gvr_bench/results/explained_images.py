"""`explanations.json`: what `gvr-bench explain` found out about new images."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gvr_bench.cache.serialization import replacing
from gvr_bench.core.errors import DataError
from gvr_bench.results.records import RECORDS, model_label

EXPLANATIONS = "explanations.json"
ARRAYS, IMAGES, PICTURES = "explanations.h5", "images.h5", "pictures"  # beside it
NOT_PREDICTED = "the model does not predict this output: there is nothing to explain away"

Status = Literal["ok", "n/a", "failed"]


@dataclass(frozen=True)
class ExplainerResult:
    """What one explainer returned.

    `key` identifies everything it depends on except the image. `picture` is a file of the same
    folder, empty where there is no map. `success` and the fields after it are None for an explainer
    without counterfactuals. `reason` says why there is no map, or why the search failed.
    """

    explainer: str
    key: str
    status: Status
    reason: str = ""
    picture: str = ""
    success: bool | None = None
    steps: int | None = None
    prediction_after: float | None = None
    prediction_reencoded: float | None = None
    oracle_after: float | None = None


@dataclass(frozen=True)
class OutputExplanation:
    """The explanations of one output of one image, or of `output` rather than `target_class`.

    `predicted` is whether the model predicts the output at all. `prediction` is a probability, or a
    value in the task's unit; `oracle` is that of the independent model, None without one.
    """

    output: str
    target_class: str | None
    predicted: bool
    prediction: float | None
    oracle: float | None
    results: tuple[ExplainerResult, ...]

    @property
    def label(self) -> str:
        return f"{self.output} into {self.target_class}" if self.target_class else self.output


@dataclass(frozen=True)
class ExplainedImage:
    """One image with its explanations.

    `reconstruction_error` is the mean absolute difference between the image and its reconstruction,
    from 0 to 2; `latent_distance` is the Mahalanobis distance of its latent from those of the
    training images. `warning` is set where either is unusual, `note` where nothing was explained.
    """

    name: str
    path: str
    sha256: str
    reconstruction_error: float | None
    latent_distance: float | None
    warning: str
    predictions: dict[str, float | None]
    note: str
    explanations: tuple[OutputExplanation, ...]


@dataclass(frozen=True)
class UnreadableImage:
    """An image that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class ExplainedImages:
    """The content of the file: all images of one call, explained with one model of a run.

    `keys` are those of the model's stages. 99.5 % of `test_images` images of the run's test split
    are below `reconstruction_error_limit`, and 99.5 % below `latent_distance_limit`; both are None
    without a decoder.
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
    reconstruction_error_limit: float | None
    latent_distance_limit: float | None
    test_images: int
    images: tuple[ExplainedImage, ...]
    unreadable: tuple[UnreadableImage, ...]

    @property
    def model(self) -> str:
        return f"{model_label(self.generator, self.encoder, self.head)}, seed {self.seed}"

    @property
    def succeeded(self) -> bool:
        results = (r for i in self.images for output in i.explanations for r in output.results)
        return not self.unreadable and all(result.status != "failed" for result in results)


def format_prediction(value: float | None, unit: str) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()


def as_json(explained: ExplainedImages) -> str:
    return json.dumps(dataclasses.asdict(explained), ensure_ascii=False, indent=1, allow_nan=False)


def is_explained(folder: Path) -> bool:
    """Whether a folder holds explanations of new images rather than a run."""
    return (folder / EXPLANATIONS).is_file() and not (folder / RECORDS).exists()


def write_explanations(folder: Path, explained: ExplainedImages) -> None:
    """Write the file into a folder. Raises `CacheError`."""
    with replacing(folder / EXPLANATIONS) as partial:
        partial.write_text(f"{as_json(explained)}\n", encoding="utf-8")


def read_explanations(folder: Path) -> ExplainedImages:
    """Read what `write_explanations` wrote. Raises `DataError`."""
    import pydantic

    path = folder / EXPLANATIONS
    config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
    adapter = pydantic.TypeAdapter(pydantic.with_config(config)(ExplainedImages))
    try:
        return adapter.validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # pydantic's is a ValueError
        first = str(error).splitlines()[0]
        raise DataError(
            f"cannot read {path}: {first}; write it again with: gvr-bench explain"
        ) from error
