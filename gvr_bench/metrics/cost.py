"""What an explanation costs."""

from __future__ import annotations

from gvr_bench.metrics.base import Evidence, Metric, Values


def seconds_per_image(evidence: Evidence) -> Values:
    """Wall time per image after a warm-up, at the batch size used."""
    return evidence.seconds


COST = (
    Metric(
        "seconds_per_image",
        "cost",
        "down",
        0,
        float("inf"),
        "wall time per image after a warm-up, at the batch size used",
        "generative visual rationales (2018)",
        "",
        seconds_per_image,
    ),
)
