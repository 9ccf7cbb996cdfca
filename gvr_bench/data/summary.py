"""How many images of what each split of a data set has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from gvr_bench.core.types import SPLITS, Split, Task


def count_rows(task: Task, splits: Mapping[str, Split]) -> tuple[tuple[str, ...], ...]:
    """Count images, patients, labelled images, and those that are positive for each output.

    A row has the name of what is counted, then the counts in train, validation and test.
    """
    columns: list[tuple[str, ...]] = [("images", "patients", "labelled", *task.outputs)]
    for name in SPLITS:
        split = splits[name]
        labelled = int((~np.isnan(split.targets).any(axis=1)).sum())
        positives = task.positives(split.targets).sum(axis=0)
        counts = (len(split), len(np.unique(split.patient_ids)), labelled, *positives)
        columns.append(tuple(f"{count:,}" for count in counts))
    return tuple(zip(*columns, strict=True))


def absent_outputs(task: Task, splits: Mapping[str, Split]) -> Iterator[str]:
    """Yield a line where some outputs occur in no image of a split."""
    for name in SPLITS:
        positive = np.asarray(task.positives(splits[name].targets).any(axis=0))
        absent = [output for output, some in zip(task.outputs, positive, strict=True) if not some]
        if absent and positive.any():
            more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
            yield (
                f"no image of {name} shows {', '.join(absent[:3])}{more}; scores of "
                f"{'it' if len(absent) == 1 else 'them'} mean nothing"
            )
