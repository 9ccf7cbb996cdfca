"""The task of a folder: inferred from the cells of its table, or set."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import gvr_bench.api as gvr
from gvr_datasets.folder.rows import Listing, Row
from gvr_datasets.image_tables import is_plain
from gvr_datasets.tasks import ClassSettings, Names, refuse_classes, two_classes

KnownTask = Literal["regression", "binary", "multilabel", "multiclass"]
TaskKind = KnownTask | Literal["none"]
Targets = NDArray[np.float32]
_MAX = float(np.finfo(np.float32).max)  # of a target
Uncertain = Literal["ignore", "positive", "negative"]
_IMAGES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".dcm")
MAX_CLASSES = 50  # of an inferred task
MAX_GRADES = 10  # classes that are numbers, of an inferred task
MIN_SHARE = 0.01  # of the labels that are neither 0 nor 1, to be taken for classes beside them
_UNCERTAIN = -1.0  # of CheXpert and MIMIC-CXR, beside 0 and 1
_READ_UNCERTAIN: dict[Uncertain, str] = {"ignore": "", "positive": "1", "negative": "0"}


class TaskSettings(ClassSettings):
    """What the table's columns mean.

    `targets` are the columns to predict, as `a+b` or, in TOML, as a list; by default all but file,
    patient, split and mask. `task` is inferred from them by default: one column of 0 and 1 is
    binary, several are multilabel; one of text, or of at most 10 integers, is multiclass; other
    numbers, or any with a `threshold`, are regression; `none` is for images without labels, to
    train a generator or to plant findings in. `uncertain` says what a -1 beside 0 and 1 means.
    Values from the threshold up are positive;
    `unit`, `log` and `divisor` are for regression, too: the network predicts the (logarithm of
    the) value, divided. `source` and `target` default to the two most frequent classes.
    """

    targets: Names = ()
    task: TaskKind | None = None
    uncertain: Uncertain | None = None
    threshold: float | None = None
    unit: str = ""
    log: bool = False
    divisor: float = Field(default=1.0, gt=0)


def read_task(listing: Listing, settings: TaskSettings) -> tuple[gvr.Task, Targets]:
    """Return the task and the targets (N, columns), NaN for an empty cell.

    Raises `DataError` or `UsageError`.
    """
    if settings.task == "none":
        _refuse_regression(settings, "none")
        unknown = np.full((len(listing.rows), 1), np.nan, np.float32)
        return gvr.Task(kind="binary", outputs=("unlabelled",)), unknown
    if settings.uncertain is not None:
        listing = _decide_uncertain(listing, settings.uncertain)
    kind = settings.task or ("regression" if settings.threshold is not None else _infer(listing))
    columns = listing.columns
    if kind in ("binary", "multiclass") and len(columns) > 1:
        raise gvr.UsageError(
            f"a {kind} task has one column, and {listing.source} has {', '.join(columns)}; choose "
            f"with targets={columns[0]}"
        )
    if kind == "multiclass":
        task, targets = _classes(listing, settings)
    else:
        refuse_classes(settings, kind)
        task, targets = _numbers(listing, settings, kind)
    _refuse_regression(settings, kind)
    if np.isnan(targets).all():
        raise gvr.DataError(
            f"no row of {listing.source} says anything in {', '.join(columns)}; at least one "
            "patient per split needs it"
        )
    return task, targets


def _decide_uncertain(listing: Listing, uncertain: Uncertain) -> Listing:
    """Read each -1 as the setting says."""
    instead = _READ_UNCERTAIN[uncertain]
    rows = [
        replace(row, cells=tuple(instead if _number(c) == _UNCERTAIN else c for c in row.cells))
        for row in listing.rows
    ]
    return replace(listing, rows=rows)


class _Column:
    """The cells of a target column that are not empty."""

    def __init__(self, listing: Listing, k: int) -> None:
        self.name = listing.columns[k]
        self.source = listing.source
        self.cells = Counter(row.cells[k] for row in listing.rows if row.cells[k])
        self.numbers: Counter[float | None] = Counter()
        for cell, n in self.cells.items():
            self.numbers[_number(cell)] += n

    def refuse_uncertain(self) -> None:
        """Refuse a -1 beside 0 and 1, which is no class of its own."""
        if _UNCERTAIN in self.numbers and set(self.numbers) <= {_UNCERTAIN, 0.0, 1.0}:
            raise gvr.UsageError(
                f"{self.source}: {self.name!r} holds -1 in {self.numbers[_UNCERTAIN]:,} rows, "
                "which means uncertain beside 0 and 1; say what it counts as, with "
                "uncertain=ignore, uncertain=positive or uncertain=negative"
            )

    def refuse_file_names(self) -> None:
        """Refuse the names of images, which are masks and no labels."""
        if self.cells and all(cell.lower().endswith(_IMAGES) for cell in self.cells):
            raise gvr.UsageError(
                f"{self.source}: {self.name!r} names images; if they mark the finding, say "
                f"mask={self.name}, else choose what is predicted with targets="
            )

    def refuse_mixture(self) -> None:
        """Refuse numbers with a few texts among them."""
        texts = [cell for cell in self.cells if _number(cell) is None]
        if texts and len(self.numbers) > 1:
            raise gvr.UsageError(
                f"{self.source}: {self.name!r} holds numbers and, in {self.numbers[None]:,} rows, "
                f"text, such as {texts[0]!r}; leave the cell empty where the value is not known, "
                "or say task=multiclass if each is a class"
            )

    def refuse_stray(self) -> None:
        """Refuse a few other numbers among many 0 and 1."""
        stray = {v: n for v, n in self.numbers.items() if v not in (0.0, 1.0)}
        if {0.0, 1.0} < set(self.numbers) and sum(
            stray.values()
        ) < MIN_SHARE * self.numbers.total():
            raise gvr.UsageError(
                f"{self.source}: {self.name!r} holds 0 and 1 and, in {sum(stray.values()):,} rows, "
                f"other numbers, such as {min(filter(None, stray)):g}; correct them, leave the "
                "cells empty, or say task=multiclass if each is a class"
            )


def _infer(listing: Listing) -> KnownTask:
    columns = [_Column(listing, k) for k in range(len(listing.columns))]
    several = len(columns) > 1
    if several and any(_UNCERTAIN in column.numbers for column in columns):
        for column in columns:
            column.refuse_uncertain()
    if several:
        for column in columns:
            if not set(column.numbers) <= {0.0, 1.0}:
                column.refuse_file_names()
                raise gvr.UsageError(
                    f"{listing.source}: several columns are taken for findings, 0 or 1, and "
                    f"{column.name!r} holds more; choose what is predicted with targets=a or "
                    f"targets=a+b (of {', '.join(listing.columns)}), or say task=regression"
                )
        return "multilabel"
    return _infer_one(columns[0])


def _infer_one(column: _Column) -> KnownTask:
    values = set(column.numbers)
    if values <= {0.0, 1.0}:
        return "binary"
    if {0.0, 1.0} <= values:
        column.refuse_uncertain()
    column.refuse_file_names()
    column.refuse_mixture()
    if None in values:
        if len(column.cells) > MAX_CLASSES:
            raise gvr.UsageError(
                f"{column.source}: {column.name!r} holds {len(column.cells):,} different texts, at "
                f"most {MAX_CLASSES} are taken for classes; choose another column with targets=, "
                "or say task=multiclass"
            )
        return "multiclass"
    column.refuse_stray()
    if any(not value.is_integer() for value in values if value is not None):
        return "regression"
    if len(values) > MAX_CLASSES:
        return "regression"
    if len(values) > MAX_GRADES:
        raise gvr.UsageError(
            f"{column.source}: {column.name!r} holds {len(values)} different whole numbers; say "
            "task=multiclass if each is a class, or from where on a case is positive, e.g. "
            "threshold=100, if they are a measurement"
        )
    return "multiclass"


def _classes(listing: Listing, settings: TaskSettings) -> tuple[gvr.Task, Targets]:
    counts = Counter(row.cells[0] for row in listing.rows if row.cells[0])
    # 2 and 2.0 are one class.
    spelt = {cell: _spell(cell) for cell in counts}
    names = sorted(set(spelt.values()), key=_by_number)
    odd = [name for name in names if not is_plain(name)]
    if odd or len(names) < 2:
        fault = f"holds the class {odd[0]!r}" if odd else f"holds {len(names)} class(es)"
        raise gvr.DataError(
            f"{listing.source}: {listing.columns[0]!r} {fault}; two that can be shown are needed; "
            "to use the images without labels, add task=none"
        )
    often: Counter[str] = Counter()
    for cell, n in counts.items():
        often[spelt[cell]] += n
    order = sorted(range(len(names)), key=lambda k: (-often[names[k]], k))
    source, target = two_classes(names, settings, order)
    task = gvr.Task(kind="multiclass", outputs=tuple(names), source=source, target=target)
    position = {name: k for k, name in enumerate(names)}
    targets = [[position[spelt[c]] if c else np.nan for c in row.cells] for row in listing.rows]
    return task, np.array(targets, np.float32)


def _numbers(
    listing: Listing,
    settings: TaskSettings,
    kind: Literal["regression", "binary", "multilabel"],
) -> tuple[gvr.Task, Targets]:
    columns = listing.columns
    if kind == "regression":
        if settings.threshold is None:
            raise gvr.UsageError(
                f"{listing.source}: {', '.join(columns)} is regression; say from where on a case "
                "is positive, e.g. --dataset folder:threshold=100, or choose other columns with "
                "targets=a+b"
            )
        if settings.log and settings.threshold <= 0:
            raise gvr.UsageError(f"threshold={settings.threshold:g} has no logarithm")
        scale = gvr.Scale(log=settings.log, divisor=settings.divisor)
        task = gvr.Task(
            kind=kind,
            outputs=columns,
            unit=settings.unit,
            threshold=settings.threshold,
            scale=scale,
        )
    else:
        task = gvr.Task(kind=kind, outputs=columns)
    read = [
        [_value(cell, name, row, task) for cell, name in zip(row.cells, columns, strict=True)]
        for row in listing.rows
    ]
    targets = np.array(read, np.float32)
    known = targets[~np.isnan(targets)]
    if known.size and known.min() == known.max():
        raise gvr.DataError(
            f"{listing.source}: every {' and '.join(columns)} is {known[0]:g}; there is nothing "
            "to tell apart; to use the images without labels, add task=none"
        )
    return task, targets


def _value(cell: str, column: str, row: Row, task: gvr.Task) -> float:
    """Read a cell as the task says; NaN where it is empty. Raises `DataError` naming the line."""
    if not cell:
        return math.nan
    value = _number(cell)
    if task.kind != "regression":
        if value not in (0.0, 1.0):
            advice = "leave the cell empty where it is not known"
            if value == _UNCERTAIN:
                advice = "say what is uncertain: uncertain=ignore, positive or negative"
            raise gvr.DataError(
                f"{row.where}: {column} {cell!r} is neither 0 nor 1, as {task.kind} needs; {advice}"
            )
        return value
    if value is None or (task.scale.log and value <= 0) or abs(value) > _MAX:
        positive = "positive " if task.scale.log else ""
        raise gvr.DataError(
            f"{row.where}: {column} {cell!r} is not a {positive}number; leave the cell empty "
            "where it is not known"
        )
    return value


def _number(cell: str) -> float | None:
    """Read a finite number, None where the cell holds something else."""
    try:
        value = math.nan if "_" in cell else float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _spell(cell: str) -> str:
    value = _number(cell)
    return cell if value is None or not value.is_integer() else str(int(value))


def _by_number(name: str) -> tuple[float, str]:
    value = _number(name)
    return (math.inf if value is None else value), name


def _refuse_regression(settings: TaskSettings, kind: TaskKind) -> None:
    """Refuse settings of a task that it is not. Raises `UsageError`."""
    misplaced = settings.model_fields_set & {"threshold", "unit", "log", "divisor"}
    if kind != "regression" and misplaced:
        raise gvr.UsageError(
            f"{', '.join(sorted(misplaced))}: for regression alone, and this task is {kind}; leave "
            "it out, or say task=regression"
        )
