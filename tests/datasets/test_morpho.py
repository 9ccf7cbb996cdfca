"""Digits with changed strokes: exact twins, each change does what it is called, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from gvr_datasets.morpho.dataset import Morpho
from gvr_datasets.morpho.strokes import CHANGES, read_strokes, shrink
from gvr_datasets.twins.twin import DoesNotFitError
from numpy.typing import NDArray
from scipy import ndimage

import gvr_bench.api as gvr
from gvr_bench.testing import assert_passes, check_dataset

Known = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]


def morpho(change: str, **settings: object) -> Morpho:
    return Morpho(Morpho.Settings(dataset="digits", base={"size": 32}, change=change, **settings))


def changed(change: str) -> Known:
    """Images with the change, without it, and where it is: (n, h, w)."""
    split = morpho(change).split("test")
    index = np.flatnonzero(split.targets[:, 0])[:40]
    try:
        split.images(index)
    except gvr.DataError as error:
        index = np.delete(index, list(error.unreadable))
    assert split.truth is not None
    truth = split.truth(index, np.zeros_like(index))
    assert truth.counterfactual is not None
    assert truth.mask is not None
    images = split.images(index)[:, 0].astype(float)
    return images, truth.counterfactual[:, 0].astype(float), truth.mask


@pytest.mark.parametrize("change", CHANGES)
def test_kit_accepts_every_change(change: str) -> None:
    assert_passes(check_dataset(morpho(change)))


@pytest.mark.parametrize("change", CHANGES)
def test_twins_are_exact(change: str) -> None:
    image, plain, mask = changed(change)
    np.testing.assert_array_equal(np.abs(image - plain) > 0.15 * 255, mask)
    assert mask.any(axis=(1, 2)).all()


def test_thickening_only_adds_ink() -> None:
    image, plain, _ = changed("thickening")
    assert (image >= plain).all()
    assert image.sum() > 1.2 * plain.sum()


def test_thinning_only_takes_ink_away() -> None:
    image, plain, _ = changed("thinning")
    assert (image <= plain).all()
    assert image.sum() < 0.75 * plain.sum()
    assert (image.max(axis=(1, 2)) > 100).all()


def test_swelling_is_local() -> None:
    image, plain, mask = changed("swelling")
    assert image.sum() > plain.sum()
    height = [np.ptp(np.nonzero(one)[0]) for one in mask]
    assert max(height) <= 17  # half of the image


def test_fracture_cuts_strokes_into_pieces() -> None:
    image, plain, _ = changed("fracture")
    assert (image <= plain).all()
    pieces = [[ndimage.label(one > 127)[1] for one in images] for images in (image, plain)]
    # Cutting a ring once leaves it in one piece.
    assert sum(pieces[0]) > 1.3 * sum(pieces[1])


def test_enlarged_strokes_come_back() -> None:
    grey = np.zeros((16, 16))
    grey[4:12, 6:9] = 1.0
    strokes = read_strokes(grey)
    np.testing.assert_allclose(shrink(strokes.ink), grey, atol=0.3)
    assert 8 <= strokes.width <= 14  # three pixels, four times enlarged


def test_image_without_strokes_does_not_fit() -> None:
    with pytest.raises(DoesNotFitError, match="no bright strokes on a dark ground"):
        read_strokes(np.zeros((16, 16)))


def test_changes_go_to_all_digits() -> None:
    split = morpho("swelling").split("test")
    base = gvr.open_dataset("digits", {"size": 32}, "quick").split("test")
    assert split.sample_ids.tolist() == base.sample_ids.tolist()
    only = morpho("swelling", label="7").split("test")
    assert len(only) == (base.targets == 7).sum()


def test_mnist_is_changed(shared_data) -> None:
    data = Morpho(Morpho.Settings(dataset="mnist", change="fracture"), shared_data("mnist"))
    images = data.split("test").images(np.arange(20))
    assert images.shape == (20, 1, 32, 32)


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("morpho", "morpho changes the images of a data set; name it: morpho:digits"),
        ("morpho:digits,base.size=8", "has 1 x 8 x 8; type morpho:digits,base.size=32"),
        ("morpho:digits,change=thick", "Input should be 'thickening', 'thinning'"),
        ("morpho:digits,label=ten", "label=ten is none of what the images show; known: 0, 1"),
    ],
)
def test_bad_input_is_one_line(cli, typed: str, line: str) -> None:
    assert line in cli("run", "--dataset", typed, "--explainer", "saliency", "--dry-run").fault
