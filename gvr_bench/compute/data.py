"""Stages that read a data set: its images, and the cases that are explained."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from gvr_bench.compute.bench import Bench
from gvr_bench.errors import DataError
from gvr_bench.formats import put_array, replacing, write_arrays
from gvr_bench.types import SPLITS, Split, Task

CHUNK = 512  # images read from a data set at a time


def compute_data(bench: Bench) -> None:
    """Read every split once into one HDF5 file."""
    import h5py

    dataset = bench.dataset()
    spec = dataset.image
    splits = {name: dataset.split(name) for name in SPLITS}
    for name, split in splits.items():
        if len(split) == 0:
            raise DataError(
                f"data set '{bench.stage.name}': the split '{name}' is empty; give it more images"
            )
    total = sum(len(split) for split in splits.values())
    done = 0
    with replacing(bench.out("data.h5")) as partial, h5py.File(partial, "w") as file:
        for name, split in splits.items():
            group = file.create_group(name)
            shape = (len(split), spec.channels, spec.size, spec.size)
            chunk = (min(len(split), max(1, 2**18 // int(np.prod(shape[1:])))), *shape[1:])
            images = group.create_dataset("images", shape, np.uint8, chunks=chunk)
            for start in range(0, len(split), CHUNK):
                bench.ctx.progress(done + start, total, name)
                index = np.arange(start, min(start + CHUNK, len(split)))
                images[index[0] : index[-1] + 1] = split.images(index)
            done += len(split)
            for column in ("sample_ids", "patient_ids", "targets"):
                put_array(group, column, getattr(split, column))
    bench.ctx.progress(total, total, "")


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
