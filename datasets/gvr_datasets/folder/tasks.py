"""The task of a folder: inferred from the cells of its table, or set."""

from __future__ import annotations

import math
from collections import Counter
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import gvr_bench.api as gvr
from gvr_datasets.folder.listing import Listing, Row
from gvr_datasets.image_tables import is_plain
from gvr_datasets.tasks import ClassSettings, Names, refuse_classes, two_classes

TaskKind = Literal["regression", "binary", "multilabel", "multiclass", "none"]
Targets = NDArray[np.float32]
_MAX = float(np.finfo(np.float32).max)  # of a target
MAX_CLASSES = 50  # of an inferred task


class TaskSettings(ClassSettings):
    """What the table's columns mean.

    `targets` are the columns to predict, as `a+b` or, in TOML, as a list; by default all but file,
    patient, split and mask. `task` is inferred from them by default: one column of 0 and 1 is
    binary, several are multilabel; one of text, or of at most 50 integers, is multiclass; other
    numbers, or any with a `threshold`, are regression; `none` is for images without labels, to
    train a generator or to plant findings in. Values from the threshold up are positive;
    `unit`, `log` and `divisor` are for regression, too: the network predicts the (logarithm of
    the) value, divided. `source` and `target` default to the two most frequent classes.
    """

    targets: Names = ()
    task: TaskKind | None = None
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


def _infer(listing: Listing) -> Literal["regression", "binary", "multilabel", "multiclass"]:
    values = [{row.cells[k] for row in listing.rows} - {""} for k in range(len(listing.columns))]
    numbers = [{_number(cell) for cell in column} for column in values]
    if len(values) > 1:
        for name, column in zip(listing.columns, numbers, strict=True):
            if not column <= {0.0, 1.0}:
                raise gvr.UsageError(
                    f"{listing.source}: several columns are taken for findings, 0 or 1, and "
                    f"{name!r} holds more; choose what is predicted with targets=a or targets=a+b "
                    f"(of {', '.join(listing.columns)}), or say task=regression"
                )
        return "multilabel"
    (only,) = numbers
    if only <= {0.0, 1.0}:
        return "binary"
    integers = all(value is not None and value.is_integer() for value in only)
    if None not in only and not (integers and len(only) <= MAX_CLASSES):
        return "regression"
    if len(only) > MAX_CLASSES or len(values[0]) > MAX_CLASSES:
        raise gvr.UsageError(
            f"{listing.source}: {listing.columns[0]!r} holds {len(values[0]):,} different texts, "
            f"at most {MAX_CLASSES} are taken for classes; choose another column with targets=, "
            "or say task=multiclass"
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
            raise gvr.DataError(
                f"{row.where}: {column} {cell!r} is neither 0 nor 1, as {task.kind} needs; leave "
                "the cell empty where it is not known"
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
