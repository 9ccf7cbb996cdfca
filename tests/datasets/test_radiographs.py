"""Your own radiographs: what is wrong with a folder, and how it is read and split."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pydantic
import pytest
from gvr_datasets.phantom.dataset import Phantom
from gvr_datasets.radiographs import Radiographs
from PIL import Image

import gvr_bench.api as gvr

SPLITS = ("train", "validation", "test")
Rows = list[tuple[str, str, object]]


class Folder:
    """A folder that a test fills step by step."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "table.csv"
        root.mkdir()

    def table(self, rows: Iterable[tuple[str, str, object]]) -> None:
        self.text("file,patient,bnp", *(",".join(map(str, row)) for row in rows))

    def text(self, *lines: str) -> None:
        self.path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def image(self, name: str, pixels: np.ndarray | None = None) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16), 99, np.uint8) if pixels is None else pixels).save(path)
        return path

    def fill(self, rows: Rows) -> None:
        self.table(rows)
        for name, _, _ in rows:
            self.image(name)

    def data(self, **settings: object) -> Radiographs:
        return Radiographs(Radiographs.Settings(**settings), self.root)

    def splits(self, **settings: object) -> dict[str, gvr.Split]:
        data = self.data(**settings)
        return {name: data.split(name) for name in SPLITS}

    def fault(self) -> str:
        return fault(self.root)


def fault(root: Path | None) -> str:
    """The one line that a user reads."""
    with pytest.raises(gvr.DataError) as caught:
        Radiographs(Radiographs.Settings(), root).fingerprint()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def people(n: int, each: int = 1) -> Rows:
    """Rows of n patients with some images each, every one labelled."""
    return [
        (f"images/{p}_{visit}.png", f"p{p}", 20 * p + visit)
        for p in range(1, n + 1)
        for visit in range(each)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "own")


# What is not there


@pytest.mark.parametrize("with_root", [True, False])
def test_missing_data_names_alternatives(tmp_path, with_root) -> None:
    message = fault(tmp_path if with_root else None)
    needed = "table.csv with the columns file, patient, bnp"
    for part in (needed, "--data-root DIR", "gvr-bench run --dataset phantom"):
        assert part in message
    assert (f"no table.csv in {tmp_path}" in message) == with_root


def test_missing_folder_is_named(tmp_path) -> None:
    assert f"no table.csv in {tmp_path / 'nowhere'}" in fault(tmp_path / "nowhere")


def test_missing_images_are_counted(folder) -> None:
    folder.fill(people(5))
    (folder.root / "images/2_0.png").unlink()
    (folder.root / "images/4_0.png").unlink()
    (folder.root / "images/4_0.png").mkdir()
    message = folder.fault()
    assert f"2 of the 5 images named in {folder.path}" in message
    assert f"the first is '{folder.root / 'images/2_0.png'}'" in message


# Tables that cannot be read


def test_missing_columns_are_named(folder) -> None:
    folder.text("file,BNP", "a.png,12")
    assert f"{folder.path} has no column 'patient', 'bnp'" in folder.fault()
    folder.text("file patient bnp", "a.png p1 12")
    assert "its first line reads 'file patient bnp'" in folder.fault()


def test_header_over_two_lines(folder) -> None:
    folder.text('"file', 'name",patient,bnp')
    assert r"its first line reads 'file\nname,patient,bnp'" in folder.fault()


def test_binary_table_is_named(folder) -> None:
    folder.path.write_bytes(b"\xff\xd8\xff\xe0 a photograph")
    assert f"cannot read {folder.path}" in folder.fault()


def test_endless_field_names_its_line(folder) -> None:
    folder.text("file,patient,bnp", "a.png,p1,12", '"' + "x" * 200_000 + '",p1,12')
    assert f"{folder.path}, line 3: field larger than" in folder.fault()


def test_short_row_names_its_line(folder) -> None:
    folder.text("file,patient,bnp", "a.png,p1,12", "b.png,p1")
    assert f"{folder.path}, line 3, has 2 fields, at least 3 expected" in folder.fault()


def test_table_without_rows_is_refused(folder) -> None:
    folder.table([])
    assert "has a header but no rows" in folder.fault()


@pytest.mark.parametrize(
    "cell", ["high", "<10", '"12,5"', "0", "-3", "inf", "1e39", "1e-60", '"1\n2"']
)
def test_invalid_bnp_names_its_line(folder, cell) -> None:
    folder.table([("a.png", "p1", 12), ("b.png", "p2", "7"), ("c.png", "p3", cell)])
    line = 5 if "\n" in cell else 4
    reason = repr(cell.strip('"'))
    assert f"line {line}: bnp {reason} is not a positive number of ng/L" in folder.fault()


@pytest.mark.parametrize("again", ["images/1_0.png", "./images/1_0.png", "images//1_0.png"])
def test_duplicate_rows_are_refused(folder, again) -> None:
    folder.fill(people(3))
    folder.table([*people(3), (again, "p9", 1)])
    assert "line 5: 'images/1_0.png' has a row already" in folder.fault()


def test_an_image_of_nobody_is_refused(folder) -> None:
    folder.table([("a.png", "", 12)])
    assert "line 2: 'a.png' has no patient" in folder.fault()


@pytest.mark.parametrize(
    "name", ["../x.png", "a/../../x.png", "/etc/x.png", r"..\x.png", r"a\x.png", "C:x", "..", "."]
)
def test_path_outside_folder_is_refused(folder, name) -> None:
    folder.image("x.png")
    folder.table([(name, "p1", 12)])
    expected = f"line 2: {name!r} is not the path of an image inside the folder"
    assert expected in folder.fault()


def test_row_without_file_is_refused(folder) -> None:
    folder.table([("", "p1", 12)])
    assert "line 2: '' is not the path of an image" in folder.fault()


def test_table_without_labels_is_refused(folder) -> None:
    folder.fill([(name, patient, "") for name, patient, _ in people(5)])
    assert f"no row of {folder.path} has a bnp" in folder.fault()


# Splits that cannot be made, images that cannot be read


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_three_patients_are_refused(folder, n) -> None:
    folder.fill(people(n, each=9))
    with pytest.raises(gvr.DataError, match=r"too few.*at least one patient each"):
        folder.data().split("train")


def test_too_few_patients_are_refused(folder) -> None:
    folder.fill(people(20))
    with pytest.raises(gvr.DataError, match=r"19 patient.s. to test on and 1 for the rest"):
        folder.data(test=0.99).split("train")


def test_unlabelled_splits_are_named(folder) -> None:
    folder.fill(people(10))
    tested = set(folder.data().split("test").patient_ids)
    folder.table([(n, p, bnp if p in tested else "") for n, p, bnp in people(10)])
    with pytest.raises(gvr.DataError) as caught:
        folder.data().split("test")
    assert "no image of the train and validation split is labelled" in str(caught.value)
    assert "--dataset radiographs:seed=1" in str(caught.value)


@pytest.mark.parametrize("name", ["test", "validation"])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_share_emptying_split_is_refused(name, share) -> None:
    with pytest.raises(pydantic.ValidationError, match=name):
        Radiographs.Settings(**{name: share})


@pytest.mark.parametrize("broken", [b"", b"<html>404</html>", None])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_broken_image_is_named(folder, broken, suffix) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    rows = [(f"{n}.{suffix}", f"p{n}", 12) for n in range(3)]
    folder.fill(rows)
    for name, _, _ in rows:
        path = folder.image(name, noise)
        path.write_bytes(path.read_bytes()[:500] if broken is None else broken)
    split = folder.data().split("train")
    with pytest.raises(gvr.DataError) as caught:
        split.images(np.array([0]))
    assert f"cannot read the image {folder.root / str(split.sample_ids[0])}" in str(caught.value)


# Folders as they should be


def test_task_equals_phantom_bnp(folder) -> None:
    data = folder.data()
    assert data.task == Phantom(Phantom.Settings(task="bnp")).task
    assert (data.task.threshold, data.task.unit, data.head) == (100.0, "ng/L", "linear")
    assert data.task.scale == gvr.Scale(log=True, divisor=10.0)


def test_an_empty_cell_is_not_labelled(folder) -> None:
    rows = [(n, p, "" if n.endswith("_1.png") else bnp) for n, p, bnp in people(6, each=2)]
    folder.fill(rows)
    actual = {}
    for part in folder.splits().values():
        assert part.targets.dtype == np.float32
        assert part.targets.shape == (len(part), 1)
        actual |= dict(zip(map(str, part.sample_ids), part.targets[:, 0], strict=True))
    for name, _, bnp in rows:
        np.testing.assert_equal(actual[name], np.float32(bnp or "nan"))


def test_columns_by_name_despite_bom(folder) -> None:
    rows = [f"60,{20 * n},F,p{n},{n}.jpg" for n in range(1, 6)]
    folder.text("\ufeffage,bnp,sex,patient,file", *rows)
    for n in range(1, 6):
        folder.image(f"{n}.jpg")
    for part in folder.splits().values():
        for name, patient, target in zip(
            part.sample_ids, part.patient_ids, part.targets, strict=True
        ):
            assert (str(name), float(target[0])) == (f"{patient[1:]}.jpg", 20 * int(patient[1:]))


@pytest.mark.parametrize(("height", "width"), [(20, 40), (40, 20)])
def test_black_bars_make_square(folder, height, width) -> None:
    folder.fill(people(3))
    split = folder.data(size=32).split("train")
    folder.image(str(split.sample_ids[0]), np.full((height, width), 200, np.uint8))
    images = split.images(np.array([0]))
    assert images.shape == (1, 1, 32, 32)
    expected = np.zeros((32, 32), np.uint8)
    expected[8:24] = 200
    np.testing.assert_array_equal(images[0, 0], expected if width > height else expected.T)


def test_images_follow_requested_order(folder) -> None:
    folder.fill(people(9))
    split = folder.data(size=16).split("train")
    for shade, name in enumerate(split.sample_ids):
        folder.image(str(name), np.full((16, 16), shade, np.uint8))
    assert list(split.images(np.array([3, 0, 3]))[:, 0, 5, 5]) == [3, 0, 3]


@pytest.mark.parametrize("seed", range(5))
def test_patients_stay_in_one_split(folder, seed) -> None:
    folder.fill(people(50, each=2))
    groups = [set(part.patient_ids) for part in folder.splits(seed=seed).values()]
    assert [len(group) for group in groups] == [36, 4, 10]
    assert len(set.union(*groups)) == 50


def test_the_shares_can_be_set(folder) -> None:
    folder.fill(people(20))
    assert [len(part) for part in folder.splits(test=0.5, validation=0.3).values()] == [7, 3, 10]
    assert [len(part) for part in folder.splits(test=0.01, validation=0.99).values()] == [1, 18, 1]


def test_another_seed_gives_other_splits(folder) -> None:
    folder.fill(people(20))
    first, other = (set(folder.data(seed=seed).split("test").sample_ids) for seed in (0, 1))
    assert first != other


def test_row_order_keeps_splits(folder) -> None:
    folder.fill(people(20, each=2))
    first = folder.splits()
    folder.table(reversed(people(20, each=2)))
    for name, part in folder.splits().items():
        assert set(part.sample_ids) == set(first[name].sample_ids)


# Fingerprint


def test_moving_the_folder_keeps_the_fingerprint(folder, tmp_path) -> None:
    folder.fill(people(5))
    moved = shutil.copytree(folder.root, tmp_path / "moved")
    assert Radiographs(Radiographs.Settings(), moved).fingerprint() == folder.data().fingerprint()


@pytest.mark.parametrize("change", ["label", "image", "name"])
def test_changed_data_changes_fingerprint(folder, change) -> None:
    rows = people(5)
    folder.fill(rows)
    before = folder.data().fingerprint()
    if change == "label":
        folder.table([(*rows[0][:2], 99), *rows[1:]])
    elif change == "image":
        folder.image(rows[0][0], np.eye(16, dtype=np.uint8))
    else:
        folder.fill([("else.png", *rows[0][1:]), *rows[1:]])
    assert folder.data().fingerprint() != before


def test_images_without_a_row_are_ignored(folder) -> None:
    folder.fill(people(5))
    before = folder.data().fingerprint()
    folder.image("images/unknown.png")
    assert sum(map(len, folder.splits().values())) == 5
    assert folder.data().fingerprint() == before
