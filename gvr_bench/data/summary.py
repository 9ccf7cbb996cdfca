"""What a data set holds, as text."""

from __future__ import annotations

import numpy as np

from gvr_bench.core.components import Dataset
from gvr_bench.core.types import SPLITS

Row = tuple[str, ...]


def summarise(dataset: Dataset) -> tuple[list[tuple[str, str]], Row, list[Row]]:
    """Return facts as (name, value), then columns and rows of a table of the splits.

    Raises `DataError` where the data is missing.
    """
    task, image = dataset.task, dataset.image
    facts = [
        ("task", f"{task.kind} of {', '.join(task.outputs)}"),
        ("images", str(image)),
    ]
    if task.threshold is not None:
        facts.append(("positive", f"from {task.threshold:g} {task.unit} up"))
    if task.source is not None and task.target is not None:
        facts.append(("rationale", f"{task.outputs[task.source]} to {task.outputs[task.target]}"))
    counts = [("images", "patients", "labelled", *task.outputs)]
    for name in SPLITS:
        split = dataset.split(name)
        labelled = int((~np.isnan(split.targets).any(axis=1)).sum())
        positives = task.positives(split.targets).sum(axis=0)
        numbers = (len(split), len(np.unique(split.patient_ids)), labelled, *positives)
        counts.append(tuple(f"{number:,}" for number in numbers))
    return facts, ("", *SPLITS), list(zip(*counts, strict=True))
