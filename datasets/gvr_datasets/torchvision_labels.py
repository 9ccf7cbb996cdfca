"""torchvision's data sets brought to one shape: pictures, one label each, names of classes."""

from __future__ import annotations

import hashlib
import inspect
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gvr_bench.api as gvr
from gvr_bench.api import read_picture

_REFUSED = {
    "LSUN": "torchvision keeps a cache of it as a pickle, which it does not check",
    "LSUNClass": "torchvision keeps a cache of it as a pickle, which it does not check",
    "ImageFolder": "use --dataset folder --data-root DIR",
    "DatasetFolder": "use --dataset folder --data-root DIR",
} | dict.fromkeys(
    (
        "CelebA", "Cityscapes", "Kitti", "LFWPairs", "MovingMNIST", "SBDataset", "SBU",
        "VOCDetection", "VOCSegmentation", "WIDERFace",
    ),
    "its images have no single class each",
)  # fmt: skip
_OTHER_TASKS = ("_optical_flow", "_stereo_matching")  # modules of torchvision
_TRAINED, _TESTED = ("train", "trainval", "train-standard"), ("test", "val")
_GREY = ("1", "L", "LA")  # modes of Pillow
_PROBES = 16  # items that are looked at to know the others


@dataclass(frozen=True)
class Part:
    """One part of a data set: `labels` (N,) int64, `classes` as torchvision names them."""

    dataset: Any
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    channels: int
    digest: str

    def picture(self, row: int) -> NDArray[np.uint8]:
        """Read one picture as (channels, h, w)."""
        image = self.dataset[row][0]
        if self.channels == 1:
            return np.asarray(image.convert("L"))[None]
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def known_sets() -> dict[str, type]:
    """torchvision's data sets that need no more than a folder, by name."""
    import torchvision

    found = {}
    for name in torchvision.datasets.__all__:
        cls = getattr(torchvision.datasets, name)
        module = cls.__module__.rpartition(".")[2] if inspect.isclass(cls) else _OTHER_TASKS[0]
        if name in _REFUSED or module in _OTHER_TASKS:
            continue
        needed = {
            key for key, given in _parameters(cls).items() if given is inspect.Parameter.empty
        }
        if cls is not torchvision.datasets.VisionDataset and needed <= {"root", "split"}:
            found[name] = cls
    return found


def find_set(name: str) -> type:
    """Find a data set by its name in torchvision. Raises `UsageError`."""
    known = known_sets()
    if not name:
        raise gvr.UsageError(
            "say which data set of torchvision it is, e.g. --dataset torchvision:CIFAR10; "
            f"known: {', '.join(sorted(known))}"
        )
    if name in _REFUSED:
        raise gvr.UsageError(f"torchvision's {name} is not read: {_REFUSED[name]}")
    if name not in known:
        raise gvr.UsageError(
            f"torchvision has no data set of images with one class each that is called '{name}'"
            f"{gvr.did_you_mean(name, known)}"
        )
    return known[name]


def open_parts(cls: type, root: Path | None, variant: str) -> dict[str, Part]:
    """Open `train`, and `test` where there is a labelled one. Raises `DataError`, `UsageError`."""
    takes = _parameters(cls)
    opened = _Opener(cls, root, takes, variant)
    if "train" in takes:
        return {"train": opened.part(train=True), "test": opened.part(train=False)}
    if "split" not in takes:
        return {"train": opened.part()}
    parts = {"train": opened.first(_TRAINED)}
    for split in _TESTED:
        try:
            parts["test"] = opened.part(split=split)
        except (_Unknown, _Unlabelled):
            continue
        break
    return parts


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """Tell classes of one name apart by their number."""
    counts = Counter(names)
    return tuple(name if counts[name] == 1 else f"{name} ({k})" for k, name in enumerate(names))


class _Unknown(gvr.DataError):
    """The data set has no such part."""


class _Unlabelled(gvr.DataError):
    """The items have no class."""


class _Opener:
    """Opens parts of one data set."""

    def __init__(self, cls: type, root: Path | None, takes: dict[str, Any], variant: str) -> None:
        self.cls = cls
        self.root = root
        self.options: dict[str, Any] = {}
        several = "train" in takes and "split" in takes
        if variant and not several:
            raise gvr.UsageError(f"torchvision's {cls.__name__} comes in one variant; leave it out")
        if several:
            self.options["split"] = variant
        if "loader" in takes:
            self.options["loader"] = _load
        if "root" in takes:
            self.options["root"] = str(self._place("download" in takes))
        if "download" in takes:
            self.options["download"] = root is None

    def _place(self, downloads: bool) -> Path:
        import platformdirs

        if self.root is not None:
            return self.root
        if not downloads:
            raise gvr.DataError(
                f"torchvision does not download {self.cls.__name__}; give the folder that it lies "
                "in with --data-root DIR"
            )
        return platformdirs.user_cache_path("gvr-bench") / "torchvision"

    def first(self, splits: Sequence[str]) -> Part:
        """Open the first of the parts that the data set has."""
        for split in splits[:-1]:
            try:
                return self.part(split=split)
            except _Unknown:
                continue
        return self.part(split=splits[-1])

    def part(self, **which: object) -> Part:
        """Open one part. Raises `DataError` that says what to do."""
        name = f"torchvision's {self.cls.__name__}"
        try:
            dataset = self.cls(**{**self.options, **which})
            return _read(dataset, name)
        except gvr.GvrError:
            raise
        except Exception as error:  # torchvision and what it calls may raise anything
            said = " ".join(str(error).split()).partition(" You can use download=True")[0]
            said = said.rstrip(".") or type(error).__name__
            if "Valid values are" in said:
                if "train" in which and "split" in self.options:
                    hint = "say which, e.g. --dataset torchvision:EMNIST,variant=letters"
                    raise gvr.UsageError(f"{name}: {said}; {hint}") from error
                raise _Unknown(f"{name}: {said}") from error
            raise gvr.DataError(f"{name} cannot be read: {said}; {self._advice()}") from error

    def _advice(self) -> str:
        if self.root is None:
            return "put its files into a folder as torchvision does and add --data-root DIR"
        if "download" in self.options:
            return f"it was looked for in {self.root}; leave --data-root away to download it"
        return f"it was looked for in {self.root}"


def _read(dataset: Any, name: str) -> Part:
    """Read all labels of an opened data set. Raises `DataError` where it has none."""
    from PIL.Image import Image

    n = len(dataset)
    if n == 0:
        raise gvr.DataError(f"{name} has no images")
    probes = {int(row): dataset[int(row)] for row in np.linspace(0, n - 1, _PROBES)}
    pairs = [item for item in probes.values() if isinstance(item, tuple) and len(item) == 2]
    if len(pairs) < len(probes) or not all(isinstance(image, Image) for image, _ in pairs):
        raise gvr.DataError(f"{name} does not hold pictures with a label each")
    if not all(_is_class(label) for _, label in pairs):
        raise _Unlabelled(f"{name} has no class for each image, and one is needed")
    labels = _labels(dataset, {row: label for row, (_, label) in probes.items()})
    if labels.min() < 0:
        raise _Unlabelled(f"{name} has images without a class, and each needs one")
    colour = any(image.mode not in _GREY for image, _ in pairs)
    given = getattr(dataset, "classes", None) or getattr(dataset, "categories", None) or ()
    classes = tuple(one if isinstance(one, str) else str(one[0]) for one in given)
    digest = hashlib.sha256(f"{name} {n}\n".encode() + labels.tobytes())
    for content in _content(dataset, probes):
        digest.update(content)
    return Part(dataset, labels, classes, 3 if colour else 1, digest.hexdigest())


def _is_class(label: object) -> bool:
    return isinstance(label, int | np.integer) and not isinstance(label, bool)


def _labels(dataset: Any, known: dict[int, int]) -> NDArray[np.int64]:
    """Return the column of labels that the data set keeps, or ask for every item."""
    n = len(dataset)
    for kept in vars(dataset).values():
        if not hasattr(kept, "__len__") or isinstance(kept, str | dict) or len(kept) != n:
            continue
        if isinstance(kept, list) and isinstance(kept[0], tuple):
            kept = [one[-1] for one in kept]
        if isinstance(kept, list) and not _is_class(kept[0]):
            continue
        column = np.asarray(kept)
        whole = column.ndim == 1 and column.dtype.kind in "iu"
        if whole and all(column[row] == label for row, label in known.items()):
            return column.astype(np.int64)
    return np.array([dataset[row][1] for row in range(n)], np.int64)


def _content(dataset: Any, probes: dict[int, Any]) -> Iterator[bytes]:
    """Yield what changes with the pictures: all pixels, or names and sizes of files, or a few."""
    n = len(dataset)
    pixels = getattr(dataset, "data", None)
    if pixels is not None and hasattr(pixels, "shape") and len(pixels) == n:
        yield np.ascontiguousarray(pixels).tobytes()
        return
    for kept in vars(dataset).values():
        if isinstance(kept, list) and len(kept) == n and (files := _files(kept)):
            for file in files:
                yield f"{file.name} {file.stat().st_size}\n".encode()
            return
    for image, _ in probes.values():
        yield image.tobytes()


def _files(kept: list[Any]) -> list[Path]:
    """The files that a list names, or none."""
    first = [one[0] if isinstance(one, tuple) else one for one in kept]
    if not isinstance(first[0], str | Path) or not Path(first[0]).is_file():
        return []
    return [Path(one) for one in first]


def _load(path: str | Path) -> Any:
    """Open a picture as torchvision would, in no other format than ours."""
    from PIL import Image

    return Image.fromarray(read_picture(Path(path), 3).transpose(1, 2, 0))


def _parameters(cls: type) -> dict[str, Any]:
    """Names of what a class takes with their defaults, also through `**kwargs` of its bases."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        given = inspect.signature(vars(base)["__init__"]).parameters.values()
        for parameter in given:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                found.setdefault(parameter.name, parameter.default)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in given):
            break
    found.pop("self", None)
    return found
