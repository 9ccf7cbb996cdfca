"""Heart failure seen as BNP, as the papers ask for it."""

from __future__ import annotations

import gvr_bench.api as gvr

THRESHOLD = 100.0  # ng/L, the usual cut-off
BNP = gvr.Task(
    kind="regression",
    outputs=("BNP",),
    unit="ng/L",
    threshold=THRESHOLD,
    scale=gvr.Scale(log=True, divisor=10.0),
)
