"""Which layouts of subfolders are read how, what is left out of them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gvr_bench.api as gvr

KINDS = ("cat", "dog")


def fill(own, folders: list[str], n: int = 12) -> None:
    """Images of two classes in folders with {} for the class."""
    for k in range(n):
        for folder in folders:
            own.image(f"{folder.format(KINDS[k % 2])}/{k}.png")


def names(own) -> dict[str, set[str]]:
    return {name: set(part.sample_ids.tolist()) for name, part in own.splits().items()}


def cautions(own, **settings: object) -> str:
    return "\n".join(own.data(**settings).cautions())


# Splits


@pytest.mark.parametrize("split", [("train", "valid", "test"), ("Training", "VAL", "Testing"),
                                   ("train", "dev", "test")])  # fmt: skip
def test_splits_above_classes(own, split: tuple[str, ...]) -> None:
    fill(own, [f"{name}/{{}}" for name in split])
    assert own.data().task.outputs == KINDS
    for (name, ids), folder in zip(names(own).items(), split, strict=True):
        assert {path.split("/")[0] for path in ids} == {folder}, name


def test_splits_below_classes(own) -> None:
    fill(own, ["{}/train", "{}/test"], n=40)
    assert own.data().task.outputs == KINDS
    ids = names(own)
    assert {path.split("/")[1] for path in ids["train"] | ids["validation"]} == {"train"}
    assert {path.split("/")[1] for path in ids["test"]} == {"test"}
    assert len(ids["test"]) == 40


def test_images_beside_splits_of_class_are_refused(own) -> None:
    fill(own, ["{}/train", "{}/test"])
    own.image("cat/99.png")
    assert "cat has folders of splits and, beside them, images" in own.fault()


def test_class_may_be_called_train(own) -> None:
    for k in range(30):
        own.image(f"{('train', 'plane', 'boat')[k % 3]}/{k}.png")
    assert own.data().task.outputs == ("boat", "plane", "train")


def test_classes_may_be_called_valid(own) -> None:
    for k in range(20):
        own.image(f"{('valid', 'invalid')[k % 2]}/{k}.png")
    assert own.data().task.outputs == ("invalid", "valid")


def test_splits_without_classes_are_refused(own) -> None:
    for k in range(12):
        own.image(f"{('train', 'val', 'test')[k % 3]}/{k}.png")
    assert "holds images and no folders of classes" in own.fault()


def test_one_split_without_classes_is_refused(own) -> None:
    fill(own, ["train/{}", "val/{}"])
    own.image("test/1.png")
    assert "test holds images and no folders of classes" in own.fault()


def test_splits_without_train_are_refused(own) -> None:
    fill(own, ["val/{}", "test/{}"])
    assert "none called train" in own.fault()


def test_folder_around_classes_is_named(own) -> None:
    fill(own, ["archive/{}"])
    assert f"give that folder: --data-root {own.root / 'archive'}" in own.fault()


@pytest.mark.parametrize("folder", ["images", "masks", "Labels"])
def test_folders_that_are_no_classes_are_refused(own, folder: str) -> None:
    fill(own, ["{}"])
    own.image(f"{folder}/1.png")
    assert f"{folder!r} is no class" in own.fault()


# What is left out


@pytest.mark.parametrize("hidden", [".ipynb_checkpoints", ".git/objects", ".thumbs"])
def test_hidden_folder_is_left_out(own, hidden: str) -> None:
    fill(own, ["{}"], n=20)
    for kind in KINDS:
        own.image(f"{kind}/{hidden}/copy.png")
        own.image(f"{kind}/.hidden.png")
    own.image(f"{hidden}/copy.png")
    assert len(set.union(*names(own).values())) == 20
    assert "left out" not in cautions(own)


def test_content_decides_not_suffix(own) -> None:
    fill(own, ["{}"])
    for k, kind in enumerate(("PNG", "JPEG", "TIFF")):
        Image.fromarray(np.full((16, 16), 9, np.uint8)).save(own.root / f"cat/{k}.scan", kind)
    Image.fromarray(np.full((16, 16), 9, np.uint8)).save(own.root / "dog/plain", "PNG")
    assert len(set.union(*names(own).values())) == 16


def test_left_out_files_are_counted(own) -> None:
    fill(own, ["{}"])
    for k in range(3):
        Image.fromarray(np.full((16, 16), 9, np.uint8)).save(own.root / f"cat/{k}.bmp")
    own.text("a note", name="dog/readme.txt")
    line = cautions(own)
    assert "4 files are left out, for they are no PNG, JPEG, TIFF or DICOM (3 .bmp, 1 .txt)" in line
    assert "the first is 'cat/0.bmp'" in line


@pytest.mark.parametrize("above", ["", "train/"])
def test_class_without_images_is_named(own, above: str) -> None:
    fill(own, [f"{above}{{}}", "test/{}"] if above else ["{}"])
    (own.root / f"{above}cow").mkdir()
    Image.fromarray(np.full((16, 16), 9, np.uint8)).save(own.root / f"{above}cow/1.bmp")
    assert f"the folder '{above}cow' holds no image, so that it is no class" in cautions(own)


def test_images_outside_classes_are_counted(own) -> None:
    fill(own, ["train/{}", "test/{}"])
    own.image("a.png")
    own.image("train/b.png")
    assert "2 images lie in no folder of a class and are left out; the first is 'a.png'" in (
        cautions(own)
    )


def test_masks_beside_images_are_masks(own) -> None:
    """As in the breast ultrasound images of Al-Dhabyani et al. (2020)."""
    marked = np.zeros((2, 16, 16), np.uint8)
    marked[0, 2:5, 2:5] = marked[1, 9:12, 9:12] = 255
    for k in range(40):
        own.image(f"{KINDS[k % 2]}/scan ({k}).png")
        own.image(f"{KINDS[k % 2]}/scan ({k})_mask.png", marked[0])
        own.image(f"{KINDS[k % 2]}/scan ({k})_mask_1.png", marked[1])
    parts = own.splits()
    assert sum(map(len, parts.values())) == 40
    truth = parts["test"].truth
    assert truth is not None
    mask = truth(np.arange(2), np.zeros(2, np.int64)).mask
    assert mask is not None
    np.testing.assert_array_equal(mask[1], marked.any(axis=0))
    assert "80 files such as 'cat/scan (0)_mask.png' are taken for masks" in cautions(own)


def test_linked_class_is_read(own, tmp_path: Path) -> None:
    fill(own, ["{}"])
    (own.root / ".store").mkdir()
    own.image(".store/cow/1.png")
    (own.root / "cow").symlink_to(own.root / ".store/cow")
    (own.root / "dog/again").symlink_to(own.root)
    assert own.data().task.outputs == ("cat", "cow", "dog")
    (tmp_path / "away").mkdir()
    (own.root / "away").symlink_to(tmp_path / "away")
    with pytest.raises(gvr.DataError, match="is a link out of"):
        own.data().fingerprint()


def test_unknown_patients_are_said(own) -> None:
    fill(own, ["{}"])
    assert "each image counts as one" in cautions(own)


def persons(own, n: int = 8) -> None:
    """Three images of each person, of both classes in turn."""
    for k in range(n):
        for view in ("bacteria_1.png", "bacteria_2.tif", "virus_1.jpeg"):
            own.image(f"{KINDS[k % 2]}/person{k}_{view}")


def test_patients_in_file_names_are_said(own) -> None:
    persons(own)
    own.image("cat/IM-0115.png")
    said = cautions(own)
    assert "24 of 25 names begin alike, such as 3 with 'person0_'" in said
    assert "add patient_separator=_ to the settings" in said
    assert "patients" not in cautions(own, patient_separator="_")


def test_file_names_give_patients(own) -> None:
    persons(own)
    own.image("cat/IM-0115.png")
    people = [set(part.patient_ids) for part in own.splits(patient_separator="_").values()]
    assert set.union(*people) == {*(f"person{k}" for k in range(8)), "cat/IM-0115.png"}
    assert sum(map(len, people)) == 9


def test_names_that_begin_alike_without_number(own) -> None:
    for k in range(12):
        own.image(f"{KINDS[k % 2]}/scan_{k}.png")
        own.image(f"{KINDS[k % 2]}/ward2_{k}.png")
    assert "write a table with a column patient" in cautions(own)


def test_separator_beside_patients_is_refused(own) -> None:
    own.text("file,patient,finding", *(f"{k}.png,p{k},{k % 2}" for k in range(9)))
    assert "has a column of patients; leave out one" in own.fault(patient_separator="_")
