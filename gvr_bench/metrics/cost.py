"""What an explanation costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gvr_bench.metrics.base import INFINITE, CaseInput, Group, Source

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class CostInput(CaseInput):
    """Seconds and network passes per image, and MiB of memory, (N,) each."""

    seconds: Tensor
    evaluations: Tensor
    memory: Tensor | None

    @classmethod
    def build(cls, source: Source) -> Self:
        """Read what was measured while explaining."""
        return cls(
            seconds=source.read("explanations", "seconds"),
            evaluations=source.read("explanations", "evaluations"),
            memory=source.read_optional("explanations", "memory"),
        )


GROUP = Group(
    "cost",
    "Cost",
    "how much time and memory does it take?",
    case_input=CostInput,
    cost="measured while explaining",
    criticism="None known: it holds for one machine and batch size.",
)


@GROUP.metric(
    "time per image",
    better="down",
    highest=INFINITE,
    unit="s",
    formula="wall time of a batch after a warm-up, over its images",
    fooled_by="Another machine, thread count or batch size: compare within one run only.",
    source="generative visual rationales (2018)",
)
def seconds_per_image(data: CostInput) -> Tensor:
    """Wall time per image at the batch size used."""
    return data.seconds


@GROUP.metric(
    "model evaluations",
    better="down",
    highest=INFINITE,
    formula="images passed through encoder or decoder, forward or backward, per image explained",
    fooled_by="Networks of different size: a pass of the encoder counts as one of the decoder.",
    source="this project",
)
def model_evaluations(data: CostInput) -> Tensor:
    """Passes of encoder and decoder per image, forward and backward."""
    return data.evaluations


@GROUP.metric(
    "peak memory",
    better="down",
    highest=INFINITE,
    unit="MB",
    formula="largest memory in use while explaining, beyond what was in use before",
    fooled_by="Batch size, and on a GPU what the allocator keeps from earlier work.",
    source="this project",
    version="2",
    needs="not measured",
)
def peak_memory_mb(data: CostInput) -> Tensor | None:
    """Largest memory in use while explaining a batch."""
    return data.memory
