"""Explains images and writes the folder that `gvr_bench.report` shows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import gvr_bench
from gvr_bench.cache.hdf5 import SLASH, put_array, write_arrays, writing_arrays
from gvr_bench.core.context import Progress
from gvr_bench.core.errors import CacheError, GvrError, Unsupported, UsageError, one_line
from gvr_bench.core.interrupts import uninterrupted
from gvr_bench.core.stage import Stage
from gvr_bench.core.types import Bools, Floats, Ints, Texts
from gvr_bench.data.image_io import to_eight_bits
from gvr_bench.explain.inputs import InputImage
from gvr_bench.explain.model import Arrays, Trained
from gvr_bench.explain.targets import Predictions, TargetBatch, TargetSelection, predicts
from gvr_bench.pipeline.write_run import BYTES, OF_EXPLAINER, ORACLE_AFTER, described
from gvr_bench.report.file_names import file_names
from gvr_bench.results.explained_images import (
    ARRAYS,
    IMAGES,
    PICTURES,
    ExplainedImage,
    ExplainedImages,
    ExplainerResult,
    OutputExplanation,
    Status,
    UnreadableImage,
    write_explanations,
)
from gvr_bench.results.records import CASES, finite

MAX_CASES = 500  # as many as the page of a run shows
CASE_ARRAYS = (*OF_EXPLAINER, *ORACLE_AFTER, "trajectory", "trajectory_prediction")
FLOAT_ARRAYS = ("attribution", "counterfactual", "latent")


@dataclass(frozen=True, eq=False)
class ExplainerOutput:
    """The arrays of one explainer for all cases, or why there are none."""

    label: str
    stage: Stage
    status: Status
    arrays: Arrays
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Explained:
    """Everything that is written.

    `predictions` and `notes` have a row per image. `image_of`, `batch`, `predicted` and `oracle`
    have a row per case, which is an output of an image; `image_of` (n,) is the position of its
    image.
    """

    trained: Trained
    images: Sequence[InputImage]
    predictions: Predictions
    notes: Sequence[str]
    image_of: Ints
    batch: TargetBatch
    predicted: Bools
    oracle: Arrays
    outputs: Sequence[ExplainerOutput]

    def write(self, folder: Path, unreadable: Sequence[UnreadableImage]) -> None:
        """Write all but the page and the pictures, which are drawn from it. Raises `CacheError`."""
        self._write_cases(folder / CASES)
        self._write_arrays(folder / ARRAYS)
        # All images and their reconstructions as bytes, explained or not.
        decoded = self.predictions.reconstruction
        rest = {} if decoded is None else {"reconstruction": to_eight_bits(decoded)}
        pixels = np.stack([image.pixels for image in self.images])
        write_arrays(folder / IMAGES, {"image": pixels, **rest})
        write_explanations(folder, self.summary(unreadable))

    def _write_cases(self, path: Path) -> None:
        """Write the same arrays as a run, except labels and ground truth, which are unknown."""
        c, task = self.trained.combination, self.trained.task
        with uninterrupted(), writing_arrays(path) as file:
            group = file.create_group("0")
            group.attrs.update(described(c, task), total=len(self.image_of))
            explainers = group.create_group("explainers", track_order=True)
            if not len(self.image_of):
                return
            names = self._names()
            columns: Arrays = {
                "input": self.batch.pixels,
                "sample_id": names,
                "patient_id": names,
                "source_class": self.batch.source,
                "target_class": self.batch.target,
                "label": np.full(len(names), np.nan, np.float32),
                "prediction": self.predictions.predictions[self.image_of, self.batch.source],
                "predicts_source": self.predicted,
            }
            for name, array in (columns | self.decoded() | self.oracle).items():
                put_array(group, name, to_eight_bits(array) if name in BYTES else array)
            for output in self.outputs:
                part = explainers.create_group(output.label.replace("/", SLASH))
                part.attrs.update(
                    role=output.stage.role or "", status=output.status, reason=output.reason
                )
                for name in CASE_ARRAYS:
                    if name in output.arrays:
                        array = output.arrays[name]
                        put_array(part, name, to_eight_bits(array) if name in BYTES else array)

    def _write_arrays(self, path: Path) -> None:
        """Write floats: images in [-1, 1], maps as they are."""
        outputs = np.array(self.trained.task.outputs, np.str_)
        arrays: Arrays = {
            "name": self._names(),
            "output": outputs[self.batch.source],
            "target_class": outputs[self.batch.target],
            "image": self.batch.pixels.astype(np.float32) / 127.5 - 1,
            **self.decoded(),
        }
        for output in self.outputs:
            prefix = f"explainers/{output.label.replace('/', SLASH)}"
            for name in FLOAT_ARRAYS:
                if name in output.arrays:
                    arrays[f"{prefix}/{name}"] = output.arrays[name]
        write_arrays(path, arrays)

    def decoded(self) -> Arrays:
        images = self.predictions.reconstruction
        return {} if images is None else {"reconstruction": images[self.image_of]}

    def _names(self) -> Texts:
        return np.array([self.images[i].name for i in self.image_of], np.str_)

    def summary(self, unreadable: Sequence[UnreadableImage]) -> ExplainedImages:
        c, task, reference = self.trained.combination, self.trained.task, self.trained.reference
        explanations = list(self._explanations())
        images = tuple(
            ExplainedImage(
                name=image.name,
                path=image.path,
                sha256=image.sha256,
                reconstruction_error=of_image(self.predictions.error, i),
                latent_distance=of_image(self.predictions.distance, i),
                warning=reference.warning(self.predictions, i),
                predictions={
                    name: finite(value)
                    for name, value in zip(
                        task.outputs, self.predictions.predictions[i], strict=True
                    )
                },
                note=self.notes[i],
                explanations=tuple(explanations[q] for q in np.flatnonzero(self.image_of == i)),
            )
            for i, image in enumerate(self.images)
        )
        return ExplainedImages(
            gvr_bench=gvr_bench.__version__,
            run=self.trained.run,
            dataset=c.dataset,
            generator=c.generator,
            encoder=c.encoder,
            head=c.head,
            seed=c.seed,
            kind=task.kind,
            outputs=task.outputs,
            unit=task.unit if task.kind == "regression" else "",
            keys={s.kind: s.key for s in (c.generator_stage, c.encoder_stage, c.head_stage) if s},
            reconstruction_error_limit=finite(reference.error),
            latent_distance_limit=finite(reference.distance),
            test_images=reference.images,
            images=images,
            unreadable=tuple(unreadable),
        )

    def _explanations(self) -> Iterator[OutputExplanation]:
        task, batch = self.trained.task, self.batch
        folders = file_names(list(self._titles()))
        files = file_names([output.label for output in self.outputs])
        for q, (source, target) in enumerate(zip(batch.source, batch.target, strict=True)):
            yield OutputExplanation(
                output=task.outputs[source],
                target_class=task.outputs[target] if task.kind == "multiclass" else None,
                predicted=bool(self.predicted[q]),
                prediction=finite(self.predictions.predictions[self.image_of[q], source]),
                oracle=finite(self.oracle["oracle"][q]) if "oracle" in self.oracle else None,
                results=tuple(
                    _result(output, q, f"{PICTURES}/{folders[q]}/{file}.png")
                    for output, file in zip(self.outputs, files, strict=True)
                ),
            )

    def _titles(self) -> Iterator[str]:
        """Name the folder of each case: its image, and its output where the image has several."""
        counts = np.bincount(self.image_of, minlength=len(self.images))
        for i, source in zip(self.image_of, self.batch.source, strict=True):
            name = Path(self.images[i].name)
            output = f" {self.trained.task.outputs[source]}" if counts[i] > 1 else ""
            yield f"{str(name).removesuffix(name.suffix)}{output}"


def explain_images(
    trained: Trained,
    images: Sequence[InputImage],
    selection: TargetSelection,
    stages: Mapping[str, Stage],
    with_progress: Callable[[str, Callable[[Progress], ExplainerOutput]], ExplainerOutput],
) -> Explained:
    """Run every explainer on all selected outputs. Raises `UsageError` for too many cases."""
    pixels = np.stack([image.pixels for image in images])
    predictions = trained.predict_batch(pixels)
    task, threshold = trained.task, trained.decision.threshold
    selected = [selection.pairs(task, values, threshold) for values in predictions.values]
    pairs = np.array([pair for some, _ in selected for pair in some], np.int64).reshape(-1, 2)
    image_of = np.repeat(np.arange(len(images)), [len(some) for some, _ in selected])
    if len(pairs) > MAX_CASES:
        raise UsageError(
            f"{len(pairs):,} outputs to explain; explain at most {MAX_CASES} at a time"
        )
    batch = TargetBatch(pixels[image_of], pairs[:, 0], pairs[:, 1])
    return Explained(
        trained,
        images,
        predictions,
        [note for _, note in selected],
        image_of,
        batch,
        predicts(task, predictions.values[image_of], batch.source, threshold),
        trained.ask_oracle(batch, batch.images()) if len(pairs) else {},
        [
            with_progress(label, functools.partial(_run, trained, label, stage, batch))
            for label, stage in (stages.items() if len(pairs) else ())
        ],
    )


def _run(
    trained: Trained, label: str, stage: Stage, batch: TargetBatch, progress: Progress
) -> ExplainerOutput:
    """Run one explainer; if it fails the others still run."""
    try:
        arrays = trained.run_explainer(stage, batch, progress)
        if "counterfactual" in arrays:
            after = torch.from_numpy(arrays["counterfactual"])
            arrays |= trained.ask_oracle(batch, after, "_after")
    except CacheError:
        raise
    except Unsupported as error:
        return ExplainerOutput(label, stage, "n/a", {}, str(error))
    except GvrError as error:
        return ExplainerOutput(label, stage, "failed", {}, str(error))
    except Exception as error:  # a plugin may raise anything
        return ExplainerOutput(label, stage, "failed", {}, one_line(error))
    return ExplainerOutput(label, stage, "ok", arrays)


def of_image(values: Floats | None, i: int) -> float | None:
    """Return the finite value of an image; None without one."""
    return None if values is None else finite(values[i])


def _result(output: ExplainerOutput, q: int, picture: str) -> ExplainerResult:
    def value(name: str) -> Any:
        return output.arrays[name][q].item() if name in output.arrays else None

    def number(name: str) -> float | None:
        return of_image(output.arrays.get(name), q)

    return ExplainerResult(
        explainer=output.label,
        key=output.stage.key,
        status=output.status,
        reason=output.reason or value("reason") or "",
        picture=picture if output.status == "ok" else "",
        success=value("success"),
        steps=value("steps"),
        prediction_after=number("prediction_after"),
        prediction_reencoded=number("prediction_reencoded"),
        oracle_after=number("oracle_after"),
    )
