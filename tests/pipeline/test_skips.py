"""Images that cannot be read: a few are left out and listed, more than a few stop the run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from gvr_datasets.radiographs import Radiographs
from made_up_stages import BINARY, Bank, Squares
from PIL import Image

import gvr_bench.api as gvr
from gvr_bench.cache.hdf5 import read_arrays
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.memory_shortage import compute
from gvr_bench.pipeline.steps import data as data_module
from gvr_bench.pipeline.steps.data import compute_cases, compute_data


class Tolerant(gvr.Settings):
    skip: float = 0.05


class Damaged(Squares):
    """Squares of which some images cannot be read, by their sample ids."""

    def __init__(self, *bad: str, skip: float | None = 0.05) -> None:
        super().__init__(BINARY)
        self.bad = set(bad)
        if skip is not None:
            self.settings = Tolerant(skip=skip)

    def split(self, name: str) -> gvr.Split:
        complete = super().split(name)

        def images(index: np.ndarray) -> np.ndarray:
            ids = complete.sample_ids[index]
            faults = {i: "it is empty" for i, single in enumerate(ids) if single in self.bad}
            for i in faults:
                raise gvr.DataError(f"cannot read the image /data/{ids[i]}: it is empty", faults)
            return complete.images(index)

        return dataclasses.replace(complete, images=images)


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path)


@pytest.fixture(autouse=True)
def _read_in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_module, "CHUNK", 7)


def read(bank: Bank, dataset: gvr.Dataset) -> tuple[Stage, str]:
    """The data stage, and what the user is told of it."""
    stage = bank.stage("data", component=dataset)
    stage_ctx = bank.stage_ctx(stage)
    return stage, compute(stage, stage_ctx.cache, stage_ctx.ctx)[0]


# Too many


@pytest.mark.parametrize("skip", [None, 0.0, 0.01])
def test_one_of_96_exceeds_one_percent(bank: Bank, skip: float | None) -> None:
    with pytest.raises(gvr.DataError, match="cannot read the image /data/train-9: it is empty"):
        read(bank, Damaged("train-9", skip=skip))
    assert list(bank.root.rglob("data.h5")) == []


def test_too_many_skips_name_the_setting(bank: Bank) -> None:
    bad = [f"train-{n}" for n in range(20, 25)]  # 4.8 would be allowed
    with pytest.raises(gvr.DataError) as caught:
        read(bank, Damaged(*bad))
    for part in ("/data/train-2", "5 of the first 28 images", "0.05 of all 96", "setting skip"):
        assert part in str(caught.value)


def test_unreadable_split_is_refused(bank: Bank) -> None:
    with pytest.raises(gvr.DataError, match="no image of the split 'test' can be read"):
        read(bank, Damaged(*(f"test-{n}" for n in range(24)), skip=0.5))


def test_other_read_errors_are_passed_on(bank: Bank) -> None:
    dataset = Damaged(skip=0.5)
    complete = dataset.split("train")

    def gone(index: np.ndarray) -> np.ndarray:
        raise gvr.DataError("the disk was taken out")

    dataset.split = lambda name: dataclasses.replace(complete, images=gone)  # type: ignore[method-assign]
    with pytest.raises(gvr.DataError, match=r"^the disk was taken out$"):
        read(bank, dataset)


# A few


def test_few_skips_are_listed(bank: Bank) -> None:
    bad = ["train-0", "train-3", "train-47", "test-23"]
    stage, stderr = read(bank, Damaged(*bad))
    assert stderr.startswith("4 of 96 images cannot be used and are left out, the first is train-0")
    folder = bank.stage_ctx(stage).cache.write_dir(stage)
    listed = json.loads((folder / "skipped.json").read_text())
    assert [single["sample_id"] for single in listed] == bad
    assert listed[3] == {"split": "test", "sample_id": "test-23", "reason": "it is empty"}
    complete = Squares(BINARY)
    for name, count in (("train", 45), ("validation", 24), ("test", 23)):
        names = ("images", "sample_ids", "patient_ids", "targets")
        built = read_arrays(folder / "data.h5", *(f"{name}/{single}" for single in names))
        images, ids, patients, targets = built.values()
        assert len(images) == len(ids) == len(patients) == len(targets) == count
        split = complete.split(name)
        rows = np.flatnonzero(~np.isin(split.sample_ids, bad))
        np.testing.assert_array_equal(ids, split.sample_ids[rows])
        np.testing.assert_array_equal(targets, split.targets[rows])
        np.testing.assert_array_equal(images, split.images(rows))


def test_cases_are_readable_images(bank: Bank) -> None:
    stage = bank.stage("data", component=Damaged("test-1", "test-3"))
    bank.compute(stage, compute_data)
    cases = bank.stage("cases", stage, component=stage.component)
    built = bank.compute(cases, compute_cases)
    actual = read_arrays(built.out("cases.h5"))
    assert actual["sample_id"][0] == "test-5"  # of the odd ones, which have a square
    with h5py.File(built.data(), "r") as file:
        stored = file["test/sample_ids"].asstr()[()]
        np.testing.assert_array_equal(stored[actual["position"]], actual["sample_id"])
        np.testing.assert_array_equal(file["test/images"][()][actual["position"]], actual["image"])


def test_nothing_changes_without_skips(bank: Bank) -> None:
    stage, stderr = read(bank, Damaged())
    assert stderr == ""
    folder = bank.stage_ctx(stage).cache.write_dir(stage)
    files = sorted(path.name for path in folder.iterdir() if path.is_file())
    assert files == ["data.h5", "summary.json"]
    other, _ = read(Bank(bank.root / "other"), Squares(BINARY))
    plain = Bank(bank.root / "other").stage_ctx(other).cache.write_dir(other) / "data.h5"
    assert (folder / "data.h5").read_bytes() == plain.read_bytes()


def test_broken_radiograph_is_left_out(bank: Bank, tmp_path: Path) -> None:
    root = tmp_path / "own"
    root.mkdir()
    rows = [f"{n}.png,p{n},{n}" for n in range(1, 201)]
    (root / "table.csv").write_text("\n".join(["file,patient,bnp", *rows]))
    for n in range(1, 201):
        Image.new("L", (8, 8), n).save(root / f"{n}.png")
    for n in (10, 20):
        (root / f"{n}.png").write_bytes(b"")
    _, stderr = read(bank, Radiographs(Radiographs.Settings(size=8), root))
    assert stderr.startswith("2 of 200 images cannot be used and are left out")
    (root / "30.png").write_bytes(b"")
    with pytest.raises(gvr.DataError, match=r"0\.01 of all 200 may be left out"):
        read(bank, Radiographs(Radiographs.Settings(size=8), root))
