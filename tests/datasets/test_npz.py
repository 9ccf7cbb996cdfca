"""MedMNIST's kind of file: what is read off its arrays, and which files are refused unread."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gvr_datasets import npz
from gvr_datasets.npz import Npz

import gvr_bench.api as gvr
from gvr_bench.config.spec import build_spec
from gvr_bench.pipeline.plan import make_plan
from gvr_bench.registry.registry import installed

COUNTS = {"train": 30, "val": 10, "test": 12}


def arrays(classes: int = 2, columns: int = 1, colour: bool = False) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    content = {}
    for part, n in COUNTS.items():
        shape = (n, 28, 28, 3) if colour else (n, 28, 28)
        content[f"{part}_images"] = rng.integers(0, 256, shape, np.uint8)
        labels = np.arange(n * columns).reshape(n, columns) % classes
        content[f"{part}_labels"] = labels.astype(np.uint8)
    return content


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "set.npz"


def save(path: Path, **content: np.ndarray) -> Path:
    np.savez(path, **content)
    return path


def read(path: Path, **settings: object) -> Npz:
    return Npz(Npz.Settings(file=path, **{"size": 28, **settings}))


def fault(path: Path | None, root: Path | None = None, **settings: object) -> str:
    """The one line that a user reads."""
    data = Npz(Npz.Settings(file=path, **settings), root)
    with pytest.raises((gvr.DataError, gvr.UsageError)) as caught:
        _ = data.task, data.image, data.split("train"), data.split("test"), data.fingerprint()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Files that are refused


def test_missing_setting_names_file_option() -> None:
    assert "was given no file; it needs the arrays train_images" in fault(None)


def test_missing_file_is_named(path) -> None:
    assert f"there is no file {path}" in fault(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"\x93NUMPY"])
def test_what_is_no_archive_is_named(path, content) -> None:
    path.write_bytes(content)
    assert f"cannot read train_labels of {path}" in fault(path)


def test_a_truncated_file_is_named(path) -> None:
    save(path, **arrays())
    path.write_bytes(path.read_bytes()[:4000])
    assert f"cannot read train_labels of {path}" in fault(path)


@pytest.mark.parametrize("name", ["val_labels", "train_images"])
def test_missing_array_is_named(path, name) -> None:
    content = arrays()
    del content[name]
    assert f"{path} has no array {name}" in fault(save(path, **content))


class Trap:
    """What runs when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("an object was read",))


def test_objects_are_refused_unread(path) -> None:
    content = arrays()
    content["train_labels"] = np.array([[Trap()]] * 30, dtype=object)
    assert "it holds objects, numbers expected" in fault(save(path, **content))


def test_huge_array_is_refused_unread(path, monkeypatch) -> None:
    save(path, **arrays())
    monkeypatch.setattr(npz, "MAX_BYTES", 20_000)
    assert "it says it has 23,520 bytes, at most 20,000 expected" in fault(path)


def test_array_beyond_archive_is_refused(path) -> None:
    save(path, **arrays())
    header = io.BytesIO()
    shape = (2**20, 2**10)
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    original = {name: array for name, array in arrays().items() if name != "train_labels"}
    save(path, **original)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("train_labels.npy", header.getvalue() + bytes(100))
    assert "it says it has 1,073,741,824 bytes, at most 228 expected" in fault(path)


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        ("train_images", np.zeros((30, 28, 28), np.float32), "of float32"),
        ("train_images", np.zeros((30, 28, 28, 28), np.uint8), r"(N, H, W) or"),
        ("train_images", np.zeros((29, 28, 28), np.uint8), "29 images and there are 30 labels"),
        ("test_images", np.zeros((12, 28, 28, 3), np.uint8), "the same in all parts expected"),
        ("train_labels", np.full((30, 1), 0.5), "whole numbers expected"),
        ("train_labels", np.full((30, 1), np.nan), "whole numbers expected"),
        ("train_labels", np.full((30, 1), -1), "all train_labels are -1"),
        ("train_labels", np.ones((30, 2), np.uint8), "as many columns expected"),
        ("train_labels", np.ones((30, 1), np.uint8), "all train_labels are 1"),
        ("train_labels", np.zeros((0, 1), np.uint8), "(0, 1) of uint8"),
    ],
)
def test_arrays_of_another_kind_are_named(path, name, array, reason) -> None:
    assert reason in fault(save(path, **arrays() | {name: array}))


def test_too_few_names_are_counted(path) -> None:
    message = fault(save(path, **arrays(classes=5)), labels="a+b")
    assert "has 5 classes (0, 1, 2, 3, 4) and labels names 2" in message


def test_unknown_class_is_named(path) -> None:
    save(path, **arrays(classes=5))
    assert "source=9 is no class; known: 0, 1, 2, 3, 4" in fault(path, source=9)
    save(path, **arrays())
    assert "source and target are for multiclass tasks" in fault(path, source=1)


def test_many_numbers_are_no_classes(path, monkeypatch) -> None:
    monkeypatch.setattr(npz, "MAX_CLASSES", 4)
    assert "hold 5 different numbers, at most 4" in fault(save(path, **arrays(classes=5)))


def test_columns_of_other_numbers_are_refused(path) -> None:
    assert "findings are 0 or 1" in fault(save(path, **arrays(classes=3, columns=3)))


def test_uncertain_labels_are_named(path) -> None:
    save(path, **relabelled({0: -1, 1: 0, 2: 1}))
    assert "hold -1, which means uncertain beside 0 and 1" in fault(path)
    assert read(path, labels="unsure+no+yes").task.outputs == ("unsure", "no", "yes")


# Files that are read


def relabelled(instead: dict[int, int], kind: type = np.int64) -> dict[str, np.ndarray]:
    """Arrays whose labels 0, 1, ... are stored as other numbers."""
    content = arrays(classes=len(instead))
    for name in content:
        if name.endswith("labels"):
            content[name] = np.vectorize(instead.get)(content[name]).astype(kind)
    return content


@pytest.mark.parametrize("numbers", [(0, 255), (1, 2), (-1, 1), (3, 7)])
@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_two_numbers_are_two_classes(path, numbers, kind) -> None:
    data = read(save(path, **relabelled(dict(enumerate(numbers)), kind)))
    assert data.task == gvr.Task(kind="binary", outputs=(str(numbers[1]),))
    assert data.split("train").targets[:4, 0].tolist() == [0, 1, 0, 1]


def test_classes_are_numbers_that_occur(path) -> None:
    data = read(save(path, **relabelled({0: 1, 1: 2, 2: 9})), source="9")
    assert (data.task.outputs, data.task.source) == (("1", "2", "9"), 2)
    assert data.split("train").targets[:3, 0].tolist() == [0, 1, 2]


def test_findings_may_be_marked_by_255(path) -> None:
    content = arrays(columns=3)
    content |= {name: array * np.uint8(255) for name, array in content.items() if "labels" in name}
    assert read(save(path, **content)).split("train").targets[0].tolist() == [0, 1, 0]


def test_one_hot_labels_are_cautioned(path) -> None:
    content = arrays(classes=3)
    for name in list(content):
        if "labels" in name:
            content[name] = np.eye(3, dtype=np.uint8)[content[name][:, 0]]
    assert "labels.argmax(axis=1)" in "".join(read(save(path, **content)).cautions())
    assert read(save(path, **arrays(columns=3))).cautions() == ()


def test_single_channel_is_grey(path) -> None:
    content = arrays()
    plain = read(save(path, **content)).split("test").images(np.arange(3))
    content |= {name: array[..., None] for name, array in content.items() if "images" in name}
    data = read(save(path, **content))
    assert data.image.channels == 1
    np.testing.assert_array_equal(data.split("test").images(np.arange(3)), plain)


def test_smaller_size_is_said(path) -> None:
    save(path, **arrays())
    (line,) = read(path, size=16).cautions()
    assert "images are 28 x 28 pixels large and are read at 16" in line
    assert "set.npz:size=28" in line
    assert read(path, size=32).cautions() == ()


def test_two_classes_are_one_question(path) -> None:
    data = read(save(path, **arrays()), labels="normal+pneumonia")
    assert data.task == gvr.Task(kind="binary", outputs=("pneumonia",))
    assert data.split("train").targets[:4, 0].tolist() == [0, 1, 0, 1]


def test_several_classes_are_told_apart(path) -> None:
    data = read(save(path, **arrays(classes=5)), source="3")
    assert (data.task.kind, data.task.source, data.task.target) == ("multiclass", 3, 0)
    data = read(path, labels=["a", "b", "c", "d", "e"], source="b", target="e")
    assert (data.task.source, data.task.target) == (1, 4)


def test_binary_columns_are_findings(path) -> None:
    data = read(save(path, **arrays(columns=3)))
    assert data.task == gvr.Task(kind="multilabel", outputs=("0", "1", "2"))
    assert data.split("validation").targets.shape == (10, 3)


@pytest.mark.parametrize("colour", [False, True])
def test_pixels_are_those_of_the_file(path, colour) -> None:
    content = arrays(colour=colour)
    data = read(save(path, **content))
    part = data.split("test")
    images = part.images(np.array([3, 0]))
    stack = content["test_images"] if colour else content["test_images"][..., None]
    np.testing.assert_array_equal(images, stack[[3, 0]].transpose(0, 3, 1, 2))
    assert data.image == gvr.ImageSpec(3 if colour else 1, 28)
    assert part.sample_ids[0] == "test-000000"


def test_other_sizes_are_resampled(path) -> None:
    part = read(save(path, **arrays()), size=32).split("train")
    assert part.images(np.array([0])).shape == (1, 1, 32, 32)


# The file's place


def test_file_is_relative_to_root(path) -> None:
    save(path, **arrays())
    data = Npz(Npz.Settings(file=path.name), path.parent)
    assert data.fingerprint() == read(path).fingerprint()


def test_file_place_keeps_fingerprint(path, tmp_path) -> None:
    save(path, **arrays())
    moved = Path(shutil.copy(path, tmp_path / "else.npz"))
    keys = set()
    for place in (path, moved):
        plan = make_plan(build_spec(None, {}, {"dataset": [f"npz:{place}"]}), installed())
        keys.add(plan.combinations[0].data.key)
        assert str(tmp_path) not in str(plan.combinations[0].data.key_content())
    assert len(keys) == 1
    save(moved, **arrays(classes=3))
    assert read(moved).fingerprint() != read(path).fingerprint()
