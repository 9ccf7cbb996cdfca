"""The checks of a data set."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gvr_bench.core.components import Dataset
from gvr_bench.core.types import MAX_STRUCTURES, SPLITS, Bytes, Split, Structures, Task
from gvr_bench.registry.explainer_contract import Violation
from gvr_bench.testing.checks import (
    DRAW_FROM_CONTEXT,
    CheckReport,
    CheckResult,
    CheckSuite,
    run_seeded,
)

CHECKS = {
    "class": "class, signatures and settings are usable by the core",
    "task": "outputs have names, regression a threshold, classes a source and a target",
    "fingerprint": "a text that is the same each time",
    "splits": "train, validation and test, each with images",
    "columns": "ids are unique text; targets are float32, one row per image",
    "patients": "each patient is in one split only",
    "images": "(n, C, H, W) uint8 of the declared size",
    "repeatable": "an image is the same each time, whichever others are read with it",
    "global rng": "the global random numbers of torch, numpy and Python are left alone",
    "truth": "ground truth has the shape of the images",
    "structures": "what is present has a mask, and the image without it differs",
}
BLOCKING = {"class", "task", "splits", "columns", "images"}
MAX_IMAGES = 6


def check_dataset(
    dataset: type[Dataset] | Dataset, /, root: Path | None = None, **settings: Any
) -> list[CheckResult]:
    """Check a data set, reading a few images of each split.

    `root` is the folder that a user gives with `--data-root`.
    """
    suite = dataclasses.replace(DATASETS, run=functools.partial(run_checks, root=root))
    return suite.results(dataset, settings)


def run_checks(dataset: Dataset, report: CheckReport, root: Path | None = None) -> None:
    dataset.root = dataset.root or root
    with report.case("task", check="task"):
        report.add("task", *task_violations(dataset.task))
    with report.case("fingerprint", check="fingerprint"):
        first, second = dataset.fingerprint(), dataset.fingerprint()
        fault, fix = f"is {first!r}", "return text that changes when the data does"
        if isinstance(first, str) and first:
            fault, fix = "changes from call to call", "leave out times and paths"
        if first != second or not (isinstance(first, str) and first):
            report.add("fingerprint", Violation("fingerprint", fault, fix))
    with report.case("splits", check="splits"):
        splits = {name: dataset.split(name) for name in SPLITS}
        report.add("splits", *split_violations(splits, dataset.task))
        if not report.failed(*BLOCKING):
            for name, split in splits.items():
                with report.case(name, check="images"):
                    report.add(name, *image_violations(dataset, split))


DATASETS = CheckSuite("dataset", Dataset, CHECKS, BLOCKING, run_checks)


def task_violations(task: Task) -> Iterator[Violation]:
    if not task.outputs or not all(isinstance(name, str) and name for name in task.outputs):
        yield Violation("task", f"outputs are {task.outputs!r}", "name them: outputs=('mass',)")
    if task.kind == "regression" and task.threshold is None:
        fix = "set threshold, from which a case is positive"
        yield Violation("task", "a regression without a threshold", fix)
    if task.kind == "multiclass" and None in (task.source, task.target):
        fix = "set the class that rationales lead from, and the one they lead to"
        yield Violation("task", "classes without source and target", fix)


def split_violations(splits: dict[str, Split], task: Task) -> Iterator[Violation]:
    split_of: dict[str, str] = {}
    for name, split in splits.items():
        n = len(split)
        if n == 0:
            yield Violation("splits", f"{name} is empty", "give each split images")
        if split.targets.shape != (n, task.columns) or split.targets.dtype != np.float32:
            problem = f"{name}: targets are {split.targets.shape} {split.targets.dtype}"
            fix = f"return {(n, task.columns)} float32, NaN where unknown"
            yield Violation("columns", problem, fix)
        if len(split.patient_ids) != n or len(set(split.sample_ids.tolist())) != n:
            problem = f"{name}: ids are missing or not unique"
            yield Violation("columns", problem, "give each image its own sample id")
        for column in (split.sample_ids, split.patient_ids):
            if column.dtype.kind != "U":
                fix = "return text: np.asarray(ids, np.str_)"
                yield Violation("columns", f"{name}: ids are {column.dtype}", fix)
        for patient in set(split.patient_ids.tolist()):
            if split_of.setdefault(patient, name) != name:
                problem = f"patient {patient} is in {split_of[patient]} and in {name}"
                yield Violation("patients", problem, "split by patient")
                break


def image_violations(dataset: Dataset, split: Split) -> Iterator[Violation]:
    n, image = min(MAX_IMAGES, len(split)), dataset.image
    index = np.arange(n)
    pixels, draws = run_seeded(lambda: split.images(index), 1)
    yield from draws
    shape = (n, image.channels, image.size, image.size)
    if pixels.shape != shape or pixels.dtype != np.uint8:
        fix = f"return {shape} uint8, 0 black and 255 white"
        yield Violation("images", f"are {pixels.shape} {pixels.dtype}", fix)
        return
    other, _ = run_seeded(lambda: split.images(index), 2)
    if not draws and not np.array_equal(pixels, other):
        problem = "images change from one reading to the next"
        yield Violation("repeatable", problem, DRAW_FROM_CONTEXT)
    elif not np.array_equal(pixels[::-1], split.images(index[::-1].copy())):
        problem = "images depend on the order of reading"
        yield Violation("repeatable", problem, "compute each image from its own index")
    if split.truth is None:
        return
    truth = split.truth(index, np.zeros(n, np.int64))
    plane = (n, image.size, image.size)
    for name, expected in (("mask", plane), ("distractor", plane), ("counterfactual", shape)):
        value = getattr(truth, name)
        if value is not None and value.shape != expected:
            yield Violation("truth", f"{name} is {value.shape}", f"return {expected}")
    if truth.structures is not None:
        yield from structure_violations(truth.structures, pixels)


def structure_violations(structures: Structures, images: Bytes) -> Iterator[Violation]:
    """Check what can be rendered away of images (n, C, H, W)."""
    n, c, h, w = images.shape
    k = len(structures.names)
    if k > MAX_STRUCTURES or len(set(structures.names)) < k:
        fix = f"name each once, at most {MAX_STRUCTURES}"
        yield Violation("structures", f"names are {structures.names}", fix)
    flat, plane = (n, k), (n, k, h, w)
    for name, shape, dtype in (
        ("present", flat, bool), ("cause", flat, bool), ("distractor", flat, bool),
        ("mask", plane, bool), ("removed", (n, k, c, h, w), np.uint8),
    ):  # fmt: skip
        value = getattr(structures, name)
        if value.shape != shape or value.dtype != dtype:
            problem = f"structures: {name} is {value.shape} {value.dtype}"
            yield Violation("structures", problem, f"return {shape} {np.dtype(dtype)}")
            return
    present = structures.present
    if (structures.cause & structures.distractor).any():
        yield Violation("structures", "one is both cause and distractor", "decide for one")
    if not structures.mask[present].any(axis=(1, 2)).all():
        fix = "mark where it is, or leave it out of `present`"
        yield Violation("structures", "a structure that is present has an empty mask", fix)
    same = (structures.removed == images[:, None]).all(axis=(2, 3, 4))
    if same[present].any():
        fix = "render the image without it, or leave it out of `present`"
        yield Violation("structures", "removing one that is present changes no pixel", fix)
