"""Truth scores of runs by output: `python scripts/bench/per_output.py RUN...`.

One line per model, explainer and output, over the cases that the report shows (the first 500) and
whose finding the model predicts: case-specific correlation, case identification, pixel AP of the
true change's mask, and the amplitude, how much of the true change the map has. The last line of an
explainer is the mean over outputs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from gvr_bench.metrics.case_specific import identifications, specific_correlations, standardised
from gvr_bench.report.cases.reading import Combination, Explained, read_cases

NAMES = "case-specific", "identification", "pixel AP", "amplitude"


def scores(c: Combination, e: Explained, output: int) -> tuple[int, NDArray[np.float64]]:
    """Return the number of cases of an output, and the means of the four scores."""
    assert c.true_change is not None
    assert e.attribution is not None
    assert c.mask is not None
    rows = c.source == output
    rows &= c.predicts_source if c.predicts_source is not None else True
    change, maps, masks = (a[rows] for a in (c.true_change, e.attribution, c.mask))
    if len(maps) < 2:
        return len(maps), np.full(len(NAMES), np.nan)
    unit = [standardised(torch.from_numpy(a)) for a in (maps, change)]
    alike = torch.zeros(len(maps), dtype=torch.int64)
    compared = [
        score(alike, lambda at: unit[0][at], lambda at: unit[1][at]).nanmean().item()
        for score in (specific_correlations, identifications)
    ]
    flat = [a.reshape(len(a), -1).astype(np.float64) for a in (maps, change)]
    precision = [
        average_precision_score(mask.ravel(), np.abs(values))
        for mask, values in zip(masks, flat[0], strict=True)
        if mask.any()
    ]
    amplitude = (flat[0] * flat[1]).sum(1) / (flat[1] ** 2).sum(1).clip(1e-12)
    return len(maps), np.array([*compared, np.mean(precision), amplitude.mean()])


def main() -> None:
    for run in map(Path, sys.argv[1:]):
        for c in read_cases(run):
            print(f"\n{run.name}: {c.dataset}, {c.model}, seed {c.seed}")
            print(f"{'':22}{'':16}{'n':>5}" + "".join(f"{name:>16}" for name in NAMES))
            for e in c.explainers:
                if e.attribution is None or c.true_change is None:
                    continue
                table = [scores(c, e, output) for output in range(len(c.outputs))]
                for name, (n, row) in zip(c.outputs, table, strict=True):
                    print(f"{e.name:22}{name:16}{n:>5}" + "".join(f"{v:16.2f}" for v in row))
                mean = np.nanmean([row for _, row in table], axis=0)
                print(f"{e.name:22}{'mean':16}{'':>5}" + "".join(f"{v:16.2f}" for v in mean))


if __name__ == "__main__":
    main()
