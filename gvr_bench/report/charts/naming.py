"""How the charts call a model, and what it finds."""

from __future__ import annotations

from gvr_bench.report.cases.reading import Combination


def whose(combination: Combination) -> str:
    """`wgan_gp · conv · linear on phantom, seed 0`."""
    c = combination
    return f"{c.model} on {c.dataset}, seed {c.seed}"


def finding_of(combination: Combination, output: int) -> str:
    """What counts as positive: the output, or from which value on it does."""
    c = combination
    if c.kind != "regression" or c.threshold is None:
        return c.outputs[output]
    return f"{c.outputs[output]} of at least {c.threshold:g} {c.unit}".strip()
