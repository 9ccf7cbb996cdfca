"""Cells as tables hold them: missing, uncertain, stray; columns and patients by their own names."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from gvr_datasets.image_tables import MISSING
from gvr_datasets.patients import unify_patients

# Missing


@pytest.mark.parametrize("word", sorted(MISSING))
def test_missing_words_are_those_of_pandas(own, word: str) -> None:
    own.fill("label", [0, 1, word] * 8)
    assert pd.read_csv(io.StringIO(f"file,label\na,{word}"))["label"].isna().all()
    assert own.data().task.kind == "binary"
    assert np.isnan(own.targets()["2.png"]).all()


def test_missing_word_is_no_class(own) -> None:
    own.fill("kind", ["cat", "dog", "NaN"] * 8)
    assert own.data().task.outputs == ("cat", "dog")


def test_measurement_with_missing_word(own) -> None:
    own.fill("bnp", [*(f"{n}.5" for n in range(48)), "NaN"])
    assert own.data(threshold=20).task.kind == "regression"
    assert "bnp is regression; say from where on" in own.fault()


def test_word_that_may_be_class_is_said(own) -> None:
    own.fill("finding", ["None", "mass", "nodule"] * 8)
    assert "8 cells 'None' are taken for empty ones" in "\n".join(own.data().cautions())


@pytest.mark.parametrize("column", ["patient", "split"])
def test_missing_word_of_other_column(own, column: str) -> None:
    own.fill("label", [0, 1])
    own.text(f"file,{column},label", "0.png,NaN,0", "1.png,x,1")
    assert "line 2" in own.fault()


def test_missing_mask_is_none(own) -> None:
    own.fill("label", [0, 1] * 8)
    own.text("file,label,mask", *(f"{n}.png,{n % 2},nan" for n in range(16)))
    assert own.data().split("train").truth is None


# Uncertain


@pytest.mark.parametrize("cells", [["1.0", "0.0", "-1.0", ""], ["1", "0", "-1", "0"]])
def test_uncertain_label_is_named(own, cells: list[str]) -> None:
    own.fill("Edema", cells * 8)
    line = own.fault()
    assert "'Edema' holds -1 in 8 rows, which means uncertain" in line
    assert "uncertain=ignore, uncertain=positive or uncertain=negative" in line
    assert "uncertain=ignore" in own.fault(task="binary")


@pytest.mark.parametrize(
    ("setting", "value"), [("ignore", np.nan), ("positive", 1), ("negative", 0)]
)
def test_uncertain_label_is_read_as_set(own, setting: str, value: float) -> None:
    own.fill("Edema", ["1.0", "0.0", "-1.0"] * 8)
    np.testing.assert_equal(own.targets(uncertain=setting)["2.png"], [value])
    assert own.data(uncertain=setting).task.kind == "binary"


def test_uncertain_in_one_of_several_columns(own) -> None:
    own.fill("Edema,Mass", ["1,0", "0,1", "1,-1"] * 8)
    assert "'Mass' holds -1 in 8 rows" in own.fault()
    assert own.targets(uncertain="positive")["2.png"] == [1, 1]


def test_three_classes_may_be_meant(own) -> None:
    own.fill("score", [-1, 0, 1] * 8)
    assert own.data(task="multiclass").task.outputs == ("-1", "0", "1")


def test_two_classes_may_be_signed(own) -> None:
    own.fill("side", [-1, 1] * 8)
    assert own.data().task.outputs == ("-1", "1")


# Stray


@pytest.mark.parametrize("stray", ["?", "n.d.", "see report"])
def test_stray_text_is_named(own, stray: str) -> None:
    own.fill("label", [0, 1] * 8 + [stray])
    assert f"holds numbers and, in 1 rows, text, such as {stray!r}" in own.fault()
    own.fill("bnp", [*(n + 0.5 for n in range(20)), stray])
    assert "holds numbers and" in own.fault()


def test_stray_number_is_named(own) -> None:
    own.fill("label", [0, 1] * 100 + [11])
    assert "holds 0 and 1 and, in 1 rows, other numbers, such as 11" in own.fault()
    own.fill("grade", [0, 1, 2] * 8)
    assert own.data().task.kind == "multiclass"


def test_column_of_masks_is_named(own) -> None:
    own.fill("lesion,roi", ["0,", "1,masks/a.png"] * 8)
    assert "'roi' names images; if they mark the finding, say mask=roi" in own.fault()


def test_many_whole_numbers_are_no_classes(own) -> None:
    own.fill("age", list(range(30, 60)))
    assert "holds 30 different whole numbers; say task=multiclass" in own.fault()
    assert own.data(task="multiclass").task.kind == "multiclass"


# Columns by their own names


def test_columns_as_they_are_named(own) -> None:
    own.fill("x", [0] * 24)
    own.text("filename,patient_id,fold,roi,lesion", *(
        f"{n}.png,p{n // 2},{('train', 'val', 'test')[n // 2 % 3]},m.png,{n % 2}" for n in range(24)
    ))  # fmt: skip
    own.image("m.png", np.eye(16, dtype=np.uint8))
    parts = own.splits(file="filename", patient="patient_id", split="fold", mask="roi")
    assert len(set(parts["test"].patient_ids)) == 4
    assert parts["test"].truth is not None
    assert own.data(
        file="filename", patient="patient_id", split="fold", mask="roi"
    ).task.outputs == ("lesion",)


@pytest.mark.parametrize("column", ["filename", "image_id", "Image Index", "path"])
def test_column_of_files_is_suggested(own, column: str) -> None:
    own.text(f"{column},lesion", "a.png,1")
    assert f"--dataset folder:file={column}" in own.fault()


def test_named_column_must_be_there(own) -> None:
    own.fill("lesion", [0, 1] * 8)
    assert "has no column 'person'" in own.fault(patient="person")


def test_images_folder_and_suffix_may_be_left_out(own) -> None:
    for n in range(16):
        own.image(f"scans/{n:03d}.{'png' if n % 2 else 'tif'}")
    own.text("image_id,lesion", *(f"{n:03d},{n % 2}" for n in range(16)))
    names = own.targets(file="image_id", images="scans")
    assert {"scans/001.png", "scans/002.tif"} <= set(names)
    own.text("image_id,lesion", "017,1")
    assert "1 of the 1 images" in own.fault(file="image_id", images="scans")


@pytest.mark.parametrize("separator", ["\t", ";", ","])
def test_separator_is_that_of_first_line(own, separator: str) -> None:
    own.fill("label", [0, 1] * 8)
    rows = [("file", "patient", "label"), *((f"{n}.png", f"p{n}", str(n % 2)) for n in range(16))]
    own.text(*map(separator.join, rows))
    assert own.data().task.outputs == ("label",)
    assert own.targets()["1.png"] == [1]


# Patients


@pytest.mark.parametrize(
    ("identifiers", "n"),
    [
        (["3", "3.0", "0003"], 1),
        (["P3", "p3", "P003"], 1),
        (["site1-004", "SITE1-4"], 1),
        (["10", "1.0", "1"], 2),
        (["3", "P3"], 2),
        (["a3", "b3"], 2),
        (["3.5", "3"], 2),
        (["3_1", "3_2"], 2),
    ],
)
def test_spellings_of_one_patient(identifiers: list[str], n: int) -> None:
    assert len(set(unify_patients(identifiers).spelling.values())) == n


def test_spellings_stay_in_one_split(own) -> None:
    own.fill("label", [0, 1] * 20)
    own.text("file,patient,label", *(
        f"{n}.png,{(f'{n // 4}', f'{n // 4}.0', f'000{n // 4}', f'{n // 4}')[n % 4]},{n % 2}"
        for n in range(40)
    ))  # fmt: skip
    groups = [set(part.patient_ids.tolist()) for part in own.splits().values()]
    assert len(set.union(*groups)) == sum(map(len, groups)) == 10
    (line,) = own.data().cautions()
    assert "10 patients are spelt in several ways, as '0' and '0.0'" in line


def test_spellings_in_two_splits_are_named(own) -> None:
    own.fill("label", [0, 1, 0, 1])
    own.text("file,patient,split,label", "0.png,P3,train,0", "1.png,p3,test,1",
             "2.png,b,val,0", "3.png,c,test,0")  # fmt: skip
    assert "line 3: patient 'P3' is in test and in train" in own.fault()


def test_number_with_and_without_prefix_is_said(own) -> None:
    own.fill("label", [0, 1] * 8)
    own.text("file,patient,label", *(f"{n}.png,{'P' if n % 4 == 1 else ''}{n // 2},{n % 2}"
                                     for n in range(16)))  # fmt: skip
    (line,) = own.data().cautions()
    assert "4 numbers of patients occur with a prefix and without, as '0' and 'P0'" in line
