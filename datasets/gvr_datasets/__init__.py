"""The data sets that come with gvr-bench; the package contains no images."""

from __future__ import annotations

from collections.abc import Iterator

import gvr_bench.api as gvr

_ROWS = (
    (
        "phantom",
        "phantom.dataset:Phantom",
        "synthetic chest radiographs; heart failure as BNP, a blood marker, with ground truth",
    ),
    ("digits", "digits:Digits", "1,797 handwritten digits, from scikit-learn"),
    ("mnist", "mnist:Mnist", "70,000 handwritten digits"),
    ("chestxray8", "chestxray8.dataset:ChestXray8", "NIH chest radiographs"),
    ("radiographs", "radiographs:Radiographs", "your own radiographs with a table of BNP"),
    (
        "folder",
        "folder.dataset:ImageFolder",
        "your own images with a table, or one subfolder per class",
    ),
    ("npz", "npz:Npz", "arrays in one file, laid out as MedMNIST's"),
    ("torchvision", "torchvision_dataset:Torchvision", "a data set of torchvision"),
    ("planted", "planted.dataset:Planted", "findings planted in images of another data set"),
    ("morpho", "morpho.dataset:Morpho", "digits of another data set with changed strokes"),
)


@gvr.hookimpl
def gvr_plugins() -> Iterator[gvr.Plugin]:
    """Yield the rows of the data sets."""
    for name, target, summary in _ROWS:
        yield gvr.Plugin(
            api=1, kind="dataset", name=name, target=f"gvr_datasets.{target}", summary=summary
        )
