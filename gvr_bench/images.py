"""Images of the store as networks read them: uint8 at rest, float32 in [-1, 1] on the device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gvr_bench.formats import read_arrays
from gvr_bench.types import Task


def to_float(pixels: Tensor) -> Tensor:
    """Map uint8 (N, C, H, W) to float32 in [-1, 1], channels last in memory."""
    x = pixels.to(torch.float32).div_(127.5).sub_(1)
    return x.contiguous(memory_format=torch.channels_last)


def to_bytes(images: Tensor) -> Tensor:
    """Map images in [-1, 1] to uint8, of the same shape."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


class StoredImages:
    """One split of a `data` stage, held as bytes on the device."""

    def __init__(self, file: Path, split: str, task: Task, device: torch.device) -> None:
        names = ("images", "patient_ids", "targets")
        arrays = read_arrays(file, *(f"{split}/{name}" for name in names))
        self.task = task
        self.targets = torch.from_numpy(task.scale.apply(arrays[f"{split}/targets"])).to(device)
        self.pixels = torch.from_numpy(arrays[f"{split}/images"]).to(device)
        self.patient_ids: NDArray[np.str_] = arrays[f"{split}/patient_ids"]

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Tensor) -> Tensor:
        return to_float(self.pixels[index.to(self.pixels.device)])
