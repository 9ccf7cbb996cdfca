"""Stages that read a data set: its images, and the cases that are explained."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from gvr_bench.compute.bench import Bench
from gvr_bench.errors import DataError
from gvr_bench.formats import put_array, write_arrays, writing_arrays
from gvr_bench.plugins import blaming
from gvr_bench.types import SPLITS, Split, Task

CHUNK = 512  # images read from a data set at a time


def compute_data(bench: Bench) -> None:
    """Read every split once into one HDF5 file."""
    dataset = bench.dataset()
    whose = f"data set '{bench.stage.name}'"
    with blaming(whose):
        splits = {name: dataset.split(name) for name in SPLITS}
    for name, split in splits.items():
        if len(split) == 0:
            raise DataError(f"{whose}: the split '{name}' is empty; give it more images")
    total = sum(len(split) for split in splits.values())
    done = 0
    with writing_arrays(bench.out("data.h5")) as file:
        for name, split in splits.items():
            group = file.create_group(name)
            shape = (len(split), dataset.image.channels, dataset.image.size, dataset.image.size)
            images = group.create_dataset("images", shape, np.uint8, chunks=chunk_shape(shape))
            for start in range(0, len(split), CHUNK):
                bench.ctx.progress(done + start, total, name)
                index = np.arange(start, min(start + CHUNK, len(split)))
                with blaming(whose):
                    pixels = split.images(index)
                images[index[0] : index[-1] + 1] = pixels
            done += len(split)
            for column in ("sample_ids", "patient_ids", "targets"):
                put_array(group, column, getattr(split, column))
    bench.ctx.progress(total, total, "")


def chunk_shape(shape: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Return HDF5 chunks of whole images, of about 256 KiB."""
    n, c, h, w = shape
    return min(n, max(1, 2**18 // (c * h * w))), c, h, w


def compute_cases(bench: Bench) -> None:
    """Choose the test images that are explained, and write what is known of them."""
    dataset = bench.dataset()
    split = dataset.split("test")
    position, source = choose_cases(split, dataset.task, bench.stage.settings["limit"])
    if len(position) == 0:
        raise DataError(
            f"data set '{bench.stage.name}': no test image shows what is to be explained "
            f"({', '.join(dataset.task.outputs)}); give it more test images"
        )
    target = source if dataset.task.target is None else np.full_like(source, dataset.task.target)
    label = split.targets[position, 0 if split.targets.shape[1] == 1 else source]
    arrays = {
        "position": position,
        "source": source,
        "target": target,
        "label": label,
        "image": split.images(position),
        "sample_id": split.sample_ids[position],
        "patient_id": split.patient_ids[position],
    }
    if split.truth is not None:
        truth = split.truth(position, source)
        known = dataclasses.asdict(truth)
        arrays |= {name: value for name, value in known.items() if value is not None}
    write_arrays(bench.out("cases.h5"), arrays)


def choose_cases(
    split: Split, task: Task, limit: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return positions and outputs of at most `limit` positive pairs, outputs taking turns.

    For multiclass only the source class is asked about. The order is that of the data set, so
    that a larger limit only adds cases.
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
