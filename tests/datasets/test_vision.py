"""torchvision's data sets by name: opened without the network, or told what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torchvision
from gvr_datasets import torchvision_labels as vision_parts
from gvr_datasets.torchvision_dataset import Torchvision
from gvr_datasets.torchvision_labels import known_sets, unique
from PIL import Image
from torchvision.datasets import FakeData, VisionDataset

import gvr_bench.api as gvr


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """A root with an MNIST of 50 and 20 images, and the same as letters of EMNIST."""
    rng = np.random.default_rng(0)
    for part, called, n in (("train", "train", 50), ("test", "t10k", 20)):
        images = idx(rng.integers(0, 256, (n, 28, 28), np.uint8))
        for prefix, first in (
            (tmp_path / f"MNIST/raw/{called}", 0),
            (tmp_path / f"EMNIST/raw/emnist-letters-{part}", 1),
        ):
            prefix.parent.mkdir(parents=True, exist_ok=True)
            labels = np.arange(n) % (10 if first == 0 else 26) + first
            Path(f"{prefix}-images-idx3-ubyte").write_bytes(images)
            Path(f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels.astype(np.uint8)))
    return tmp_path


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """A root with 30 and 12 pets of three races, in colour."""
    base = tmp_path / "oxford-iiit-pet"
    (base / "images").mkdir(parents=True)
    (base / "annotations").mkdir()
    for part, n in (("trainval", 30), ("test", 12)):
        lines = []
        for i in range(n):
            name = f"{('beagle', 'birman', 'boxer')[i % 3]}_{part}{i}"
            pixels = np.full((10, 20, 3), (200, 100, 0), np.uint8)
            Image.fromarray(pixels).save(base / f"images/{name}.jpg")
            lines.append(f"{name} {i % 3 + 1} 1 1\n")
        (base / f"annotations/{part}.txt").write_text("".join(lines))
    return tmp_path


def read(name: str, root: Path | None = None, **settings: object) -> Torchvision:
    return Torchvision(Torchvision.Settings(name=name, **{"size": 28, **settings}), root)


def fault(name: str, root: Path | None = None, **settings: object) -> str:
    """The one line that a user reads."""
    data = read(name, root, **settings)
    with pytest.raises((gvr.DataError, gvr.UsageError)) as caught:
        _ = data.task, data.split("train")
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What cannot be opened


def test_without_a_name_all_are_listed() -> None:
    message = fault("")
    for part in ("--dataset torchvision:CIFAR10", "FashionMNIST", "SVHN", "OxfordIIITPet"):
        assert part in message


def test_a_misspelt_name_is_told_the_right_one() -> None:
    assert "did you mean 'CIFAR100'?" in fault("CIFAR_100")


@pytest.mark.parametrize("name", ["LSUN", "LSUNClass"])
def test_a_set_that_is_read_by_pickle_unchecked_is_refused(name) -> None:
    assert f"torchvision's {name} is not read: torchvision keeps a cache of it as a" in fault(name)


@pytest.mark.parametrize("name", ["CelebA", "VOCDetection", "MovingMNIST"])
def test_a_set_without_one_class_each_is_refused(name) -> None:
    assert "its images have no single class each" in fault(name)


def test_a_folder_of_classes_is_told_its_data_set() -> None:
    assert "use --dataset folder --data-root DIR" in fault("ImageFolder")


def test_a_set_that_is_not_there_says_where_it_was_looked_for(tmp_path) -> None:
    message = fault("CIFAR10", tmp_path)
    assert f"it was looked for in {tmp_path}; leave --data-root away to download it" in message
    assert "download=True" not in message


def test_a_pickle_that_is_not_torchvisions_own_is_not_read(tmp_path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"]:
        (folder / name).write_bytes(b"cos\nabort\n(tR.")  # it would end the process
    assert "Dataset not found or corrupted" in fault("CIFAR10", tmp_path)


def test_a_download_that_fails_says_what_to_do(tmp_path, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host\nat all")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torchvision.datasets.SVHN, "download", refuse)
    message = fault("SVHN")
    assert "SVHN cannot be read: no route to host at all" in message
    assert "add --data-root DIR" in message


def test_a_set_that_torchvision_does_not_download_asks_for_its_folder() -> None:
    assert "does not download FER2013; give the folder" in fault("FER2013")


def test_a_set_in_several_variants_asks_which(mnist) -> None:
    message = fault("EMNIST", mnist)
    assert "'letters'" in message
    assert "--dataset torchvision:EMNIST,variant=letters" in message
    assert "MNIST comes in one variant" in fault("MNIST", mnist, variant="letters")


def test_a_class_that_is_not_there_is_named(mnist) -> None:
    assert "target=ten is no class; known: 0 - zero" in fault("MNIST", mnist, target="ten")


class Unlabelled(FakeData):
    def __getitem__(self, index: int) -> tuple[object, object]:
        return super().__getitem__(index)[0], 0.5


class Numbers(VisionDataset):
    def __init__(self) -> None:
        super().__init__()

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> tuple[object, int]:
        return index, index


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (Unlabelled, "has no class for each image"),
        (Numbers, "does not hold pictures with a label each"),
    ],
)
def test_items_that_are_no_labelled_pictures_are_refused(monkeypatch, cls, said) -> None:
    monkeypatch.setattr(vision_parts, "known_sets", lambda: {"Made": cls})
    assert said in fault("Made")


# What is opened


def test_names_of_sets_need_no_more_than_a_folder() -> None:
    known = known_sets()
    assert {"MNIST", "EMNIST", "CIFAR10", "SVHN", "Flowers102", "FakeData"} <= set(known)
    assert not {"VisionDataset", "Sintel", "Kinetics", "PhotoTour", "LSUN"} & set(known)


def test_the_official_test_images_are_tested_on(mnist) -> None:
    data = read("MNIST", mnist)
    parts = {name: data.split(name) for name in ("train", "validation", "test")}
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 45, "validation": 5, "test": 20,
    }  # fmt: skip
    assert parts["test"].targets[:, 0].tolist() == [n % 10 for n in range(20)]
    cut = [*parts["train"].sample_ids, *parts["validation"].sample_ids]
    assert sorted(cut) == [f"train-{n:06d}" for n in range(50)]
    assert data.image == gvr.ImageSpec(1, 28)
    kept = torchvision.datasets.MNIST(mnist, train=False).data.numpy()
    np.testing.assert_array_equal(parts["test"].images(np.array([4, 2]))[:, 0], kept[[4, 2]])


def test_labels_belong_to_their_images(mnist) -> None:
    part = read("MNIST", mnist).split("validation")
    whole = torchvision.datasets.MNIST(mnist)
    for name, target, image in zip(
        part.sample_ids, part.targets[:, 0], part.images(np.arange(len(part))), strict=True
    ):
        picture, label = whole[int(str(name).removeprefix("train-"))]
        assert label == target
        np.testing.assert_array_equal(np.asarray(picture), image[0])


def test_classes_are_named_as_torchvision_names_them(mnist) -> None:
    task = read("MNIST", mnist, source="9 - nine", target=4).task
    assert (task.outputs[9], task.source, task.target) == ("9 - nine", 9, 4)
    letters = read("EMNIST", mnist, variant="letters").task
    assert [letters.outputs[k or 0] for k in (letters.source, letters.target)] == ["a", "b"]


def test_files_in_colour_are_read_by_the_split_they_have(pets) -> None:
    data = read("OxfordIIITPet", pets)
    assert data.task.outputs == ("Beagle", "Birman", "Boxer")
    assert data.image == gvr.ImageSpec(3, 28)
    assert len(data.split("test")) == 12
    picture = data.split("test").images(np.array([0]))[0]
    assert picture[:, 2].max() == 0  # letterboxed
    np.testing.assert_allclose(picture[:, 14, 14], (200, 100, 0), atol=6)


class Small(FakeData):
    def __init__(self) -> None:
        super().__init__(size=60, image_size=(3, 12, 12), num_classes=4)


def test_without_test_images_a_share_is_tested_on(monkeypatch) -> None:
    monkeypatch.setattr(vision_parts, "known_sets", lambda: {"Small": Small})
    data = read("Small", test=0.5)
    sizes = [len(data.split(name)) for name in ("train", "validation", "test")]
    assert sizes == [27, 3, 30]
    ids = np.concatenate([data.split(n).sample_ids for n in ("train", "validation", "test")])
    assert len(set(ids)) == 60
    assert data.task.outputs == ("0", "1", "2", "3")


class Decoy(Small):
    """Keeps a column of numbers that is not that of its labels."""

    def __init__(self) -> None:
        super().__init__()
        self.order = list(range(60))


def test_another_column_is_not_taken_for_the_labels(monkeypatch) -> None:
    monkeypatch.setattr(vision_parts, "known_sets", lambda: {"Decoy": Decoy})
    part = read("Decoy").split("test")
    expected = [Small()[int(str(name)[-6:])][1] for name in part.sample_ids]
    assert part.targets[:, 0].tolist() == expected


def test_classes_of_one_name_are_told_apart() -> None:
    assert unique(["crane", "dog", "crane"]) == ("crane (0)", "dog", "crane (2)")


# Fingerprint


def test_moving_the_files_keeps_the_fingerprint(pets, tmp_path) -> None:
    moved = shutil.copytree(pets, tmp_path / "moved", ignore=lambda *_: ["moved"])
    before = read("OxfordIIITPet", pets).fingerprint()
    assert read("OxfordIIITPet", moved).fingerprint() == before
    first = next((moved / "oxford-iiit-pet/images").glob("*.jpg"))
    first.write_bytes(first.read_bytes() + b"\0")
    assert read("OxfordIIITPet", moved).fingerprint() != before


@pytest.mark.parametrize("change", ["images", "labels"])
def test_a_change_of_the_data_changes_the_fingerprint(mnist, change) -> None:
    before = read("MNIST", mnist).fingerprint()
    file = mnist / f"MNIST/raw/t10k-{change}-idx{3 if change == 'images' else 1}-ubyte"
    content = bytearray(file.read_bytes())
    content[-1] = (content[-1] + 1) % 10
    file.write_bytes(content)
    assert read("MNIST", mnist).fingerprint() != before
