"""The random number generators of the whole process: those of torch, numpy and Python.

Importing this module imports no torch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@contextmanager
def seeded(seed: int, gpus: Sequence[torch.device] | None = None) -> Iterator[None]:
    """Seed them, and restore their states on exit; of GPUs all, or those named by `gpus`."""
    import numpy as np
    import torch

    before = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(gpus):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before[0])
            random.setstate(before[1])


def states() -> dict[str, Any]:
    import numpy as np
    import torch

    kind, keys, *rest = np.random.get_state()
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "torch": [state.numpy().tobytes() for state in (torch.get_rng_state(), *on_gpus)],
        "numpy": (kind, np.asarray(keys).tobytes(), *rest),
        "random": random.getstate(),
    }
