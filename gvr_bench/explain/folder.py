"""Explains images and writes what came of it: the folder that `gvr_bench.report` shows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import gvr_bench
from gvr_bench.cache.hdf5 import SLASH, put_array, write_arrays, writing_arrays
from gvr_bench.core.context import Progress
from gvr_bench.core.errors import CacheError, GvrError, Unsupported, UsageError, one_line
from gvr_bench.core.stage import Stage
from gvr_bench.data.image_io import to_eight_bits
from gvr_bench.explain.inputs import InputImage
from gvr_bench.explain.model import Arrays, Trained
from gvr_bench.explain.targets import Seen, TargetBatch, TargetSelection, questions
from gvr_bench.pipeline.cases_file import BYTES, OF_EXPLAINER, ORACLE_AFTER, described
from gvr_bench.report.exports.file_names import file_names
from gvr_bench.results.explained_images import (
    CASES,
    FLOATS,
    PICTURES,
    Answer,
    Answers,
    Asked,
    ImageAnswers,
    Status,
    Unread,
    write_answers,
)
from gvr_bench.results.records import finite

MOST = 500  # questions at once: as many cases as the page of a run shows
SHOWN = (*OF_EXPLAINER, *ORACLE_AFTER, "trajectory", "trajectory_prediction")
KEPT = ("attribution", "counterfactual", "latent")  # as floats


@dataclass(frozen=True, eq=False)
class Made:
    """What one explainer made of all questions, or why it made nothing."""

    label: str
    stage: Stage
    status: Status
    arrays: Arrays
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Explained:
    """All that is written. `row` (q,) says which image a question is about.

    `seen` and `notes`, which say why nothing is asked, go by image; `asked`, `sees` (q,), whether
    the model sees what is asked about, and `judged`, what the oracle says, by question.
    """

    trained: Trained
    taken: Sequence[InputImage]
    seen: Seen
    notes: Sequence[str]
    row: NDArray[np.int64]
    asked: TargetBatch
    sees: NDArray[np.bool_]
    judged: Arrays
    made: Sequence[Made]


def explain_images(
    trained: Trained,
    taken: Sequence[InputImage],
    wish: TargetSelection,
    stages: Mapping[str, Stage],
    working: Callable[[str, Callable[[Progress], Made]], Made],
) -> Explained:
    """Ask every explainer about all that the model sees, or all that is wished for.

    `working` calls what it is given, with the progress that it shows. Raises `UsageError` where
    there are too many questions.
    """
    pixels = np.stack([one.pixels for one in taken])
    seen = trained.see(pixels)
    threshold = trained.decision.threshold
    found = [questions(trained.task, wish, values, threshold) for values in seen.values]
    pairs = np.array([pair for asked, _ in found for pair in asked], np.int64).reshape(-1, 2)
    row = np.repeat(np.arange(len(taken)), [len(asked) for asked, _ in found])
    if len(row) > MOST:
        raise UsageError(f"{len(row):,} questions at once; ask at most {MOST} at a time")
    asked = TargetBatch(pixels[row], pairs[:, 0], pairs[:, 1])
    judged = trained.judge(asked, asked.images()) if len(row) else {}
    made = [
        working(label, functools.partial(answer, trained, label, stage, asked))
        for label, stage in (stages.items() if len(row) else ())
    ]
    notes = [why for _, why in found]
    sees = _sees(trained, seen.values[row], asked.source)
    return Explained(trained, taken, seen, notes, row, asked, sees, judged, made)


def _sees(
    trained: Trained, values: NDArray[np.float32], source: NDArray[np.int64]
) -> NDArray[np.bool_]:
    if trained.task.kind == "multiclass":
        return np.asarray(values.argmax(axis=1) == source)
    return np.asarray(values[np.arange(len(source)), source] >= trained.decision.threshold[source])


def answer(
    trained: Trained, label: str, stage: Stage, asked: TargetBatch, progress: Progress
) -> Made:
    """Let one explainer answer; one that cannot says why, and the others go on."""
    try:
        arrays = trained.answer(stage, asked, progress)
        if "counterfactual" in arrays:
            arrays |= trained.judge(asked, torch.from_numpy(arrays["counterfactual"]), "_after")
    except CacheError:
        raise
    except Unsupported as error:
        return Made(label, stage, "n/a", {}, str(error))
    except GvrError as error:
        return Made(label, stage, "failed", {}, str(error))
    except Exception as error:  # a plugin may raise anything
        return Made(label, stage, "failed", {}, one_line(error))
    return Made(label, stage, "ok", arrays)


def write_folder(out: Path, explained: Explained, unread: Sequence[Unread]) -> Answers:
    """Write all but the pictures, which are drawn from it. Raises `CacheError`."""
    _write_cases(out / CASES, explained)
    _write_floats(out / FLOATS, explained)
    answers = answers_of(explained, unread)
    write_answers(out, answers)
    return answers


def _write_cases(path: Path, e: Explained) -> None:
    """Write what is shown, as a run does: without labels and truth, for nobody knows them."""
    with writing_arrays(path) as file:
        group = file.create_group("0")
        group.attrs.update(described(e.trained.combination, e.trained.task), total=len(e.row))
        explainers = group.create_group("explainers", track_order=True)
        if not len(e.row):
            return
        for name, array in {**_of_cases(e), **e.judged}.items():
            put_array(group, name, _shown(name, array))
        for one in e.made:
            part = explainers.create_group(one.label.replace("/", SLASH))
            part.attrs.update(status=one.status, reason=one.reason)
            for name in SHOWN:
                if name in one.arrays:
                    put_array(part, name, _shown(name, one.arrays[name]))


def _of_cases(e: Explained) -> Arrays:
    names = np.array([e.taken[i].name for i in e.row], np.str_)
    return {
        "input": e.asked.pixels,
        "sample_id": names,
        "patient_id": names,
        "source_class": e.asked.source,
        "target_class": e.asked.target,
        "label": np.full(len(e.row), np.nan, np.float32),
        "reconstruction": e.seen.reconstruction[e.row],
        "prediction": e.seen.predictions[e.row, e.asked.source],
        "predicts_source": e.sees,
    }


def _shown(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Images as bytes, which is what a page can show."""
    if name not in BYTES:
        return array
    return to_eight_bits(array)


def _write_floats(path: Path, e: Explained) -> None:
    """Write what can be computed with: images in [-1, 1], maps as they are."""
    outputs = np.array(e.trained.task.outputs, np.str_)
    arrays: Arrays = {
        "name": np.array([e.taken[i].name for i in e.row], np.str_),
        "finding": outputs[e.asked.source],
        "target": outputs[e.asked.target],
        "image": e.asked.pixels.astype(np.float32) / 127.5 - 1,
        "reconstruction": e.seen.reconstruction[e.row],
    }
    for one in e.made:
        label = one.label.replace("/", SLASH)
        arrays |= {
            f"explainers/{label}/{name}": one.arrays[name] for name in KEPT if name in one.arrays
        }
    write_arrays(path, arrays)


def answers_of(e: Explained, unread: Sequence[Unread]) -> Answers:
    """Tell it all in words and numbers."""
    c, task, usual = e.trained.combination, e.trained.task, e.trained.usual
    asked = list(_asked(e))
    images = []
    for i, one in enumerate(e.taken):
        images.append(
            ImageAnswers(
                name=one.name,
                path=one.path,
                sha256=one.sha256,
                reconstruction_error=finite(e.seen.error[i]),
                latent_distance=finite(e.seen.distance[i]),
                warning=e.trained.warning(e.seen, i),
                predictions={
                    name: finite(value)
                    for name, value in zip(task.outputs, e.seen.predictions[i], strict=True)
                },
                note=e.notes[i],
                asked=tuple(asked[q] for q in np.flatnonzero(e.row == i)),
            )
        )
    return Answers(
        gvr_bench=gvr_bench.__version__,
        run=e.trained.run,
        dataset=c.dataset,
        generator=c.generator,
        encoder=c.encoder,
        head=c.head,
        seed=c.seed,
        kind=task.kind,
        outputs=task.outputs,
        unit=task.unit if task.kind == "regression" else "",
        keys={s.kind: s.key for s in (c.generator_stage, c.encoder_stage, c.head_stage)},
        usual_reconstruction_error=usual.error,
        usual_latent_distance=usual.distance,
        test_images=usual.images,
        images=tuple(images),
        unread=tuple(unread),
    )


def _asked(e: Explained) -> Iterator[Asked]:
    task = e.trained.task
    folders = file_names(list(_titles(e)))
    files = dict(zip([m.label for m in e.made], file_names([m.label for m in e.made]), strict=True))
    for q, (source, target) in enumerate(zip(e.asked.source, e.asked.target, strict=True)):
        yield Asked(
            finding=task.outputs[source],
            target=task.outputs[target] if task.kind == "multiclass" else None,
            seen=bool(e.sees[q]),
            prediction=finite(e.seen.predictions[e.row[q], source]),
            oracle=finite(e.judged["oracle"][q]) if "oracle" in e.judged else None,
            answers=tuple(
                _answer(one, q, f"{PICTURES}/{folders[q]}/{files[one.label]}.png") for one in e.made
            ),
        )


def _titles(e: Explained) -> Iterator[str]:
    """What the folder of each question is called: its image, and the finding among several."""
    often = np.bincount(e.row, minlength=len(e.taken))
    for i, source in zip(e.row, e.asked.source, strict=True):
        finding = f" {e.trained.task.outputs[source]}" if often[i] > 1 else ""
        name = e.taken[i].name
        yield f"{name.removesuffix(Path(name).suffix)}{finding}"


def _answer(one: Made, q: int, picture: str) -> Answer:
    def told(name: str) -> Any:
        return one.arrays[name][q].item() if name in one.arrays else None

    def number(name: str) -> float | None:
        return finite(one.arrays[name][q]) if name in one.arrays else None

    return Answer(
        explainer=one.label,
        key=one.stage.key,
        status=one.status,
        reason=one.reason or told("reason") or "",
        picture=picture if one.status == "ok" else "",
        found=told("success"),
        steps=told("steps"),
        prediction_after=number("prediction_after"),
        prediction_reencoded=number("prediction_reencoded"),
        oracle_after=number("oracle_after"),
    )
