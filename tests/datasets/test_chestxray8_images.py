"""The NIH release: pixels of any kind of file, boxes, and the real mini set."""

from __future__ import annotations

import csv
import struct
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from gvr_datasets.chestxray8.dataset import ChestXray8
from numpy.typing import NDArray
from PIL import Image

import gvr_bench.api as gvr

SPLITS = ("train", "validation", "test")
RADIOGRAPH = np.random.default_rng(1).integers(0, 256, (24, 24), np.uint8)


def read(root: Path, size: int, **settings: object) -> dict[str, NDArray[np.uint8]]:
    """Every image of all splits, by name."""
    data = ChestXray8(ChestXray8.Settings(size=size, **settings), root)
    actual = {}
    for split in map(data.split, SPLITS):
        images = split.images(np.arange(len(split)))
        assert images.dtype == np.uint8
        assert images.shape == (len(split), 1, size, size)
        actual |= dict(zip(map(str, split.sample_ids), images[:, 0], strict=True))
    return actual


def mask(root: Path, name: str, finding: str, size: int) -> NDArray[np.bool_]:
    """The truth about one image."""
    data = ChestXray8(ChestXray8.Settings(size=size), root)
    output = data.task.outputs.index(finding)
    for split in map(data.split, SPLITS):
        for position in np.flatnonzero(split.sample_ids == name):
            truth = split.truth(np.array([position]), np.array([output]))
            assert truth.counterfactual is None
            return truth.mask[0]
    raise AssertionError(name)


# Files that are no images


def _chunk(body: bytes) -> bytes:
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def _short_header(data: bytes) -> bytes:
    return data[:8] + _chunk(data[12:20]) + data[33:]


def _frame_out_of_turn(data: bytes) -> bytes:
    return data[:-12] + _chunk(b"fdAT" + bytes(8)) + data[-12:]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="truncated"),
        pytest.param(lambda data: data[:20], id="cut in its header"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: b"<html>404</html>", id="a web page"),
        pytest.param(_short_header, id="short header"),
        pytest.param(_frame_out_of_turn, id="animation without a start"),
        pytest.param(lambda data: data[:60] + b"\0" * 40 + data[100:], id="overwritten"),
    ],
)
def test_a_broken_png_is_named(nih, patients, broken) -> None:
    nih.fill(patients(5))
    path = nih.image("00000002_000.png", RADIOGRAPH)
    path.write_bytes(broken(path.read_bytes()))
    with pytest.raises(gvr.DataError, match=r"cannot read the image .*00000002_000\.png"):
        read(nih.root, 16)


def test_vanished_image_is_named(nih, patients) -> None:
    nih.fill(patients(5))
    split = ChestXray8(ChestXray8.Settings(), nih.root).split("train")
    (nih.root / "images" / split.sample_ids[1]).unlink()
    with pytest.raises(gvr.DataError, match=str(split.sample_ids[1])):
        split.images(np.array([0, 1]))


# Kinds of file


def _palette() -> Image.Image:
    """The grey levels in a shuffled palette, so that indices are not levels."""
    order = np.random.default_rng(2).permutation(256).astype(np.uint8)
    indices = np.argsort(order).astype(np.uint8)[RADIOGRAPH]
    image = Image.frombytes("P", indices.shape, indices.tobytes())
    image.putpalette(np.repeat(order, 3).tobytes())
    return image


KINDS = {
    "RGB": lambda: Image.fromarray(RADIOGRAPH).convert("RGB"),
    "RGBA": lambda: Image.fromarray(RADIOGRAPH).convert("RGBA"),
    "LA": lambda: Image.fromarray(RADIOGRAPH).convert("LA"),
    "P": _palette,
    "I;16": lambda: Image.fromarray(RADIOGRAPH.astype(np.uint16) * 257),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [24, 16])
def test_png_kinds_read_as_grey(nih, patients, kind, size) -> None:
    nih.fill(patients(5))
    nih.image("00000001_000.png", RADIOGRAPH)
    path = nih.image("00000002_000.png", KINDS[kind]())
    with Image.open(path) as image:
        assert image.mode in {kind, "I"}
    images = read(nih.root, size)
    np.testing.assert_array_equal(images["00000002_000.png"], images["00000001_000.png"])


def test_image_of_right_size_is_untouched(nih, patients) -> None:
    nih.fill(patients(5))
    nih.image("00000001_000.png", RADIOGRAPH)
    np.testing.assert_array_equal(read(nih.root, 24)["00000001_000.png"], RADIOGRAPH)


def test_sixteen_bits_span_black_to_white(nih, patients) -> None:
    nih.fill(patients(5))
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    nih.image("00000001_000.png", Image.fromarray(ramp))
    np.testing.assert_array_equal(
        read(nih.root, 8)["00000001_000.png"], np.rint(ramp / 65535 * 255).astype(np.uint8)
    )


@pytest.mark.parametrize(("h", "w", "rows", "columns"), [(20, 40, 8, 0), (40, 20, 0, 8)])
def test_black_bars_keep_aspect_ratio(nih, patients, h, w, rows, columns) -> None:
    nih.fill(patients(5))
    nih.image("00000001_000.png", np.full((h, w), 200, np.uint8))
    expected = np.zeros((32, 32), np.uint8)
    expected[rows : 32 - rows, columns : 32 - columns] = 200
    np.testing.assert_array_equal(read(nih.root, 32)["00000001_000.png"], expected)


def test_strip_of_one_pixel_remains(nih, patients) -> None:
    nih.fill(patients(5))
    nih.image("00000001_000.png", np.full((1, 500), 200, np.uint8))
    assert (read(nih.root, 16)["00000001_000.png"] == 200).sum() == 16


def test_fine_stripes_become_grey_not_moire(nih, patients) -> None:
    nih.fill(patients(5))
    stripes = np.tile(np.array([0, 255], np.uint8), (128, 64))
    nih.image("00000001_000.png", stripes)
    inner = read(nih.root, 16)["00000001_000.png"][:, 1:-1]
    assert np.abs(inner.astype(int) - 127).max() < 8


def test_images_follow_requested_order(nih, patients) -> None:
    rows = patients(30)
    nih.fill(rows)
    for level, (name, _, _) in enumerate(rows):
        nih.image(name, np.full((8, 8), level, np.uint8))
    split = ChestXray8(ChestXray8.Settings(size=8), nih.root).split("train")
    index = np.array([20, 3, 3, 11])
    levels = [int(split.sample_ids[i].split("_")[0]) - 1 for i in index]
    assert split.images(index)[:, 0, 0, 0].tolist() == levels
    assert split.images(np.array([], np.int64)).shape == (0, 1, 8, 8)


# Boxes


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a.png,Mass,1,2,three,4", "line 2: could not convert string to float: 'three'"),
        ("a.png,Mass,1,2,3", "line 2, has 5 fields, at least 6 expected"),
        ("a.png,Mass,1,2,-3,4", "outside of 1024 x 1024"),
        ("a.png,Mass,1024,2,3,4", "outside of 1024 x 1024"),
        ("a.png,Mass,nan,2,3,4", "outside of 1024 x 1024"),
        ("a.png,Mass,1,2,inf,4", "outside of 1024 x 1024"),
        ("a.png,Masse,1,2,3,4", "unknown finding 'Masse'; known: Atelectasis"),
    ],
)
def test_invalid_box_names_its_line(nih, patients, line, expected) -> None:
    nih.fill(patients(5))
    path = nih.boxes(line)
    with pytest.raises(gvr.DataError) as caught:
        read(nih.root, 16)
    assert str(path) in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(("h", "w"), [(1024, 1024), (256, 256), (128, 256), (512, 128)])
@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("end", ["", ",,,"])
def test_box_covers_the_finding(nih, patients, h, w, size, end) -> None:
    nih.fill(patients(5))
    pixels = np.zeros((h, w), np.uint8)
    pixels[h // 4 : h // 2, w // 8 : w * 5 // 8] = 255
    nih.image("00000001_000.png", pixels)
    nih.boxes("00000001_000.png,Nodule,128,256,512,256", end=end)
    bright = read(nih.root, size)["00000001_000.png"] > 127
    assert bright.any()
    np.testing.assert_array_equal(mask(nih.root, "00000001_000.png", "Nodule", size), bright)


def test_the_smallest_box_marks_one_pixel(nih, patients) -> None:
    nih.fill(patients(5))
    nih.boxes("00000001_000.png,Nodule,1023.5,500,0.4,0.4")
    actual = np.argwhere(mask(nih.root, "00000001_000.png", "Nodule", 32))
    assert actual.tolist() == [[16, 31]]


def test_box_ends_at_image_edge(nih, patients) -> None:
    nih.fill(patients(5))
    nih.image("00000001_000.png", np.full((64, 32), 9, np.uint8))
    nih.boxes("00000001_000.png,Nodule,512,0,900,2000")
    marked = mask(nih.root, "00000001_000.png", "Nodule", 32)
    expected = np.zeros((32, 32), bool)
    expected[:, 16:24] = True
    np.testing.assert_array_equal(marked, expected)


def test_both_boxes_are_marked(nih, patients) -> None:
    nih.fill(patients(5))
    nih.boxes("00000001_000.png,Mass,0,0,64,64", "00000001_000.png,Mass,960,960,64,64")
    actual = np.argwhere(mask(nih.root, "00000001_000.png", "Mass", 16))
    assert actual.tolist() == [[0, 0], [15, 15]]


def test_infiltrate_in_the_boxes_is_infiltration(nih, patients) -> None:
    nih.fill(patients(5))
    nih.boxes("00000001_000.png,Infiltrate,0,0,512,512")
    assert mask(nih.root, "00000001_000.png", "Infiltration", 16).sum() == 64


def test_no_box_gives_empty_mask(nih, patients) -> None:
    nih.fill(patients(5))
    nih.boxes("00000001_000.png,Mass,0,0,512,512", "else.png,Mass,0,0,512,512")
    assert not mask(nih.root, "00000001_000.png", "Nodule", 16).any()
    assert not mask(nih.root, "00000002_000.png", "Mass", 16).any()


def test_no_box_list_no_truth(nih, patients) -> None:
    nih.fill(patients(5))
    assert ChestXray8(ChestXray8.Settings(), nih.root).split("test").truth is None


# The real mini set


@pytest.fixture
def mini(shared_data) -> Path:
    return shared_data("chestxray8-mini")


def test_mini_set_labels_match_table(mini) -> None:
    with (mini / "Data_Entry_2017.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    counts = Counter(finding for row in rows for finding in row[1].split("|"))
    data = ChestXray8(ChestXray8.Settings(size=32), mini)
    parts = [data.split(name) for name in SPLITS]
    assert sum(map(len, parts)) == len(rows) == 799
    total = np.sum([part.targets.sum(0) for part in parts], axis=0)
    assert total.tolist() == [counts[finding] for finding in data.task.outputs]
    groups = [set(part.patient_ids) for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups)) == len({row[3] for row in rows})


def test_mini_set_images_and_boxes(mini) -> None:
    images = read(mini, 64)
    assert len(images) == 799
    assert all(image.std() > 10 for image in images.values())
    for name in ("00000003_001.png", "00000149_006.png"):
        with Image.open(mini / "images" / name) as file:
            first = np.asarray(file.convert("RGB"))[..., 0]
        np.testing.assert_array_equal(images[name], first)
    marked = np.argwhere(mask(mini, "00000211_016.png", "Infiltration", 64))
    assert (marked.min(0).tolist(), marked.max(0).tolist()) == ([29, 15], [49, 28])
