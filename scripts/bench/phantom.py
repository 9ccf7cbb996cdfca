"""How many phantom images a second are rendered: `python scripts/bench/phantom.py`."""

from __future__ import annotations

import time

import numpy as np
from gvr_datasets.phantom.dataset import Phantom

COUNTS = {32: 4096, 64: 2048, 128: 512}


def images_per_second(size: int, count: int, batch: int = 256) -> float:
    """The best of three passes over `count` images in batches."""
    split = Phantom(Phantom.Settings(size=size, train=count)).split("train")
    split.images(np.arange(16))
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        for first in range(0, count, batch):
            split.images(np.arange(first, min(first + batch, count)))
        best = min(best, time.perf_counter() - start)
    return count / best


if __name__ == "__main__":
    for size, count in COUNTS.items():
        print(f"{size:4d} px: {images_per_second(size, count):7.0f} images/s")
