"""The rules of a data set, and whether one keeps them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gvr_bench.core.components import Dataset
from gvr_bench.core.types import SPLITS, Split, Task
from gvr_bench.registry.explainer_contract import Violation
from gvr_bench.testing.check_report import CheckReport, CheckResult
from gvr_bench.testing.components import Check
from gvr_bench.testing.rng import MEND, watched

RULES = {
    "class": "its class, its signatures and its settings are what the core can use",
    "task": "outputs have names, a regression a threshold, classes a source and a target",
    "fingerprint": "some text, the same each time",
    "splits": "train, validation and test, each with images",
    "columns": "ids are unique text; targets are float32, one row per image",
    "patients": "a patient is in one split only",
    "images": "(n, C, H, W) uint8 of the size that is promised",
    "repeatable": "an image is the same whenever, and in whatever company, it is read",
    "own draws": "the global random numbers of torch, numpy and Python are left alone",
    "truth": "what is known of an image has its shape",
}
STOPS = {"class", "task", "splits", "columns", "images"}
FEW = 6


def check_dataset(
    dataset: type[Dataset] | Dataset, /, root: Path | None = None, **settings: Any
) -> list[CheckResult]:
    """Hold a data set to the rules, reading a few images of each split.

    `root` is the folder that a user gives with `--data-root`.
    """
    check = dataclasses.replace(DATASETS, attempt=functools.partial(check_parts, root=root))
    return check.verdicts(dataset, settings)


def check_parts(dataset: Dataset, sheet: CheckReport, root: Path | None = None) -> None:
    """Look at all that a data set tells, and read some of its images."""
    dataset.root = dataset.root or root
    with sheet.case("task", rule="task"):
        sheet.add("task", *task_breaches(dataset.task))
    with sheet.case("fingerprint", rule="fingerprint"):
        sheet.add("fingerprint", *fingerprint_breaches(dataset))
    with sheet.case("splits", rule="splits"):
        splits = {name: dataset.split(name) for name in SPLITS}
        sheet.add("splits", *split_breaches(splits, dataset.task))
        if not STOPS & sheet.found.keys():
            for name, split in splits.items():
                with sheet.case(name, rule="images"):
                    sheet.add(name, *image_breaches(dataset, split))


DATASETS = Check("dataset", Dataset, RULES, STOPS, check_parts)


def task_breaches(task: Task) -> Iterator[Violation]:
    """Look at what is predicted."""
    if not task.outputs or not all(isinstance(name, str) and name for name in task.outputs):
        yield Violation("task", f"outputs are {task.outputs!r}", "name them: outputs=('mass',)")
    if task.kind == "regression" and task.threshold is None:
        mend = "say from which value a case is positive"
        yield Violation("task", "a regression without a threshold", mend)
    if task.kind == "multiclass" and None in (task.source, task.target):
        mend = "say from which class to which a rationale goes"
        yield Violation("task", "classes without source and target", mend)


def fingerprint_breaches(dataset: Dataset) -> Iterator[Violation]:
    """Ask twice."""
    first, again = dataset.fingerprint(), dataset.fingerprint()
    if not (isinstance(first, str) and first):
        yield Violation(
            "fingerprint", f"is {first!r}", "return text that changes when the data does"
        )
    elif first != again:
        yield Violation("fingerprint", "changes from call to call", "leave out times and places")


def split_breaches(splits: dict[str, Split], task: Task) -> Iterator[Violation]:
    """Look at the columns of all splits."""
    owners: dict[str, str] = {}
    for name, split in splits.items():
        n = len(split)
        if n == 0:
            yield Violation("splits", f"{name} is empty", "give each split images")
        if split.targets.shape != (n, task.columns) or split.targets.dtype != np.float32:
            what = f"{name}: targets are {split.targets.shape} {split.targets.dtype}"
            yield Violation("columns", what, f"give {(n, task.columns)} float32, NaN where unknown")
        if len(split.patient_ids) != n or len(set(split.sample_ids.tolist())) != n:
            what = f"{name}: ids are not one per image, or occur twice"
            yield Violation("columns", what, "give each image an id of its own")
        for column in (split.sample_ids, split.patient_ids):
            if column.dtype.kind != "U":
                what = f"{name}: ids are {column.dtype}"
                yield Violation("columns", what, "give text: np.asarray(ids, np.str_)")
        for patient in set(split.patient_ids.tolist()):
            if owners.setdefault(patient, name) != name:
                what = f"patient {patient} is in {owners[patient]} and in {name}"
                yield Violation("patients", what, "split by patient")
                break


def image_breaches(dataset: Dataset, split: Split) -> Iterator[Violation]:
    """Read a few images of a split, again, and in another order."""
    n, image = min(FEW, len(split)), dataset.image
    index = np.arange(n)
    pixels, turned = watched(lambda: split.images(index), 1)
    yield from turned
    shape = (n, image.channels, image.size, image.size)
    if pixels.shape != shape or pixels.dtype != np.uint8:
        what = f"are {pixels.shape} {pixels.dtype}"
        yield Violation("images", what, f"give {shape} uint8, 0 black and 255 white")
        return
    other, _ = watched(lambda: split.images(index), 2)
    if not turned and not np.array_equal(pixels, other):
        yield Violation("repeatable", "images change from one reading to the next", MEND)
    elif not np.array_equal(pixels[::-1], split.images(index[::-1].copy())):
        mend = "make each by its own position"
        yield Violation("repeatable", "images depend on the order of reading", mend)
    if split.truth is None:
        return
    truth = split.truth(index, np.zeros(n, np.int64))
    plane = (n, image.size, image.size)
    for name, wanted in (("mask", plane), ("distractor", plane), ("counterfactual", shape)):
        value = getattr(truth, name)
        if value is not None and value.shape != wanted:
            yield Violation("truth", f"{name} is {value.shape}", f"give {wanted}")
