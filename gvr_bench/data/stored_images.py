"""Images of the cache as networks read them: uint8 in files, float32 in [-1, 1] on the device."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gvr_bench.cache.hdf5 import BAD_HDF5, is_stored, own_item, read_arrays
from gvr_bench.core.errors import CacheError
from gvr_bench.core.types import Ints, Task, Texts

MAX_IN_MEMORY = 2**28  # bytes of a split; a larger one stays in its file on a CPU
TRANSFER_BATCH = 4096  # images


def to_float(pixels: Tensor) -> Tensor:
    """Map uint8 (N, C, H, W) to float32 in [-1, 1], channels last in memory."""
    x = pixels.to(torch.float32).div_(127.5).sub_(1)
    return x.contiguous(memory_format=torch.channels_last)


def to_bytes(images: Tensor) -> Tensor:
    """Map images in [-1, 1] to uint8, of the same shape."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


class StoredImages:
    """One split of a `data` stage: in the device's memory, or on a CPU, if large, in its file.

    The system keeps the pages of that file in memory as long as nothing else needs it.
    """

    def __init__(self, file: Path, split: str, task: Task, device: torch.device) -> None:
        names = ("patient_ids", "targets")
        patient_ids, targets = read_arrays(file, *(f"{split}/{name}" for name in names)).values()
        self.task = task
        self.targets = torch.from_numpy(task.scale.apply(targets)).to(device)
        self.pixels = read_pixels(file, f"{split}/images", device)
        self.patient_ids: Texts = patient_ids

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Tensor) -> Tensor:
        return to_float(self.pixels[index.to(self.pixels.device)])


def read_pixels(file: Path, name: str, device: torch.device) -> Tensor | FilePixels:
    """Read or open images (N, C, H, W) uint8. Raises `CacheError`."""
    rows = find_rows(file, name)
    if rows is None or math.prod(rows.shape) <= MAX_IN_MEMORY:
        return torch.from_numpy(read_arrays(file, name)[name]).to(device)
    filed = FilePixels(file, rows)
    if device.type == "cpu":
        return filed
    out = torch.empty(rows.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(filed), TRANSFER_BATCH):
        index = torch.arange(start, min(start + TRANSFER_BATCH, len(filed)))
        out[start : start + len(index)] = filed[index].to(device)
    return out


class Rows(NamedTuple):
    """Shape of an array and `offsets` (N,) of its rows in its file, in bytes."""

    shape: tuple[int, ...]
    offsets: Ints


def find_rows(path: Path, name: str) -> Rows | None:
    """Find the rows of an array of bytes, None where they are compressed. Raises `CacheError`."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            dataset = own_item(file, name)
            shape, chunks = dataset.shape, dataset.chunks
            packed = dataset.id.get_create_plist().get_nfilters() > 0
            if packed or dataset.dtype != np.uint8 or not is_stored(dataset):
                return None
            if chunks is None or chunks[1:] != shape[1:]:
                return None
            starts: dict[int, int] = {}  # of chunks, which hold whole rows
            dataset.id.chunk_iter(
                lambda chunk: starts.update({chunk.chunk_offset[0]: chunk.byte_offset})
            )
    except BAD_HDF5 as error:
        raise CacheError(f"cannot read {path}: {error}") from error
    per, row = chunks[0], math.prod(shape[1:])
    first = np.array([starts[start] for start in range(0, shape[0], per)], np.int64)
    within = np.arange(shape[0], dtype=np.int64) % per
    return Rows(shape, np.repeat(first, per)[: shape[0]] + within * row)


class FilePixels:
    """Images (N, C, H, W) uint8, read from their file by position."""

    device = torch.device("cpu")

    def __init__(self, path: Path, rows: Rows) -> None:
        self.rows = rows
        self.file = path.open("rb", buffering=0)

    def __len__(self) -> int:
        return len(self.rows.offsets)

    def __getitem__(self, index: Tensor) -> Tensor:
        offsets = self.rows.offsets[index.numpy()]
        out = np.empty((len(offsets), *self.rows.shape[1:]), np.uint8)
        for image, offset in zip(out, offsets.tolist(), strict=True):
            self.file.seek(offset)
            if self.file.readinto(image) != image.nbytes:
                raise CacheError(f"cannot read {self.file.name}: it ends before {offset:,} bytes")
        return torch.from_numpy(out)
