"""Who reads or turns the random numbers that belong to the whole process."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch

from gvr_bench.registry.explainer_contract import Violation

Made = TypeVar("Made")
MEND = "draw from ctx.rng(...), e.g. torch.randn(shape, generator=ctx.rng('noise'))"


def seed_all(seed: int) -> None:
    """Seed the global random numbers of torch, numpy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def states() -> dict[str, Any]:
    """Return where the global random numbers are, as something that compares."""
    kind, keys, *rest = np.random.get_state()
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "torch": [state.numpy().tobytes() for state in (torch.get_rng_state(), *on_gpus)],
        "numpy": (kind, np.asarray(keys).tobytes(), *rest),
        "random": random.getstate(),
    }


@contextmanager
def borrowed() -> Iterator[None]:
    """Give the global random numbers back as they were."""
    saved = np.random.get_state(), random.getstate()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            np.random.set_state(saved[0])
            random.setstate(saved[1])


def watched(make: Callable[[], Made], seed: int) -> tuple[Made, list[Violation]]:
    """Make something with the global random numbers seeded; say which of them it turned."""
    with borrowed():
        seed_all(seed)
        before = states()
        made = make()
        after = states()
    turned = [name for name in before if before[name] != after[name]]
    breaches = [
        Violation("own draws", f"seeded, or drew from, the global random numbers of {name}", MEND)
        for name in turned
    ]
    return made, breaches
