"""Boxes, polygons and run lengths become masks of the right output, in the right place."""

from __future__ import annotations

import csv
import gzip
import importlib.machinery
import importlib.util
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gvr_datasets.regions import Runs

import gvr_bench.api as gvr

SIZE = 32


def fill(own, names: list[str], column: str = "lesion", shape: tuple[int, int] = (32, 32)) -> None:
    """Images, half of them positive."""
    own.text(f"file,{column}", *(f"{name},{k % 2}" for k, name in enumerate(names)))
    for name in names:
        own.image(name, np.full(shape, 99, np.uint8))


def masks(own, output: int = 0, **settings: object) -> dict[str, np.ndarray]:
    found = {}
    for part in own.splits(size=SIZE, **settings).values():
        assert part.truth is not None
        index = np.arange(len(part))
        mask = part.truth(index, np.full(len(part), output)).mask
        assert mask is not None
        found |= dict(zip(part.sample_ids.tolist(), mask, strict=True))
    return found


def block(rows: slice, columns: slice) -> np.ndarray:
    marked = np.zeros((SIZE, SIZE), np.bool_)
    marked[rows, columns] = True
    return marked


PNGS = [f"{k}.png" for k in range(16)]


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("x,y,w,h", "4,8,10,6"),
        ("x,y,width,height", "4,8,10,6"),
        ("x_min,y_min,x_max,y_max", "4,8,14,14"),
        ("x1,y1,x2,y2", "4,8,14,14"),
    ],
)
def test_boxes_of_a_table_are_masks(own, header: str, cells: str) -> None:
    fill(own, PNGS)
    own.text(f"file,{header}", f"3.png,{cells}", "5.png,,,,", name="boxes.csv")
    found = masks(own, regions="boxes.csv")
    np.testing.assert_array_equal(found["3.png"], block(slice(8, 14), slice(4, 14)))
    assert not any(mask.any() for name, mask in found.items() if name != "3.png")


def test_boxes_follow_letterboxed_image(own) -> None:
    fill(own, PNGS, shape=(32, 64))
    own.text("file,x,y,w,h", "3.png,8,16,20,12", name="boxes.csv")
    np.testing.assert_array_equal(
        masks(own, regions="boxes.csv")["3.png"], block(slice(16, 22), slice(4, 14))
    )


def test_boxes_belong_to_their_output(own) -> None:
    own.fill("a,b", ["0,1", "1,0"] * 8)
    own.text("file,finding,x,y,w,h", "3.png,A,0,0,8,8", "3.png,b,8,8,8,8", name="boxes.csv")
    first, second = (masks(own, k, regions="boxes.csv")["3.png"] for k in (0, 1))
    np.testing.assert_array_equal(first, block(slice(0, 16), slice(0, 16)))
    np.testing.assert_array_equal(second, block(slice(16, 32), slice(16, 32)))


def test_boxes_and_masks_are_joined(own) -> None:
    fill(own, PNGS)
    own.text("file,lesion,mask", *(f"{n},{k % 2},{'m.png' if k == 3 else ''}"
                                   for k, n in enumerate(PNGS)))  # fmt: skip
    own.image("m.png", block(slice(0, 4), slice(0, 4)).astype(np.uint8))
    own.text("file,x,y,w,h", "3.png,8,8,4,4", name="boxes.csv")
    assert masks(own, regions="boxes.csv")["3.png"].sum() == 32


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["file,x,y", "3.png,1,2"], "has no columns x, y, w, h"),
        (["file,x,y,w,h", "3.png,a,2,3,4"], "line 2: could not convert string to float: 'a'"),
        (["file,x,y,w,h", "3.png,1,2,0,4"], "line 2: the box 0 x 4 is empty"),
        (["file,x,y,w,h", "99.png,1,2,3,4"], "marks none of the images"),
        (["file,finding,x,y,w,h", "3.png,a,1,2,3,4", "3.png,b,1,2,3,4"], "none is predicted"),
    ],
)
def test_boxes_that_do_not_fit_are_named(own, lines: list[str], says: str) -> None:
    fill(own, PNGS)
    own.text(*lines, name="boxes.csv")
    assert says in own.fault(regions="boxes.csv")


def test_box_outside_its_image_is_named(own) -> None:
    fill(own, PNGS)
    own.text("file,x,y,w,h", "3.png,30,30,500,9", name="boxes.csv")
    with pytest.raises(gvr.DataError, match=r"'3\.png' lies outside of its 32 x 32 pixels"):
        masks(own, regions="boxes.csv")


def test_regions_are_part_of_fingerprint(own) -> None:
    fill(own, PNGS)
    keys = {own.data().fingerprint()}
    for x in (1, 2):
        own.text("file,x,y,w,h", f"3.png,{x},1,2,2", name="boxes.csv")
        keys.add(own.data(regions="boxes.csv").fingerprint())
    assert len(keys) == 3


def test_polygons_of_chestx_det(own) -> None:
    """In pixels of the release, whatever the size of the user's copy."""
    fill(own, PNGS, "Effusion", (64, 64))
    corners = [[0, 0], [511, 0], [511, 255], [0, 255]]
    entry = {"file_name": "3.png", "syms": ["Effusion", "Mass"], "boxes": [], "polygons": [corners]}
    own.text(json.dumps([entry | {"polygons": [corners, [[900, 900], [950, 900], [950, 950]]]}]),
             name="train.json")  # fmt: skip
    np.testing.assert_array_equal(
        masks(own, regions="train.json")["3.png"], block(slice(0, 8), slice(0, 16))
    )
    own.text(json.dumps([{"file_name": "3.png"}]), name="train.json")
    assert "entries with file_name, syms and polygons expected" in own.fault(regions="train.json")


def test_runs_go_down_the_columns() -> None:
    marked = np.zeros((4, 3), np.bool_)
    Runs(((1, 2), (3, 2))).draw(marked)
    np.testing.assert_array_equal(np.argwhere(marked.T), [[0, 1], [0, 2], [1, 2], [1, 3]])


# Tables that come with torchxrayvision


def packed(text: str, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(text.encode())
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("labels.csv", text)
    return content.getvalue()


TABLES = {
    "rsna": ("kaggle_stage_2_train_labels.csv.zip", "Pneumonia",
             "patientId,x,y,width,height,Target\nim3,0,0,512,256,1\nim5,,,,,0\n"),
    "vindr": ("vinbigdata-train.csv.gz", "Mass",
              "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n"
              "im3,Mass,3,R1,0,0,16,8\nim3,Other,1,R2,9,9,20,20\nim5,No finding,14,R1,,,,\n"),
    "siim": ("siim-pneumothorax-train-rle.csv.gz", "Pneumothorax",
             "ImageId, EncodedPixels\nim5,-1\nim3,0 256" + " 768 256" * 255
        + f"\nim3,{1024 * 256} 256" + " 768 256" * 255 + "\n",
    ),
    "nih": ("BBox_List_2017.csv.gz", "Infiltration",
            "Image Index,Finding Label,Bbox [x,y,w,h],,,\nim3.png,Infiltrate,0,0,512,256\n"),
}  # fmt: skip


@pytest.fixture
def torchxrayvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of that name with small tables."""
    folder = tmp_path / "site/torchxrayvision/data"
    folder.mkdir(parents=True)
    for name, _, text in TABLES.values():
        (folder / name).write_bytes(packed(text, Path(name).suffix))
    origin = str(folder.parent / "__init__.py")
    spec = importlib.machinery.ModuleSpec("torchxrayvision", None, origin=origin)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    return folder


@pytest.mark.usefixtures("torchxrayvision")
@pytest.mark.parametrize("table", TABLES)
def test_packaged_table_marks_own_copy(own, table: str) -> None:
    fill(own, [f"im{k}.png" for k in range(16)], TABLES[table][1])
    found = masks(own, regions=table)
    np.testing.assert_array_equal(found["im3.png"], block(slice(0, 8), slice(0, 16)))
    assert sum(mask.any() for mask in found.values()) == 1


@pytest.mark.usefixtures("torchxrayvision")
def test_nih_boxes_replace_the_list(nih, patients) -> None:
    rows = [(name, "Infiltration", patient) for name, _, patient in patients(12)]
    nih.fill([("im3.png", "Infiltration", "99"), *rows])
    part = next(p for p in nih.splits(size=32, regions="nih").values() if "im3.png" in p.sample_ids)
    assert part.truth is not None
    at = np.flatnonzero(part.sample_ids == "im3.png")
    mask = part.truth(at, np.array([3])).mask
    assert mask is not None
    np.testing.assert_array_equal(mask[0], block(slice(0, 8), slice(0, 16)))


def test_missing_torchxrayvision_is_one_line(own, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(own, PNGS, "Pneumonia")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert own.fault(regions="rsna") == (
        "regions=rsna needs torchxrayvision: pip install 'gvr-bench[xray]'"
    )


def test_tables_of_installed_torchxrayvision() -> None:
    spec = importlib.util.find_spec("torchxrayvision")
    if spec is None or spec.origin is None:
        pytest.skip("torchxrayvision is an extra: pip install 'gvr-bench[xray]'")
    for name, _, text in TABLES.values():
        content = (Path(spec.origin).parent / "data" / name).read_bytes()
        assert len(packed(text, Path(name).suffix)) < len(content)
        if name.endswith(".gz"):
            reader = csv.reader(io.StringIO(gzip.decompress(content).decode()))
            assert next(reader) == next(csv.reader(io.StringIO(text)))
