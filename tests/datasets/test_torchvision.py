"""torchvision's data sets by name, from files as torchvision lays them out; no network."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torchvision
from gvr_datasets.torchvision_dataset import SOURCES, Torchvision
from PIL import Image

import gvr_bench.api as gvr

TRAIN, TEST = 50, 20  # images of each data set


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.tobytes()


def pixels(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, *shape), np.uint8)


def write_idx(folder: Path, prefixes: tuple[str, str], first: int = 0) -> None:
    folder.mkdir(parents=True)
    for prefix, n in zip(prefixes, (TRAIN, TEST), strict=True):
        labels = (np.arange(n) % 10 + first).astype(np.uint8)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx(pixels(n, 28, 28)))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels))


def write_cifar(root: Path, cls: type[torchvision.datasets.CIFAR10], key: str, names: str) -> None:
    folder = root / cls.base_folder
    folder.mkdir()
    for files, n in ((cls.train_list, TRAIN // len(cls.train_list)), (cls.test_list, TEST)):
        for file, _ in files:
            batch = {"data": pixels(n, 3072), key: [k % 10 for k in range(n)]}
            (folder / file).write_bytes(pickle.dumps(batch))
    (folder / cls.meta["filename"]).write_bytes(pickle.dumps({names: [f"c{k}" for k in range(10)]}))


def write_stl(root: Path) -> None:
    folder = root / "stl10_binary"
    folder.mkdir()
    for part, n in (("train", TRAIN), ("test", TEST)):
        (folder / f"{part}_X.bin").write_bytes(pixels(n, 3, 96, 96).tobytes())
        (folder / f"{part}_y.bin").write_bytes((np.arange(n) % 10 + 1).astype(np.uint8).tobytes())
    (folder / "class_names.txt").write_text("".join(f"c{k}\n" for k in range(10)))


def write_svhn(root: Path) -> None:
    for part, n in (("train", TRAIN), ("test", TEST)):
        arrays = {"X": pixels(32, 32, 3, n), "y": np.arange(n)[:, None] % 10}
        scipy.io.savemat(root / f"{part}_32x32.mat", arrays)


def write_pets(root: Path) -> None:
    base = root / "oxford-iiit-pet"
    (base / "images").mkdir(parents=True)
    (base / "annotations").mkdir()
    for part, n in (("trainval", TRAIN), ("test", TEST)):
        lines = []
        for i in range(n):
            name = f"{('beagle', 'birman', 'boxer')[i % 3]}_{part}{i}"
            picture = np.full((10, 20, 3), (200, 100, 0), np.uint8)
            Image.fromarray(picture).save(base / f"images/{name}.jpg")
            lines.append(f"{name} {i % 3 + 1} 1 1\n")
        (base / f"annotations/{part}.txt").write_text("".join(lines))


def write_eurosat(root: Path) -> None:
    for k in range(TRAIN):
        folder = root / "eurosat/2750" / ("Forest", "River")[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(8, 8, 3)).save(folder / f"{k}.png")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ten small data sets; their published checksums are not compared."""
    for cls in ("CIFAR10", "STL10", "SVHN"):
        monkeypatch.setattr(f"torchvision.datasets.{cls}._check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    for name in ("MNIST", "FashionMNIST", "KMNIST"):
        write_idx(tmp_path / name / "raw", ("train", "t10k"))
    prefixes = ("emnist-letters-train", "emnist-letters-test")
    write_idx(tmp_path / "EMNIST/raw", prefixes, first=1)
    write_cifar(tmp_path, torchvision.datasets.CIFAR10, "labels", "label_names")
    write_cifar(tmp_path, torchvision.datasets.CIFAR100, "fine_labels", "fine_label_names")
    for write in (write_stl, write_svhn, write_pets, write_eurosat):
        write(tmp_path)
    return tmp_path


def read(name: str, root: Path | None = None, **settings: object) -> Torchvision:
    variant = {"variant": "letters"} if name == "EMNIST" else {}
    return Torchvision(Torchvision.Settings(name=name, **{"size": 28, **variant, **settings}), root)


def fault(name: str, root: Path | None = None, **settings: object) -> str:
    """The one line that a user reads."""
    data = read(name, root, **settings)
    with pytest.raises((gvr.DataError, gvr.UsageError)) as caught:
        _ = data.task, data.split("train")
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What cannot be opened


@pytest.mark.parametrize("name", ["", "LSUN", "CelebA", "ImageFolder", "VisionDataset"])
def test_unlisted_name_lists_supported(name) -> None:
    message = fault(name)
    for part in (name, "torchvision:CIFAR10", "FashionMNIST", "SVHN", "--dataset folder"):
        assert part in message


def test_misspelt_name_gets_suggestion() -> None:
    assert "did you mean 'CIFAR100'?" in fault("CIFAR_100")


def test_missing_files_name_the_folder(tmp_path) -> None:
    message = fault("CIFAR10", tmp_path)
    assert str(tmp_path) in message
    assert "--data-root" in message
    assert "download=True" not in message


def test_foreign_pickle_is_not_read(tmp_path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"]:
        (folder / name).write_bytes(b"cos\nabort\n(tR.")  # it would end the process
    assert "Dataset not found or corrupted" in fault("CIFAR10", tmp_path)


def test_failed_download_is_one_line(tmp_path, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host\nat all")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torchvision.datasets.SVHN, "download", refuse)
    message = fault("SVHN")
    assert "no route to host at all" in message
    assert "--data-root DIR" in message


def test_variant_must_be_known(root) -> None:
    assert "letters" in fault("EMNIST", root, variant="runes")
    assert "leave variant=letters out" in fault("MNIST", root, variant="letters")


def test_unknown_class_is_named(root) -> None:
    assert "target=ten is no class; known: 0 - zero" in fault("MNIST", root, target="ten")


# What is opened


@pytest.mark.parametrize("name", SOURCES)
def test_images_and_labels_match_torchvision(root, name) -> None:
    data = read(name, root)
    source, part = SOURCES[name], data.split("train")
    options = {"split": "letters"} if name == "EMNIST" else {}
    original = getattr(torchvision.datasets, name)(root, **source.train, **options)
    rows = [int(str(sample).removeprefix("train-")) for sample in part.sample_ids]
    assert part.targets[:, 0].tolist() == [original[row][1] for row in rows]
    picture = original[rows[0]][0]
    assert picture.mode == ("L" if source.channels == 1 else "RGB")
    assert data.image == gvr.ImageSpec(source.channels, 28)
    if picture.size == (28, 28):
        images = part.images(np.arange(len(rows)))
        np.testing.assert_array_equal(images[0, 0], np.asarray(picture))


@pytest.mark.parametrize("name", SOURCES)
def test_splits_cover_official_parts(root, name) -> None:
    data = read(name, root, test=0.5)
    sizes = [len(data.split(split)) for split in ("train", "validation", "test")]
    assert sizes == ([23, 2, 25] if SOURCES[name].test is None else [45, 5, TEST])
    ids = np.concatenate([data.split(split).sample_ids for split in ("train", "validation")])
    assert len(set(ids)) == sum(sizes[:2])


def test_classes_are_named_by_torchvision(root) -> None:
    task = read("MNIST", root, source="9 - nine", target=4).task
    assert (task.outputs[9], task.source, task.target) == ("9 - nine", 9, 4)
    letters = read("EMNIST", root).task
    assert [letters.outputs[k or 0] for k in (letters.source, letters.target)] == ["a", "b"]
    assert read("OxfordIIITPet", root).task.outputs == ("Beagle", "Birman", "Boxer")
    assert read("SVHN", root).task.outputs == tuple("0123456789")


def test_colour_pictures_are_letterboxed(root) -> None:
    picture = read("OxfordIIITPet", root).split("test").images(np.array([0]))[0]
    assert picture[:, 2].max() == 0
    np.testing.assert_allclose(picture[:, 14, 14], (200, 100, 0), atol=6)


# Fingerprint


def test_moved_files_keep_fingerprint(root, tmp_path_factory) -> None:
    moved = shutil.copytree(root, tmp_path_factory.mktemp("moved"), dirs_exist_ok=True)
    before = read("OxfordIIITPet", root).fingerprint()
    assert read("OxfordIIITPet", moved).fingerprint() == before
    first = next((moved / "oxford-iiit-pet/images").glob("*.jpg"))
    first.write_bytes(first.read_bytes() + b"\0")
    assert read("OxfordIIITPet", moved).fingerprint() != before


@pytest.mark.parametrize("change", ["images", "labels"])
def test_changed_data_changes_fingerprint(root, change) -> None:
    before = read("MNIST", root).fingerprint()
    file = root / f"MNIST/raw/t10k-{change}-idx{3 if change == 'images' else 1}-ubyte"
    content = bytearray(file.read_bytes())
    content[-1] = (content[-1] + 1) % 10
    file.write_bytes(content)
    assert read("MNIST", root).fingerprint() != before
