"""scikit-learn's digits, and the table that lists the data sets."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pydantic
import pytest
from gvr_datasets import gvr_plugins
from gvr_datasets.digits import Digits
from sklearn.datasets import load_digits

SPLITS = ("train", "validation", "test")


def digits(**settings: int) -> Digits:
    return Digits(Digits.Settings(**settings))


def test_same_source_and_target_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match=r"source and target are both 4.*another"):
        digits(source=4)


@pytest.mark.parametrize("setting", [{"source": 10}, {"target": -1}, {"size": 7}, {"seed": -1}])
def test_setting_out_of_range_refused(setting: dict[str, int]) -> None:
    with pytest.raises(pydantic.ValidationError, match=next(iter(setting))):
        digits(**setting)


def test_default_task_is_nine_to_four() -> None:
    task = digits().task
    assert (task.kind, task.columns, task.source, task.target) == ("multiclass", 1, 9, 4)
    assert task.outputs == tuple("0123456789")


def test_splits_are_stratified_and_disjoint() -> None:
    parts = {name: digits().split(name) for name in SPLITS}
    ids = np.concatenate([part.sample_ids for part in parts.values()])
    assert len(ids) == len(set(ids)) == 1797
    every = np.bincount(load_digits().target)
    for name, share in zip(SPLITS, (0.7, 0.1, 0.2), strict=True):
        actual = np.bincount(parts[name].targets[:, 0].astype(int), minlength=10)
        np.testing.assert_allclose(actual, share * every, atol=1)


def test_original_size_keeps_pixels() -> None:
    original = load_digits()
    part = digits(size=8).split("validation")
    position = np.array([int(name.split("-")[1]) for name in part.sample_ids])
    images = part.images(np.arange(len(part)))
    np.testing.assert_allclose(images[:, 0], original.images[position] * 255 / 16, atol=0.5)
    np.testing.assert_array_equal(part.targets[:, 0], original.target[position])


def test_enlarged_digits_resemble_originals() -> None:
    small, large = (digits(size=size).split("test") for size in (8, 64))
    index = np.arange(50)
    assert large.images(index).shape == (50, 1, 64, 64)
    blocks = large.images(index)[:, 0].reshape(50, 8, 8, 8, 8).mean((2, 4))
    together = np.corrcoef(blocks.ravel(), small.images(index).ravel())[0, 1]
    assert together > 0.97


def test_seed_decides_the_split() -> None:
    first, again, other = (digits(seed=seed).split("test").sample_ids for seed in (0, 0, 1))
    assert (first == again).all()
    assert set(first) != set(other)


def test_fingerprint_ignores_settings() -> None:
    assert digits(size=8).fingerprint() == digits(size=64, seed=3).fingerprint()


def test_images_follow_requested_order() -> None:
    part = digits().split("test")
    np.testing.assert_array_equal(
        part.images(np.array([5, 2, 5])), part.images(np.arange(6))[[5, 2, 5]]
    )


def test_the_table_lists_the_data_sets() -> None:
    rows = list(gvr_plugins())
    names = [
        "phantom", "digits", "mnist", "chestxray8", "radiographs", "folder", "npz", "torchvision",
        "planted", "morpho",
    ]  # fmt: skip
    assert [row.name for row in rows] == names
    assert {(row.kind, row.api) for row in rows} == {("dataset", 1)}
    assert all(row.summary and "\n" not in row.summary for row in rows)


def test_listing_data_sets_imports_little() -> None:
    code = (
        "import sys, gvr_datasets, gvr_datasets.digits, gvr_datasets.mnist\n"
        "import gvr_datasets.chestxray8.dataset, gvr_datasets.radiographs\n"
        "list(gvr_datasets.gvr_plugins())\n"
        "print([m for m in ('torch', 'torchvision', 'sklearn', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
