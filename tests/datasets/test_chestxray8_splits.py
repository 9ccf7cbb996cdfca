"""The NIH release: who is in which split, official lists, and the fingerprint."""

from __future__ import annotations

import shutil

import numpy as np
import pydantic
import pytest
from gvr_datasets.chestxray8.dataset import ChestXray8

import gvr_bench.api as gvr


@pytest.mark.parametrize("seed", range(5))
def test_patients_stay_in_one_split(nih, patients, seed) -> None:
    nih.fill(patients(40, each=3))
    parts = nih.splits(seed=seed)
    groups = [set(part.patient_ids) for part in parts.values()]
    assert [len(group) for group in groups] == [28, 4, 8]
    assert len(set.union(*groups)) == 40
    assert sum(map(len, parts.values())) == 120


def test_table_order_keeps_splits(nih, patients) -> None:
    nih.fill(patients(20))
    first = nih.splits()
    nih.fill(reversed(patients(20)))
    for name, part in nih.splits().items():
        assert set(part.patient_ids) == set(first[name].patient_ids)


def test_another_seed_gives_other_splits(nih, patients) -> None:
    nih.fill(patients(20))
    first, other = (set(nih.data(seed=seed).split("test").sample_ids) for seed in (0, 1))
    assert first != other


def test_three_patients_are_the_fewest(nih, patients) -> None:
    nih.fill(patients(3, each=4))
    assert [len(part) for part in nih.splits().values()] == [4, 4, 4]
    nih.fill(patients(2, each=4))
    with pytest.raises(gvr.DataError, match=r"too few.*at least one patient each"):
        nih.data().split("train")


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_share_emptying_split_is_refused(share) -> None:
    with pytest.raises(pydantic.ValidationError, match="validation"):
        ChestXray8.Settings(validation=share)


def test_official_lists_decide_splits(nih, patients) -> None:
    rows = patients(20, each=2)
    nih.table(rows)
    for position, (name, _, _) in enumerate(rows):
        nih.image(name, folder=f"images_{position % 12 + 1:03d}/images")
    names = [name for name, _, _ in rows]
    nih.lists(names[:32], names[32:])
    parts = nih.splits()
    assert list(parts["test"].sample_ids) == names[32:]
    assert {len(set(parts[name].patient_ids)) for name in ("train", "validation")} == {14, 2}
    assert not set(parts["train"].patient_ids) & set(parts["validation"].patient_ids)
    assert parts["train"].images(np.arange(28)).shape == (28, 1, 128, 128)


def test_one_list_alone_is_refused(nih, patients) -> None:
    nih.fill(patients(5))
    nih.text("test_list.txt", ["00000001_000.png"])
    assert f"{nih.root / 'test_list.txt'} is there alone" in nih.fault()


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        (range(5), range(4, 6), "both name 00000003_000.png"),
        (range(4), range(5, 6), "1 images are in neither"),
        (range(3), range(3, 6), "both have images of patient 2"),
    ],
)
def test_inconsistent_lists_are_refused(nih, patients, train, test, expected) -> None:
    rows = patients(3, each=2)
    nih.fill(rows)
    names = [name for name, _, _ in rows]
    nih.lists([names[i] for i in train], [names[i] for i in test])
    assert expected in nih.fault()


def test_lists_may_name_extra_images(nih, patients) -> None:
    nih.fill(patients(5))
    names = [name for name, _, _ in patients(9)]
    nih.lists([*names[:4], *names[5:]], [names[4], ""])
    assert list(nih.data().split("test").sample_ids) == [names[4]]


def test_lists_without_test_are_refused(nih, patients) -> None:
    nih.fill(patients(5))
    nih.lists([name for name, _, _ in patients(5)], ["else.png"])
    with pytest.raises(gvr.DataError, match=r"0 patient.s. to test on"):
        nih.data().split("test")


# Fingerprint and profiles


def test_moving_the_folder_keeps_the_fingerprint(nih, patients, tmp_path) -> None:
    nih.fill(patients(5))
    nih.boxes("00000001_000.png,Mass,1,2,3,4")
    moved = shutil.copytree(nih.root, tmp_path / "moved")
    assert ChestXray8(ChestXray8.Settings(), moved).fingerprint() == nih.data().fingerprint()


@pytest.mark.parametrize("change", ["label", "image", "lists", "boxes"])
def test_changed_data_changes_fingerprint(nih, patients, change) -> None:
    rows = patients(5)
    names = [name for name, _, _ in rows]
    nih.fill(rows)
    before = nih.data().fingerprint()
    if change == "label":
        nih.table([(names[0], "Mass", "1"), *rows[1:]])
    elif change == "image":
        nih.image(names[0], np.eye(16, dtype=np.uint8))
    elif change == "lists":
        nih.lists(names[:3], names[3:])
    else:
        nih.boxes("00000001_000.png,Mass,1,2,3,4")
    assert nih.data().fingerprint() != before
