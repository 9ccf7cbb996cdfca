"""A picture of Pillow's is explained as its file is: turned, with the bits of the data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gvr_datasets.folder.dataset import ImageFolder
from PIL import Image

from gvr_bench.explain.inputs import read_picture


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_opened_picture_equals_its_file(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    Image.fromarray(pixels).save(path, exif=exif)
    data = ImageFolder(ImageFolder.Settings(size=48))
    with path.open("rb") as file, Image.open(file) as image:
        opened = read_picture(data, image, 1)
    np.testing.assert_array_equal(opened.pixels, read_picture(data, path, 1).pixels)
    assert (opened.pixels[0] == pixels).all() == (orientation == 1) or suffix == "jpg"


def test_new_image_uses_bits_of_data_set(tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 16), 4095, np.uint16)).save(tmp_path / "a.png")
    data = ImageFolder(ImageFolder.Settings(size=16, bits=12))
    assert (read_picture(data, tmp_path / "a.png", 1).pixels == 255).all()
