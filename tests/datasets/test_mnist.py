"""MNIST from files, from the cache, and from files that are not what they say."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import platformdirs
import pydantic
import pytest
from fetch_server import Server, serving
from gvr_datasets import mnist as mnist_module
from gvr_datasets.idx import read_idx
from gvr_datasets.mnist import Mnist

import gvr_bench.api as gvr

TRAIN, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def mnist(root: Path | None, **settings: int) -> Mnist:
    return Mnist(Mnist.Settings(**settings), root)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where downloads go."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: folder / name)
    return folder / "gvr-bench" / "mnist"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Plays the mirrors' part: no test uses the network."""
    with serving(monkeypatch) as running:
        monkeypatch.setattr(mnist_module, "_MIRRORS", (f"{running.address}/",))
        yield running


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist_module, "_MIRRORS", ("https://127.0.0.1:1/",))


def test_missing_network_names_alternatives(cache, no_network) -> None:
    with pytest.raises(gvr.DataError) as caught:
        mnist(None).fingerprint()
    message = str(caught.value)
    for part in (
        str(cache / "MNIST" / "raw"),
        "11 MB",
        "it cannot be reached",
        "--data-root DIR",
        "gvr-bench run --dataset digits",
    ):
        assert part in message
    assert "\n" not in message


@pytest.fixture
def small_files_are_right(
    monkeypatch: pytest.MonkeyPatch, mnist_files: dict[str, bytes], server: Server
) -> None:
    """Files that are not MNIST, whose sizes and digests are taken to be right."""
    known = {}
    for name, data in mnist_files.items():
        remote = server.add(f"{name}.gz", gzip.compress(data, 1))
        known[name] = (remote.size, hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(mnist_module, "_PACKED", known)


def test_without_files_it_is_downloaded_once(cache, server, small_files_are_right) -> None:
    first = mnist(None).fingerprint()
    assert len(server.requests) == 4
    assert mnist(None).fingerprint() == first
    assert len(server.requests) == 4
    assert len(list((cache / "MNIST" / "raw").glob("*.gz"))) == 4


def test_wrong_download_is_discarded(cache, server, small_files_are_right) -> None:
    name = f"/{TRAIN}.gz"
    server.files[name] = _flip(server.files[name], 500)
    with pytest.raises(gvr.DataError, match=r"could not be downloaded \(11 MB\).*gzip|another"):
        mnist(None).fingerprint()
    assert list((cache / "MNIST" / "raw").glob("*.gz")) == []


def test_digests_match_real_files(shared_data) -> None:
    for name, (_, digest) in mnist_module._PACKED.items():
        with gzip.open(shared_data("mnist") / f"{name}.gz") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == digest


def test_empty_folder_is_not_filled(tmp_path, server) -> None:
    with pytest.raises(gvr.DataError) as caught:
        mnist(tmp_path).split("train")
    for part in (str(tmp_path), str(tmp_path / "MNIST" / "raw"), TRAIN, "--dataset digits"):
        assert part in str(caught.value)
    assert server.requests == []


def test_incomplete_folder_is_refused(tmp_path, write_mnist) -> None:
    (write_mnist(tmp_path) / LABELS).unlink()
    with pytest.raises(gvr.DataError, match=LABELS):
        mnist(tmp_path).fingerprint()


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (lambda data: data[:-1], "3,935,679 bytes of data, 3,935,680 expected for 5020 x 28 x 28"),
        (lambda data: data + b"\0", "holds more bytes of data, 3,935,680 expected"),
        (lambda data: data[:10], "ends inside its header of 16 bytes"),
        (lambda data: b"", "starts with nothing, 00000803 expected"),
        (lambda data: b"<html>not found</html>", "starts with 3c68746d, 00000803 expected"),
        (lambda data: b"\0\0\x0d\3" + data[4:], "starts with 00000d03, 00000803 expected"),
    ],
)
def test_broken_file_is_named(tmp_path, write_mnist, mnist_files, broken, expected) -> None:
    (write_mnist(tmp_path) / TRAIN).write_bytes(broken(mnist_files[TRAIN]))
    with pytest.raises(gvr.DataError) as caught:
        mnist(tmp_path).fingerprint()
    assert str(tmp_path / TRAIN) in str(caught.value)
    assert expected in str(caught.value)


def _flip(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="truncated"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: b"<html>", id="not gzip"),
        pytest.param(lambda data: _flip(data, len(data) - 6), id="wrong checksum"),
        pytest.param(lambda data: data[:10] + b"\7" + data[11:], id="impossible block"),
        pytest.param(lambda data: _flip(data, len(data) // 2), id="flipped byte"),
    ],
)
def test_a_broken_gzip_file_is_named(tmp_path, write_mnist, broken) -> None:
    path = write_mnist(tmp_path, zipped=True) / f"{TRAIN}.gz"
    path.write_bytes(broken(path.read_bytes()))
    with pytest.raises(gvr.DataError, match=rf"{TRAIN}\.gz"):
        mnist(tmp_path).fingerprint()


def test_swapped_files_are_noticed(tmp_path, write_mnist, mnist_files) -> None:
    (write_mnist(tmp_path) / TRAIN).write_bytes(mnist_files[LABELS])
    with pytest.raises(gvr.DataError, match=r"3 dimension.*00000801, 00000803 expected"):
        mnist(tmp_path).fingerprint()


def _idx(array: np.ndarray) -> bytes:
    shape = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes()


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        (LABELS, np.zeros(5_019), "5019 labels, 5020 expected"),
        (LABELS, np.full(5_020, 10), "the label 10, 0..9 expected"),
        (TRAIN, np.zeros((5_020, 8, 8)), "8 x 8 pixels, 28 x 28 expected"),
        ("t10k-images-idx3-ubyte", np.zeros((0, 28, 28)), "30 labels, 0 expected"),
    ],
)
def test_inconsistent_files_are_refused(tmp_path, write_mnist, name, array, expected) -> None:
    (write_mnist(tmp_path) / name).write_bytes(_idx(array))
    with pytest.raises(gvr.DataError, match=expected):
        mnist(tmp_path).fingerprint()


def test_too_few_images_are_refused(tmp_path, write_mnist) -> None:
    folder = write_mnist(tmp_path)
    (folder / TRAIN).write_bytes(_idx(np.zeros((60, 28, 28))))
    (folder / LABELS).write_bytes(_idx(np.zeros(60)))
    with pytest.raises(gvr.DataError, match="60 images, at least 5001 expected"):
        mnist(tmp_path).split("train")


def test_same_source_and_target_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="source and target are both 9"):
        mnist(None, target=9)


def test_gzip_and_place_keep_fingerprint(tmp_path, write_mnist) -> None:
    write_mnist(tmp_path / "plain")
    write_mnist(tmp_path / "zipped" / "MNIST" / "raw", zipped=True)
    plain, zipped = mnist(tmp_path / "plain"), mnist(tmp_path / "zipped", size=64)
    assert plain.fingerprint() == zipped.fingerprint()


def test_one_changed_pixel_changes_the_fingerprint(tmp_path, write_mnist, mnist_files) -> None:
    write_mnist(tmp_path)
    before = mnist(tmp_path).fingerprint()
    (tmp_path / TRAIN).write_bytes(_flip(mnist_files[TRAIN], 1_000))
    assert mnist(tmp_path).fingerprint() != before


def test_validation_is_end_of_training(tmp_path, write_mnist) -> None:
    data = mnist(write_mnist(tmp_path))
    train, validation, test = (data.split(name) for name in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (20, 5_000, 30)
    assert list(train.sample_ids[[0, -1]]) == ["train-00000", "train-00019"]
    assert list(validation.sample_ids[[0, -1]]) == ["train-00020", "train-05019"]
    assert test.sample_ids[0] == "test-00000"
    np.testing.assert_array_equal(validation.targets[:3, 0], [0, 1, 2])


def test_size_32_frames_original_pixels(tmp_path, write_mnist, mnist_files) -> None:
    write_mnist(tmp_path)
    original = read_idx(tmp_path / "t10k-images-idx3-ubyte", 3)
    index = np.array([7, 3])
    framed = mnist(tmp_path).split("test").images(index)
    np.testing.assert_array_equal(framed[:, 0, 2:-2, 2:-2], original[index])
    assert framed.sum() == original[index].sum()
    plain = mnist(tmp_path, size=28).split("test").images(index)
    np.testing.assert_array_equal(plain[:, 0], original[index])


def test_other_sizes_keep_digit_centred(tmp_path, write_mnist) -> None:
    write_mnist(tmp_path)
    small, large = (mnist(tmp_path, size=size).split("test") for size in (32, 64))
    index = np.arange(30)
    halved = large.images(index)[:, 0].reshape(30, 32, 2, 32, 2).mean((2, 4))
    assert np.corrcoef(halved.ravel(), small.images(index).ravel())[0, 1] > 0.95


def test_real_files_hold_published_counts(shared_data) -> None:
    data = mnist(shared_data("mnist"))
    parts = {name: data.split(name) for name in ("train", "validation", "test")}
    assert [len(part) for part in parts.values()] == [55_000, 5_000, 10_000]
    both = np.concatenate([parts[name].targets[:, 0] for name in ("train", "validation")])
    assert np.bincount(both.astype(int)).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949
    ]  # fmt: skip
    assert np.bincount(parts["test"].targets[:, 0].astype(int)).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009
    ]  # fmt: skip
    with gzip.open(shared_data("mnist") / "t10k-images-idx3-ubyte.gz") as file:
        first = np.frombuffer(file.read()[16 : 16 + 784], np.uint8).reshape(28, 28)
    np.testing.assert_array_equal(parts["test"].images(np.array([0]))[0, 0, 2:30, 2:30], first)
