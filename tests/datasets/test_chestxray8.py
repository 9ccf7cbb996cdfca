"""The NIH release: what is not there, and what its table of labels says."""

from __future__ import annotations

import numpy as np
import pytest
from gvr_datasets.chestxray8.dataset import ChestXray8

import gvr_bench.api as gvr

EIGHT = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration",
    "Mass", "Nodule", "Pneumonia", "Pneumothorax",
)  # fmt: skip


def fault(root: object) -> str:
    with pytest.raises(gvr.DataError) as caught:
        ChestXray8(ChestXray8.Settings(), root).fingerprint()
    return str(caught.value)


# What is not there


@pytest.mark.parametrize("with_root", [True, False])
def test_missing_data_names_alternatives(tmp_path, with_root) -> None:
    message = fault(tmp_path if with_root else None)
    for part in (
        "Data_Entry_2017.csv",
        "images_001/images ... images_012/images",
        "112,120 images, about 45 GB",
        "https://nihcc.app.box.com/v/ChestXray-NIHCC",
        "--data-root DIR",
        "gvr-bench run --dataset phantom",
    ):
        assert part in message
    assert (str(tmp_path) in message) == with_root


def test_missing_folder_is_named(tmp_path) -> None:
    assert str(tmp_path / "nowhere") in fault(tmp_path / "nowhere")


def test_table_without_images_is_refused(nih, patients) -> None:
    nih.table(patients(5))
    assert f"no images/ and no images_001/images in {nih.root}" in nih.fault()


def test_missing_images_are_counted(nih, patients) -> None:
    nih.fill(patients(10))
    (nih.root / "images" / "00000003_000.png").unlink()
    (nih.root / "images" / "00000007_000.png").unlink()
    message = nih.fault()
    assert "2 of the 10 images" in message
    assert "the first is 00000003_000.png" in message
    assert f"looked in {nih.root / 'images'}" in message
    assert "--dataset chestxray8:missing=skip" in message


def test_missing_images_can_be_skipped(nih, patients) -> None:
    nih.fill(patients(10))
    (nih.root / "images" / "00000003_000.png").unlink()
    parts = nih.splits(missing="skip")
    ids = {name for part in parts.values() for name in part.sample_ids}
    assert len(ids) == 9
    assert "00000003_000.png" not in ids


def test_skipping_needs_one_image(nih, patients) -> None:
    nih.table(patients(5))
    nih.image("else.png")
    assert "5 of the 5 images" in nih.fault(missing="skip")


# Tables that cannot be read


def test_a_missing_column_is_named(nih) -> None:
    nih.text("Data_Entry_2017.csv", ["Image Index,Finding Labels,Age", "a.png,Mass,60"])
    assert "no column 'Patient ID'" in nih.fault()


@pytest.mark.parametrize("lines", [[], ["", ""]])
def test_an_empty_table_is_named(nih, lines) -> None:
    path = nih.text("Data_Entry_2017.csv", lines)
    assert f"{path} has no column 'Image Index', 'Finding Labels', 'Patient ID'" in nih.fault()


def test_table_without_rows_is_refused(nih) -> None:
    nih.table([])
    assert "has a header but no rows" in nih.fault()


def test_binary_table_is_named(nih) -> None:
    path = nih.table([])
    path.write_bytes(b"\xff\xd8\xff\xe0 a photograph")
    assert f"cannot read {path}" in nih.fault()


def test_short_row_names_its_line(nih, patients) -> None:
    path = nih.table(patients(3))
    path.write_text(path.read_text() + "00000009_000.png,Mass\n")
    assert f"{path}, line 5, has 2 fields, at least 4 expected" in nih.fault()


def test_duplicate_rows_are_refused(nih, patients) -> None:
    nih.fill([*patients(3), ("00000002_000.png", "Mass", "2")])
    assert "line 5: 00000002_000.png has a row already" in nih.fault()


def test_an_image_of_nobody_is_refused(nih) -> None:
    nih.table([("a.png", "Mass", "")])
    assert "line 2: a.png has no Patient ID" in nih.fault()


@pytest.mark.parametrize(
    "name", ["../x.png", "/etc/x.png", "a/b.png", r"..\x.png", "C:x", "..", ""]
)
def test_name_outside_folder_is_refused(nih, name) -> None:
    nih.table([(name, "Mass", "1")])
    assert f"line 2: {name!r} is not the plain name of an image file" in nih.fault()


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("Cardiomegali", "unknown finding 'Cardiomegali'; known: Atelectasis"),
        ("", "unknown finding ''"),
        ("Mass|", "unknown finding ''"),
        ("No Finding|Mass", "'No Finding|Mass' joins 'No Finding' with a finding"),
    ],
)
def test_unknown_finding_is_refused(nih, cell, expected) -> None:
    nih.table([("a.png", cell, "1")])
    message = nih.fault()
    assert "line 2: " in message
    assert expected in message


# Tables as they are


def test_findings_keep_published_order(nih) -> None:
    nih.fill(
        [
            ("a.png", "No Finding", "1"),
            ("b.png", "Pneumothorax|Atelectasis", "2"),
            ("c.png", "Hernia|Mass", "3"),
            ("d.png", "Pleural_Thickening", "4"),
        ]
    )
    data = nih.data()
    assert (data.task.kind, data.task.outputs) == ("multilabel", EIGHT)
    actual = {}
    for part in nih.splits().values():
        assert part.targets.dtype == np.float32
        assert part.targets.shape == (len(part), 8)
        for name, target in zip(part.sample_ids, part.targets, strict=True):
            actual[str(name)] = [EIGHT[k] for k in np.flatnonzero(target)]
    assert actual == {
        "a.png": [],
        "b.png": ["Atelectasis", "Pneumothorax"],
        "c.png": ["Mass"],
        "d.png": [],
    }


@pytest.mark.parametrize("end", ["", ",", ",,,", "\r", ",\r"])
def test_empty_fields_and_crlf_are_accepted(nih, patients, end) -> None:
    nih.fill(patients(6))
    expected = nih.splits()
    path = nih.table(patients(6), end=end)
    path.write_text(path.read_text() + "\n,,,\n")
    for name, part in nih.splits().items():
        assert list(part.sample_ids) == list(expected[name].sample_ids)


def test_columns_by_name_despite_bom(nih) -> None:
    rows = [f"{n},Mass,p{n}.png" for n in range(5)]
    nih.text("Data_Entry_2017.csv", ["\ufeffPatient ID,Finding Labels,Image Index", *rows])
    for n in range(5):
        nih.image(f"p{n}.png")
    assert sum(map(len, nih.splits().values())) == 5


def test_table_of_2020_is_read(nih, patients) -> None:
    nih.fill(patients(5))
    (nih.root / "Data_Entry_2017.csv").rename(nih.root / "Data_Entry_2017_v2020.csv")
    assert sum(map(len, nih.splits().values())) == 5


def test_images_without_a_row_are_ignored(nih, patients) -> None:
    nih.fill(patients(5))
    before = nih.data().fingerprint()
    nih.image("unknown.png")
    data = nih.data()
    assert sum(map(len, nih.splits().values())) == 5
    assert data.fingerprint() == before
