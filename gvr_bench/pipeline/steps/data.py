"""The stages that read a data set: its images, and the cases that are explained."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gvr_bench.cache.hdf5 import empty_array, put_array, put_rows, writing_arrays
from gvr_bench.cache.serialization import write_json
from gvr_bench.core.errors import DataError
from gvr_bench.core.types import (
    MAX_STRUCTURES,
    SPLITS,
    GroundTruth,
    ImageSpec,
    Ints,
    Split,
    Task,
    Texts,
)
from gvr_bench.data.summary import absent_outputs, count_rows
from gvr_bench.data.verification import MaskChecks, PixelChecks
from gvr_bench.pipeline.stage_context import StageContext, Step, labelled_mask
from gvr_bench.pipeline.steps import shards
from gvr_bench.pipeline.steps.shards import Arrays, StoredParts
from gvr_bench.registry.registry import blaming

CHUNK = 512  # images read from a data set at a time, at most
CHUNK_BYTES = 2**26  # of them, at most, but for a single image


def compute_data(stage_ctx: StageContext) -> str:
    """Read every split once into one HDF5 file; return what is left out or doubtful.

    Images that cannot be read are left out where the data set's settings have a `skip`, at most
    that share of all; `skipped.json` lists them. `summary.json` has counts and cautions.
    """
    dataset = stage_ctx.dataset()
    whose = f"data set '{stage_ctx.stage.name}'"
    with blaming(whose):
        splits = {name: dataset.split(name) for name in SPLITS}
    for name, split in splits.items():
        if len(split) == 0:
            raise DataError(f"{whose}: the split '{name}' is empty; give it more images")
    total = sum(len(split) for split in splits.values())
    reader = Reader(whose, total, float(getattr(dataset.settings, "skip", 0.0)))
    with writing_arrays(stage_ctx.out("data.h5")) as file:
        for name, split in splits.items():
            write_split(file.create_group(name), name, split, dataset.image, reader, stage_ctx)
    stage_ctx.ctx.progress(total, total, "")
    if reader.skipped:
        names = "split", "sample_id", "reason"
        listed = [dict(zip(names, row, strict=True)) for row in reader.skipped]
        write_json(stage_ctx.out("skipped.json"), listed)
    noticed = [reader.note()] if reader.skipped else []
    with blaming(whose):
        noticed += dataset.cautions()
    noticed += absent_outputs(dataset.task, splits)
    noticed += reader.checks.cautions(stage_ctx.stage.name, hasattr(dataset.settings, "bits"))
    counts = count_rows(dataset.task, splits)
    write_json(stage_ctx.out("summary.json"), {"counts": counts, "cautions": noticed})
    return "; ".join(noticed)


def write_split(
    group: Any, name: str, split: Split, image: ImageSpec, reader: Reader, stage_ctx: StageContext
) -> None:
    """Write the images of a split that can be read, with their columns."""
    shape = (len(split), image.channels, image.size, image.size)
    per_chunk = min(len(split), max(1, 2**18 // math.prod(shape[1:])))  # of about 256 KiB
    images = empty_array(group, "images", shape, np.uint8, (per_chunk, *shape[1:]))
    stored = StoredParts(stage_ctx)
    rows: list[Ints] = []
    filled = 0
    step = min(CHUNK, max(1, CHUNK_BYTES // math.prod(shape[1:])))
    for start in range(0, len(split), step):
        index = np.arange(start, min(start + step, len(split)))
        part = f"{name}-{start}-{start + len(index)}"
        arrays = stored.load(part)
        if arrays is None:
            stage_ctx.ctx.progress(reader.count, reader.total, name)
            read = functools.partial(reader.read, name, split, index)
            arrays = stored.compute(part, read, shards.MIN_SECONDS)
        reader.take(arrays, len(index), name, split)
        images[filled : filled + len(arrays["rows"])] = arrays["images"]
        filled += len(arrays["rows"])
        rows.append(arrays["rows"])
    if filled == 0:
        raise DataError(f"{reader.whose}: no image of the split '{name}' can be read")
    if filled < len(split):
        images.resize(filled, axis=0)
    for column in ("sample_ids", "patient_ids", "targets"):
        put_array(group, column, getattr(split, column)[np.concatenate(rows)])


class Reader:
    """Reads images of a data set, and counts those that cannot be read.

    `limit` is the share of the `total` that may be left out.
    """

    def __init__(self, whose: str, total: int, limit: float) -> None:
        self.whose = whose
        self.total = total
        self.limit = limit
        self.count = 0
        self.skipped: list[list[str]] = []  # split, sample id and reason
        self.checks = PixelChecks()

    def read(self, name: str, split: Split, index: Ints) -> Arrays:
        """Read those of the positions (n,) that can be. Raises `DataError` where none of it can.

        Returns their positions `rows`, `images` (n, C, H, W), and what is left out, `skipped`: its
        split, sample id and reason (k, 3).
        """
        skipped: list[tuple[str, str, str]] = []
        try:
            with blaming(self.whose):
                images = split.images(index)
        except DataError as error:
            if not error.unreadable:
                raise
            bad = dict(error.unreadable)
            skipped = [(name, str(split.sample_ids[index[i]]), why) for i, why in bad.items()]
            if len(self.skipped) + len(skipped) > self.limit * self.total:
                raise self.refusal(error, len(index), len(self.skipped) + len(skipped)) from error
            index = np.delete(index, list(bad))
            with blaming(self.whose):
                images = split.images(index)
        rows = np.array(skipped, np.str_).reshape(-1, 3)
        return {"rows": index, "images": images, "skipped": rows}

    def take(self, arrays: Arrays, count: int, name: str, split: Split) -> None:
        """Look at a part of so many images, whether it is read now or was before."""
        self.count += count
        self.checks.add(name, split.sample_ids[arrays["rows"]], arrays["images"])
        self.skipped += arrays["skipped"].tolist()

    def refusal(self, error: DataError, count: int, bad: int) -> DataError:
        """Return the error for too many unreadable images: `bad` so far with these `count`."""
        if self.limit == 0:
            return error
        return DataError(
            f"{error}; {bad:,} of the first {self.count + count:,} images cannot be used, and "
            f"{self.limit:.3g} of all {self.total:,} may be left out (the setting skip)"
        )

    def note(self) -> str:
        """Describe what was left out; empty if nothing was."""
        if not self.skipped:
            return ""
        _, sample_id, reason = self.skipped[0]
        return (
            f"{len(self.skipped):,} of {self.total:,} images cannot be used and are left out, the "
            f"first is {sample_id} ({reason}); skipped.json lists them"
        )


def readable(split: Split, sample_ids: Texts) -> Split:
    """Return the part of a split that was read, whose samples are those (n,)."""
    if len(sample_ids) == len(split):
        return split
    rows = np.flatnonzero(np.isin(split.sample_ids, sample_ids))
    truth = split.truth
    return Split(
        sample_ids=split.sample_ids[rows],
        patient_ids=split.patient_ids[rows],
        targets=split.targets[rows],
        images=lambda index: split.images(rows[index]),
        truth=None if truth is None else lambda index, output: truth(rows[index], output),
    )


def compute_cases(stage_ctx: StageContext) -> str:
    """Choose the test images that are explained, and write them with their ground truth.

    Return what cannot be learned, and what is odd of masks, if anything; `cautions.json` lists the
    latter.
    """
    dataset = stage_ctx.dataset()
    note = refuse_unlearnable(stage_ctx, dataset.task)
    split = readable(dataset.split("test"), *stage_ctx.arrays("data", "test/sample_ids").values())
    position, source = choose_cases(split, dataset.task, stage_ctx.stage.settings["max_cases"])
    if len(position) == 0:
        raise DataError(
            f"data set '{stage_ctx.stage.name}': no test image shows what is to be explained "
            f"({', '.join(dataset.task.outputs)}); give it more test images"
        )
    target = source if dataset.task.target is None else np.full_like(source, dataset.task.target)
    label = split.targets[position, 0 if split.targets.shape[1] == 1 else source]
    columns = {
        "position": position,
        "source_class": source,
        "target_class": target,
        "label": label,
        "sample_id": split.sample_ids[position],
        "patient_id": split.patient_ids[position],
    }
    # An image may come once for each of its structures.
    pixels = math.prod((MAX_STRUCTURES, dataset.image.channels, *2 * (dataset.image.size,)))
    size = min(stage_ctx.ctx.batch_size, max(1, CHUNK_BYTES // pixels))
    checks = MaskChecks()
    with writing_arrays(stage_ctx.out("cases.h5")) as file:  # batch by batch, for memory
        for rows in stage_ctx.ctx.batches(len(position), size):
            arrays = {name: column[rows] for name, column in columns.items()}
            arrays["image"] = split.images(position[rows])
            if split.truth is not None:
                truth = split.truth(position[rows], source[rows])
                arrays |= truth_columns(truth)
                if truth.mask is not None:
                    checks.add(columns["sample_id"][rows], truth.mask, arrays["image"])
            put_rows(file, arrays, rows.start, len(position))
    cautions = list(checks.cautions())
    if cautions:
        write_json(stage_ctx.out("cautions.json"), cautions)
    return "; ".join(filter(None, (note, *cautions)))


def refuse_unlearnable(stage_ctx: StageContext, task: Task) -> str:
    """Refuse labels that teach nothing; return a note where that holds for some outputs only.

    Raises `DataError` where the labelled images of train or validation are alike in every output
    that is explained. A measurement is learned from images on one side of its threshold, too.
    """
    whose, notes = f"data set '{stage_ctx.stage.name}'", []
    explained = range(len(task.outputs)) if task.source is None else [task.source]
    for split in () if task.kind == "regression" else ("train", "validation"):
        (targets,) = stage_ctx.arrays("data", f"{split}/targets").values()
        positive = task.positives(targets[labelled_mask(targets, split)])  # (N, K)
        counts = {task.outputs[k]: int(positive[:, k].sum()) for k in explained}
        alike = {name: n for name, n in counts.items() if n in (0, len(positive))}
        counted = ", ".join(f"{name} in {n:,} of {len(positive):,}" for name, n in alike.items())
        if len(alike) == len(counts):
            raise DataError(
                f"{whose}: the labelled images of the split '{split}' are all alike ({counted}), "
                "so that nothing can be learned or judged; move images of both kinds into it"
            )
        if alike:
            notes.append(f"the labelled images of the split '{split}' are all alike: {counted}")
    return "; ".join(notes)


def truth_columns(truth: GroundTruth) -> dict[str, NDArray[Any]]:
    """Return what is known of a batch of cases; masks of structures as bits, eight to a byte."""
    columns = {name: getattr(truth, name) for name in ("mask", "counterfactual", "distractor")}
    known = {name: value for name, value in columns.items() if value is not None}
    if truth.structures is None:
        return known
    s = truth.structures
    if len(s.names) > MAX_STRUCTURES:
        raise DataError(f"{len(s.names)} structures, give at most {MAX_STRUCTURES}")
    return known | {
        "structure_name": np.tile(np.array(s.names), (len(s.present), 1)),
        "structure_present": s.present,
        "structure_cause": s.cause,
        "structure_distractor": s.distractor,
        "structure_mask": np.packbits(s.mask, axis=1),
        "structure_removed": np.where(s.present[:, :, None, None, None], s.removed, np.uint8(0)),
    }


def choose_cases(split: Split, task: Task, limit: int) -> tuple[Ints, Ints]:
    """Return positions and outputs of at most `limit` positive pairs, outputs taking turns.

    For multiclass only the source class counts. The order is that of the data set, so that a
    larger limit only adds cases.
    """
    positive = task.positives(split.targets)  # (N, K)
    outputs = range(len(task.outputs)) if task.source is None else [task.source]
    pairs = [
        (turn, k, int(position))
        for k in outputs
        for turn, position in enumerate(np.flatnonzero(positive[:, k]))
    ]
    chosen = np.array(sorted(pairs)[:limit], np.int64).reshape(-1, 3)
    return chosen[:, 2], chosen[:, 1]


STEPS = (
    Step("data", compute_data, gpu=0, essential=True),
    Step("cases", compute_cases, inputs=("data",), gpu=0, essential=True),
)
