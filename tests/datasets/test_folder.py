"""Your own images with a table of anything: tables, tasks, splits, masks, and what is refused."""

from __future__ import annotations

import shutil

import numpy as np
import pydantic
import pytest
from gvr_datasets.folder.dataset import ImageFolder

import gvr_bench.api as gvr

# What is not there


def test_missing_folder_names_alternatives() -> None:
    with pytest.raises(gvr.DataError) as caught:
        ImageFolder(ImageFolder.Settings(), None).fingerprint()
    for part in ("no folder", "--data-root DIR", "one subfolder", "--dataset phantom"):
        assert part in str(caught.value)


def test_empty_folder_is_named(own) -> None:
    own.image("1.png")
    assert f"no table.csv in {own.root}, and no subfolders with images" in own.fault()


def test_table_outside_folder_is_refused(own) -> None:
    assert "'../table.csv' is not the path of" in own.fault(table="../table.csv")


def test_missing_images_and_masks_counted(own) -> None:
    own.fill("label", [0, 1, 0, 1])
    (own.root / "2.png").unlink()
    assert "1 of the 4 images named in" in own.fault()
    own.fill("label", [0, 1, 0, 1])
    own.text("file,label,mask", "0.png,0,", "1.png,1,m.png", "2.png,0,", "3.png,1,")
    assert f"the first is {str(own.root / 'm.png')!r}" in own.fault()


# Tables that are refused


def test_a_table_without_labels_is_refused(own) -> None:
    own.text("file,patient,split,mask", "a.png,p1,train,")
    assert "has no column of labels" in own.fault()


def test_missing_file_column_is_named(own) -> None:
    own.text("image,label", "a.png,1")
    assert "has no column 'file'" in own.fault()


def test_unknown_target_column_is_named(own) -> None:
    own.fill("label", [0, 1, 0, 1])
    assert "has no column 'Mass'" in own.fault(targets="Mass")
    assert "the column 'patient' cannot be a target" in own.fault(targets="patient")


@pytest.mark.parametrize("again", ["0.png", "./0.png"])
def test_duplicate_rows_are_refused(own, again) -> None:
    own.fill("label", [0, 1, 0])
    own.text("file,label", "0.png,0", "1.png,1", f"{again},1")
    assert "line 4: '0.png' has a row already" in own.fault()


@pytest.mark.parametrize("name", ["../x.png", "/etc/x.png", r"a\x.png", "C:x"])
@pytest.mark.parametrize("column", ["file", "mask"])
def test_path_outside_folder_is_refused(own, name, column) -> None:
    own.image("1.png")
    row = f"{name},1," if column == "file" else f"1.png,1,{name}"
    own.text("file,label,mask", row)
    assert f"line 2: {name!r} is not the path of an image inside the folder" in own.fault()


def test_an_image_of_nobody_is_refused(own) -> None:
    own.text("file,patient,label", "a.png,,1")
    assert "line 2: 'a.png' has no patient" in own.fault()


def test_unknown_split_names_its_line(own) -> None:
    own.text("file,split,label", "a.png,train,1", "b.png,holdout,1")
    message = own.fault()
    assert "line 3: split 'holdout' is none of train, validation, test" in message


def test_a_split_without_images_is_refused(own) -> None:
    own.fill("label", [0, 1, 0])
    own.text("file,split,label", "0.png,train,0", "1.png,train,1", "2.png,val,0")
    assert "has no test images" in own.fault()


def test_absent_validation_is_drawn_from_train(own) -> None:
    for n in range(24):
        own.image(f"{'Train' if n % 3 else 'TEST'}/{'cat' if n % 2 else 'dog'}/{n}.png")
    parts = {name: set(part.sample_ids.tolist()) for name, part in own.splits().items()}
    assert {name.split("/")[0] for name in parts["validation"]} == {"Train"}
    assert {name.split("/")[0] for name in parts["test"]} == {"TEST"}
    assert not parts["validation"] & parts["train"]
    assert len(parts["test"]) == 8


def test_usual_spelling_of_splits(own) -> None:
    for n in range(12):
        own.image(f"{('train', 'valid', 'test')[n % 3]}/{'cat' if n % 2 else 'dog'}/{n}.png")
    assert own.data().task.outputs == ("cat", "dog")


def test_foreign_folder_beside_splits_is_refused(own) -> None:
    for n in range(12):
        own.image(f"{('train', 'val', 'test')[n % 3]}/{'cat' if n % 2 else 'dog'}/{n}.png")
    (own.root / "docs").mkdir()
    own.text("notes", name="docs/readme.txt")
    assert own.data().task.outputs == ("cat", "dog")
    own.image("extra/1.png")
    assert "beside them, 'extra' with images" in own.fault()


def test_patient_in_two_splits_named(own) -> None:
    own.fill("label", [0, 1, 0, 1])
    own.text("file,patient,split,label", "0.png,a,train,0", "1.png,a,test,1",
             "2.png,b,validation,0", "3.png,c,test,0")  # fmt: skip
    assert "line 3: patient 'a' is in test and in train" in own.fault()


def test_unlabelled_split_is_named(own) -> None:
    own.fill("label", [0, 1, 0])
    own.text("file,split,label", "0.png,train,0", "1.png,validation,1", "2.png,test,")
    message = own.fault()
    assert "no image of the test split is labelled: fill in label" in message
    own.fill("label", [0, 1, *[""] * 20])
    assert "--dataset folder:seed=1" in own.fault()


def test_fewer_than_three_patients_are_refused(own) -> None:
    own.fill("label", [0, 1])
    assert "at least one patient each" in own.fault()


# Labels that do not fit


def test_constant_labels_are_refused(own) -> None:
    own.fill("label", [1] * 9)
    assert "every label is 1; there is nothing to tell apart" in own.fault()
    own.fill("kind", ["cat"] * 9)
    assert "'kind' holds 1 class(es)" in own.fault()


def test_table_without_labels_is_refused(own) -> None:
    own.fill("label", [""] * 9)
    assert "no row of" in own.fault()


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_non_binary_cell_names_its_line(own, task) -> None:
    own.fill("label", [0, 1, 0, 2])
    assert f"line 5: label '2' is neither 0 nor 1, as {task} needs" in own.fault(task=task)


@pytest.mark.parametrize("cell", ["high", "inf", "1_0", "1e39"])
def test_non_numeric_cell_names_its_line(own, cell) -> None:
    own.fill("bnp", [1, 2, cell, 4.5])
    message = own.fault(task="regression", threshold=2)
    assert f"line 4: bnp {cell!r} is not a number" in message


def test_non_positive_value_names_its_line(own) -> None:
    own.fill("bnp", [1, 2, 0, 4.5])
    assert "line 4: bnp '0' is not a positive number" in own.fault(threshold=2, log=True)
    assert "threshold=-1 has no logarithm" in own.fault(threshold=-1, log=True)


def test_regression_needs_a_threshold(own) -> None:
    own.fill("bnp", [1.5, 2, 3, 4])
    assert "bnp is regression; say from where on a case is positive" in own.fault()


def test_numeric_columns_ask_for_targets(own) -> None:
    own.fill("age,lesion", ["61,0", "62,1", "63,1", "64,0"])
    message = own.fault()
    assert "'age' holds more; choose what is predicted with targets=" in message


def test_too_many_classes_are_refused(own) -> None:
    own.fill("name", [f"name-{n}" for n in range(60)])
    assert "holds 60 different texts, at most 50 are taken for classes" in own.fault()


def test_two_columns_are_not_one_class(own) -> None:
    own.fill("a,b", ["0,1"] * 4)
    assert "a multiclass task has one column" in own.fault(task="multiclass")


@pytest.mark.parametrize("setting", [{"threshold": 1}, {"unit": "g"}, {"log": True}])
def test_settings_of_another_task_are_refused(own, setting) -> None:
    own.fill("label", [0, 1] * 8)
    assert "for regression alone, and this task is binary" in own.fault(task="binary", **setting)
    assert "source and target are for multiclass" in own.fault(source="1")


def test_unknown_class_lists_known(own) -> None:
    own.fill("kind", ["cat", "dog", "cow"] * 3)
    assert "source=ct is no class; known: cat, cow, dog" in own.fault(source="ct")
    assert "source and target are both 'cat'" in own.fault(source="cat", target="0")


@pytest.mark.parametrize("bad", [{"size": 4}, {"channels": 2}, {"task": "guess"}, {"divisor": 0}])
def test_settings_out_of_range_are_refused(bad) -> None:
    with pytest.raises(pydantic.ValidationError, match=next(iter(bad))):
        ImageFolder.Settings(**bad)


# Tasks read off the table


@pytest.mark.parametrize(
    ("column", "cells", "kind", "outputs"),
    [
        ("lesion", ["0", "1", ""], "binary", ("lesion",)),
        ("lesion", ["0.0", "1.0", "1.0"], "binary", ("lesion",)),
        ("a,b", ["0,1", "1,", "1,1"], "multilabel", ("a", "b")),
        ("kind", ["dog", "cat", "dog"], "multiclass", ("cat", "dog")),
        ("grade", ["10", "9", "2.0"], "multiclass", ("2", "9", "10")),
        ("side", ["1", "2", "2"], "multiclass", ("1", "2")),
    ],
)
def test_task_is_inferred_from_columns(own, column, cells, kind, outputs) -> None:
    own.fill(column, cells * 10)
    task = own.data().task
    assert (task.kind, task.outputs) == (kind, outputs)


def test_a_threshold_makes_it_a_regression(own) -> None:
    own.fill("bnp", [10, 200, 3000] * 4)
    task = own.data(threshold=100, unit="ng/L", log=True, divisor=10).task
    assert task == gvr.Task(
        kind="regression",
        outputs=("bnp",),
        unit="ng/L",
        threshold=100,
        scale=gvr.Scale(log=True, divisor=10),
    )


def test_default_classes_are_most_frequent(own) -> None:
    own.fill("kind", ["a", "b", "b", "c", "c", "c"] * 3)
    task = own.data().task
    assert (task.outputs[task.source or 0], task.outputs[task.target or 0]) == ("c", "b")
    task = own.data(source="b").task
    assert (task.source, task.target) == (1, 2)
    task = own.data(source="0", target="b").task
    assert (task.source, task.target) == (0, 1)


def test_case_settings_keep_images(own) -> None:
    own.fill("kind", ["a", "b", "c"] * 4)
    assert {"source", "target"} == set(own.data().case_settings)


def test_targets_as_text_or_list(own) -> None:
    own.fill("age,a,b", ["61,0,1", "62,1,0", "63,1,1"] * 4)
    for targets in ("b+a", ["b", "a"]):
        data = own.data(targets=targets)
        assert data.task.outputs == ("b", "a")
    assert own.targets(targets="b+a")["0.png"] == [1, 0]


def test_an_empty_cell_is_not_labelled(own) -> None:
    own.fill("kind", ["dog", "", "cat"] * 8)
    actual = own.targets()
    np.testing.assert_equal([actual[f"{n}.png"][0] for n in range(3)], [1, np.nan, 0])


def test_unnamed_columns_are_ignored(own) -> None:
    own.text(",file,lesion", *(f"{n},{n}.png,{n % 2}" for n in range(12)))
    for n in range(12):
        own.image(f"{n}.png")
    assert own.data().task.outputs == ("lesion",)


# Splits, patients, images


def test_the_table_decides_the_split(own) -> None:
    own.fill("label", [0, 1, 0, 1])
    own.text("file,split,label", "0.png,train,0", "1.png,test,1", "2.png,val,0", "3.png,train,1")
    actual = {name: part.sample_ids.tolist() for name, part in own.splits(seed=5).items()}
    assert actual == {"train": ["0.png", "3.png"], "validation": ["2.png"], "test": ["1.png"]}


def test_images_default_to_own_patient(own) -> None:
    own.fill("label", [0, 1] * 20)
    for part in own.splits().values():
        assert part.patient_ids.tolist() == part.sample_ids.tolist()


def test_patients_are_kept_together(own) -> None:
    own.fill("label", [0, 1] * 20)
    own.text("file,patient,label", *(f"{n}.png,p{n // 4},{n % 2}" for n in range(40)))
    groups = [set(part.patient_ids) for part in own.splits().values()]
    assert len(set.union(*groups)) == sum(map(len, groups)) == 10


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_grey_or_coloured(own, channels) -> None:
    own.fill("label", [0, 1] * 8)
    data = own.data(channels=str(channels))  # as it is typed
    part = data.split("train")
    own.image(str(part.sample_ids[0]), np.full((16, 16, 3), (200, 0, 0), np.uint8))
    images = part.images(np.array([0]))
    assert images.shape == (1, *((channels, 16, 16))) == (1, data.image.channels, 16, 16)
    assert images[0, :, 8, 8].tolist() == ([60] if channels == 1 else [200, 0, 0])


# Masks


def test_masks_lie_where_their_images_do(own) -> None:
    rows = [f"{n}.png,{n % 2},{'m.png' if n % 2 else ''}" for n in range(12)]
    own.text("file,lesion,mask", *rows)
    for n in range(12):
        own.image(f"{n}.png", np.full((16, 32), 99, np.uint8))
    marked = np.zeros((16, 32), np.uint8)
    marked[4:8, 2:10] = 1
    own.image("m.png", marked)
    part = own.data(size=32).split("train")
    assert part.truth is not None
    index = np.arange(len(part))
    masks = part.truth(index, np.zeros_like(index)).mask
    expected = np.zeros((32, 32), np.bool_)
    expected[12:16, 2:10] = True
    assert masks is not None
    for mask, target in zip(masks, part.targets[:, 0], strict=True):
        np.testing.assert_array_equal(mask, expected if target else np.zeros_like(expected))


def test_mask_of_other_shape_named(own) -> None:
    own.text("file,lesion,mask", *(f"{n}.png,{n % 2},m.png" for n in range(12)))
    for n in range(12):
        own.image(f"{n}.png")
    own.image("m.png", np.zeros((16, 20), np.uint8))
    truth = own.data().split("test").truth
    assert truth is not None
    with pytest.raises(gvr.DataError, match="draw it on the image itself"):
        truth(np.array([0]), np.array([0]))


def test_no_masks_no_truth(own) -> None:
    own.fill("label", [0, 1] * 8)
    assert own.data().split("test").truth is None


# Subfolders


def test_subfolders_are_classes(own) -> None:
    for n in range(12):
        own.image(f"{'cat' if n % 3 else 'dog'}/deep/{n}.png")
    own.text("not an image", name="cat/notes.txt")
    own.image(".hidden/1.png")
    own.image("cat/.thumbnails/1.png")
    data = own.data()
    assert (data.task.kind, data.task.outputs) == ("multiclass", ("cat", "dog"))
    assert own.targets()["dog/deep/3.png"] == [1]
    assert len(own.targets()) == 12


def test_subfolders_of_splits_are_kept(own) -> None:
    for n in range(12):
        own.image(f"{('train', 'val', 'test')[n % 3]}/{'cat' if n % 2 else 'dog'}/{n}.png")
    actual = {name: sorted(part.sample_ids.tolist()) for name, part in own.splits().items()}
    assert actual["validation"] == ["val/cat/1.png", "val/cat/7.png", "val/dog/10.png",
                                   "val/dog/4.png"]  # fmt: skip
    assert own.data().task.outputs == ("cat", "dog")


def test_targets_without_a_table_are_refused(own) -> None:
    for n in range(12):
        own.image(f"{n % 2}/{n}.png")
    assert "targets name columns of it" in own.fault(targets="age")


def test_linked_subfolder_is_refused(own, tmp_path) -> None:
    own.image("cat/1.png")
    away = own.root / "cat"
    away.rename(tmp_path / "away")
    away.symlink_to(tmp_path / "away")
    assert "is a link out of" in own.fault()


# Fingerprint


def test_moving_the_folder_keeps_the_fingerprint(own, tmp_path) -> None:
    own.fill("label", [0, 1] * 8)
    moved = shutil.copytree(own.root, tmp_path / "moved")
    assert ImageFolder(ImageFolder.Settings(), moved).fingerprint() == own.data().fingerprint()


@pytest.mark.parametrize("change", ["label", "image", "mask"])
def test_changed_data_changes_fingerprint(own, change) -> None:
    own.fill("label,mask", ["0,", "1,m.png"] * 8)
    own.image("m.png")
    before = own.data().fingerprint()
    if change == "label":
        own.fill("label,mask", ["1,", "1,m.png", *["0,", "1,m.png"] * 7])
    else:
        own.image("m.png" if change == "mask" else "3.png", np.eye(16, dtype=np.uint8) * 200)
    assert own.data().fingerprint() != before


# Masks of lungs, and images without labels


def test_lung_masks_are_a_region_and_no_target(own) -> None:
    own.text("file,ill,lung_mask", *(f"{n}.png,{n % 2},lungs.png" for n in range(20)))
    half = np.zeros((16, 16), np.uint8)
    half[:, :8] = 255
    own.image("lungs.png", half)
    for n in range(20):
        own.image(f"{n}.png")
    split = own.splits()["train"]
    assert own.data().task.outputs == ("ill",)
    assert split.truth is None
    assert split.region is not None
    np.testing.assert_array_equal(split.region(np.array([0, 1])), [half > 0, half > 0])


def test_folder_of_masks_is_no_class(own) -> None:
    for n in range(10):
        own.image(f"ill/{n}.png")
        own.image(f"well/{n}.png")
    own.image("masks/well/3.png", np.full((16, 16), 255, np.uint8))
    data = own.data(lung_masks="masks")
    assert data.task.outputs == ("ill", "well")
    known = {
        str(name): bool(mask.any())
        for split in own.splits(lung_masks="masks").values()
        for name, mask in zip(split.sample_ids, split.region(np.arange(len(split))), strict=True)
    }
    assert [name for name, has in known.items() if has] == ["well/3.png"]
    assert len(known) == 20


def test_absent_folder_of_masks_is_named(own) -> None:
    own.fill("ill", [0, 1] * 5)
    assert "masks, which lung_masks=masks names" in own.fault(lung_masks="masks")


def test_images_without_labels_need_no_table(own) -> None:
    for n in range(8):
        own.image(f"some/{n}.png")
        own.image(f"{n}.png")
    splits = own.splits(task="none")
    assert sum(map(len, splits.values())) == 16
    assert all(np.isnan(split.targets).all() for split in splits.values())


def test_table_without_labels_names_the_way_out(own) -> None:
    own.text("file,patient", *(f"{n}.png,p{n // 2}" for n in range(10)))
    for n in range(10):
        own.image(f"{n}.png")
    assert own.fault().endswith("to use the images without labels, add task=none")
    assert len(own.splits(task="none")["train"]) > 4
