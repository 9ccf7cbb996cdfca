"""What an explanation costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gvr_bench.metrics.base import INFINITE, Evidence, metric

if TYPE_CHECKING:
    from torch import Tensor


@metric(
    "cost",
    "time per image",
    better="down",
    highest=INFINITE,
    unit="s",
    formula="wall time of a batch after a warm-up, over its images",
    fooled_by="Another machine, thread count or batch size: compare within one run only.",
    source="generative visual rationales (2018)",
)
def seconds_per_image(evidence: Evidence) -> Tensor:
    """Wall time per image at the batch size used."""
    return evidence.seconds


@metric(
    "cost",
    "model evaluations",
    better="down",
    highest=INFINITE,
    formula="images passed through encoder or decoder, forward or backward, per image explained",
    fooled_by="Networks of different size: a pass of the encoder counts as one of the decoder.",
    source="this project",
    needs="not counted",
)
def model_evaluations(evidence: Evidence) -> Tensor | None:
    """Passes of encoder and decoder per image, forward and backward."""
    return evidence.evaluations


@metric(
    "cost",
    "peak memory",
    better="down",
    highest=INFINITE,
    unit="MB",
    formula="largest memory in use while explaining, beyond what was in use before",
    fooled_by="Batch size, and what the allocator keeps from earlier work.",
    source="this project",
    needs="not measured",
)
def peak_memory_mb(evidence: Evidence) -> Tensor | None:
    """Largest memory in use while explaining a batch."""
    return evidence.memory


COST = (seconds_per_image, model_evaluations, peak_memory_mb)
