"""A folder of a user's own images, for tests to fill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gvr_datasets.folder.dataset import ImageFolder
from PIL import Image

import gvr_bench.api as gvr

SPLITS = ("train", "validation", "test")


class Own:
    """A folder that a test fills step by step."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    def text(self, *lines: str, name: str = "table.csv") -> Path:
        path = self.root / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    def image(self, name: str, pixels: np.ndarray | None = None) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16), 99, np.uint8) if pixels is None else pixels).save(path)
        return path

    def fill(self, column: str, cells: list[object]) -> None:
        """One image per cell, each of a patient of its own."""
        self.text(f"file,{column}", *(f"{n}.png,{cell}" for n, cell in enumerate(cells)))
        for n in range(len(cells)):
            self.image(f"{n}.png")

    def data(self, **settings: object) -> ImageFolder:
        return ImageFolder(ImageFolder.Settings(**{"size": 16, **settings}), self.root)

    def splits(self, **settings: object) -> dict[str, gvr.Split]:
        data = self.data(**settings)
        return {name: data.split(name) for name in SPLITS}

    def fault(self, **settings: object) -> str:
        """The one line that a user reads."""
        data = self.data(**settings)
        with pytest.raises((gvr.DataError, gvr.UsageError)) as caught:
            _ = data.fingerprint(), data.task, data.split("train")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def targets(self, **settings: object) -> dict[str, list[float]]:
        return {
            str(name): row.tolist()
            for part in self.splits(**settings).values()
            for name, row in zip(part.sample_ids, part.targets, strict=True)
        }
