"""Images and masks that cannot be true are counted, and the line says what to type."""

from __future__ import annotations

import numpy as np
import pytest

import gvr_bench.api as gvr
from gvr_bench.data.summary import (
    GAP,
    LABEL,
    MIN_TILE,
    SheetRow,
    absent_outputs,
    choose_rows,
    draw_sheet,
)
from gvr_bench.data.verification import MaskChecks, PixelChecks

RNG = np.random.default_rng(0)


def noise(n: int, low: int = 0, high: int = 256, channels: int = 1) -> np.ndarray:
    return RNG.integers(low, high, (n, channels, 16, 16)).astype(np.uint8)


def cautions(has_bits: bool = True, **splits: np.ndarray) -> list[str]:
    checks = PixelChecks()
    for name, images in splits.items():
        ids = np.array([f"{name}-{i}" for i in range(len(images))])
        for start in range(0, len(images), 7):
            checks.add(name, ids[start : start + 7], images[start : start + 7])
    return list(checks.cautions("folder", has_bits))


def test_good_images_raise_no_caution() -> None:
    assert cautions(train=noise(20), validation=noise(5), test=noise(5, channels=3)) == []


@pytest.mark.parametrize("bits", [10, 11, 12, 13, 14, 15])
def test_unused_bits_are_told_by_brightness(bits: int) -> None:
    """The full range of so many bits, read as 16."""
    deep = RNG.integers(0, 2**bits, (20, 1, 16, 16))
    deep[0, 0, 0, 0] = 2**bits - 1
    (line,) = cautions(train=((deep + 128) // 257).astype(np.uint8))
    assert f"--dataset folder:bits={bits}" in line
    assert "no pixel of the 20 images" in line


def test_bits_are_not_advised_without_setting() -> None:
    (line,) = cautions(has_bits=False, train=noise(9, high=16))
    assert line.endswith("scale them to the full range")


def test_dim_images_among_others_are_counted() -> None:
    (line,) = cautions(train=np.concatenate([noise(8), noise(2, high=16)]))
    assert line.startswith("2 of 10 images are nearly black, with no pixel above 32 of 255")
    assert "'train-8'" in line


def test_few_greys_are_counted_where_most_have_them() -> None:
    (line,) = cautions(train=noise(10) // 32 * 32)
    assert line.startswith("10 of 10 images have at most 17 of 256 greys")
    assert cautions(train=np.concatenate([noise(8), noise(2) // 32 * 32])) == []


@pytest.mark.parametrize("level", [0, 90, 255])
@pytest.mark.parametrize("bars", [0, 4])
def test_constant_images_are_counted(level: int, bars: int) -> None:
    flat = np.full((3, 1, 16, 16), level, np.uint8)
    flat[:, :, :bars] = flat[:, :, 16 - bars :] = 0
    (line,) = cautions(train=np.concatenate([noise(7), flat]))
    assert line.startswith("3 of 10 images are one colour throughout (the first is 'train-7')")


def test_doubles_across_splits_are_counted() -> None:
    train, test = noise(10), noise(6)
    test[2:4] = train[5:7]
    (line,) = cautions(train=train, test=test)
    assert line.startswith("2 images of test are the same as images of train")
    assert "'test-2', as 'train-5'" in line


def test_doubles_within_split_are_no_leak() -> None:
    assert cautions(train=np.tile(noise(5), (2, 1, 1, 1)), test=noise(5)) == []


def test_doubles_of_validation_come_last() -> None:
    train = noise(4)
    lines = cautions(train=train, validation=train[:1], test=train[1:])
    assert [line[:20] for line in lines] == ["3 images of test are", "1 images of validati"]


# Masks


def mask_cautions(masks: np.ndarray, images: np.ndarray | None = None) -> list[str]:
    checks = MaskChecks()
    images = noise(len(masks), 1) if images is None else images
    checks.add(np.array([f"c{i}" for i in range(len(masks))]), masks, images)
    return list(checks.cautions())


def test_inverted_masks_are_said() -> None:
    masks = np.zeros((10, 16, 16), np.bool_)
    masks[:, 2:5, 2:5] = True
    assert mask_cautions(masks) == []
    masks[3:5] ^= True
    (line,) = mask_cautions(masks)
    assert line.startswith("masks of 2 of 10 cases mark nearly all of the image (the first is 'c3'")


def test_full_mask_of_oblong_image_is_said() -> None:
    images = noise(3, 1)
    images[:, :, :5] = images[:, :, 11:] = 0
    masks = np.zeros((3, 16, 16), np.bool_)
    masks[0, 5:11] = masks[1:, 6:8, 6:8] = True
    (line,) = mask_cautions(masks, images)
    assert "masks of 1 of 3 cases mark nearly all" in line


def test_empty_masks_are_said_where_others_mark() -> None:
    masks = np.zeros((10, 16, 16), np.bool_)
    assert mask_cautions(masks) == []
    masks[:8, 4, 4] = True
    (line,) = mask_cautions(masks)
    assert line.startswith("2 of 10 cases have no mask, or one that marks nothing")


# Counts and sheets


def split(targets: np.ndarray) -> gvr.Split:
    ids = np.array([f"{i}" for i in range(len(targets))])
    return gvr.Split(ids, ids, targets.astype(np.float32), lambda index: noise(len(index)))


def test_outputs_that_never_occur_are_named() -> None:
    task = gvr.Task("multilabel", ("a", "b", "c"))
    some = split(np.array([[1, 1, 0], [0, 1, 1]]))
    lines = list(absent_outputs(task, {"train": some, "validation": some,
                                       "test": split(np.array([[1, 0, 0]]))}))  # fmt: skip
    assert lines == ["no image of test shows b, c; scores of them mean nothing"]


def test_rows_are_spread_over_each_class() -> None:
    targets = np.repeat([0.0, 1.0, np.nan], 100)[:, None].astype(np.float32)
    rows = list(choose_rows(gvr.Task("binary", ("sick",)), targets))
    assert [title for title, _, _ in rows] == ["sick (100)", "not sick (100)"]
    for (_, _, positions), start in zip(rows, (100, 0), strict=True):
        assert positions[0] == start
        assert positions[-1] == start + 99
        assert len(positions) == 9


def test_small_class_is_shown_whole() -> None:
    targets = np.array([[0], [0], [1], [2]], np.float32)
    task = gvr.Task("multiclass", ("a", "b", "c", "d"), source=0, target=1)
    rows = list(choose_rows(task, targets))
    assert [(title, positions.tolist()) for title, _, positions in rows] == [
        ("a (2)", [0, 1]), ("b (1)", [2]), ("c (1)", [3]),
    ]  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
def test_sheet_shows_images_and_outlines(channels: int) -> None:
    images = np.full((2, channels, 64, 64), 100, np.uint8)
    masks = np.zeros((2, 64, 64), np.bool_)
    masks[1, 10:30, 10:30] = True
    sheet = np.asarray(draw_sheet([SheetRow("a (2)", images), SheetRow("b (2)", images, masks)]))
    assert sheet.shape == (2 * (MIN_TILE + LABEL + GAP) + GAP, 9 * (MIN_TILE + GAP) + GAP, 3)
    lower = sheet[2 * GAP + 2 * LABEL + MIN_TILE :]
    tiles = [lower[:64, GAP + i * (MIN_TILE + GAP) :][:, :64] for i in range(2)]
    assert (tiles[0] == 100).all()
    line = np.argwhere(tiles[1][..., 1] == 214)
    assert len(line) == 4 * 19
    assert (line.min(), line.max()) == (10, 29)
