"""Which test images a network from elsewhere was trained on, as far as its owner lists them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from gvr_bench.core.digests import files_below
from gvr_bench.core.errors import DataError, UsageError
from gvr_bench.core.types import SPLITS, Bools, Bytes
from gvr_bench.data.image_io import read_pictures
from gvr_bench.pipeline.stage_context import StageContext

PART = 512  # images read at a time


def seen_in_training(stage_ctx: StageContext, listed: Path) -> Bools:
    """Return which test images (N,) were trained on, or are of a patient that was.

    `listed` is a folder with the training images, which are compared by their pixels, or a table of
    their names. Raises `UsageError` or `DataError`.
    """
    if listed.is_dir():
        return same_pixels(stage_ctx, listed)
    return same_names(stage_ctx, listed)


def same_names(stage_ctx: StageContext, table: Path) -> Bools:
    """Compare test images by name and patient with a table: file, and patient and split if known.

    Rows of its split `test` were not trained on. Raises `UsageError` where it has no such images.
    """
    import pandas as pd

    try:
        with table.open(encoding="utf-8-sig") as file:
            first = file.readline()
        between = next((sign for sign in ",\t;" if sign in first), ",")
        rows = pd.read_csv(table, sep=between, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # pandas' own are ValueErrors
        raise UsageError(f"cannot read {table}: {error}") from error
    if "file" not in rows:
        raise UsageError(f"{table} has no column 'file'; beside it may be patient and split")
    if "split" in rows:
        rows = rows[rows["split"].str.lower() != "test"]
    columns = [f"{split}/{name}" for split in SPLITS for name in ("sample_ids", "patient_ids")]
    arrays = stage_ctx.arrays("data", *columns)
    known = np.concatenate([arrays[f"{split}/sample_ids"] for split in SPLITS])
    if not np.isin(known, rows["file"]).any():
        raise UsageError(
            f"no file of {table} is one of the data set's, such as {known[0]}; name them as "
            "gvr-bench datasets split does, or give the folder of the training images"
        )
    matches = np.isin(arrays["test/sample_ids"], rows["file"])
    if "patient" in rows:
        matches |= np.isin(arrays["test/patient_ids"], rows["patient"])
    return np.asarray(matches)


def same_pixels(stage_ctx: StageContext, folder: Path) -> Bools:
    """Compare test images by their pixels, as the data set reads them, with those of a folder.

    Files that are no images are left out. Raises `UsageError` where there are none.
    """
    dataset, known = stage_ctx.dataset(), set()
    files = files_below(folder)
    for number, file in enumerate(files):
        stage_ctx.ctx.progress(number, len(files), "training images")
        try:
            pixels = dataset.read(file)
            known.add(digest(read_pictures([file], dataset.image)[0] if pixels is None else pixels))
        except DataError:
            continue
    if not known:
        raise UsageError(f"{folder} holds no image; give the folder of the training images")
    images, matches = stage_ctx.images("test"), []
    for rows in stage_ctx.ctx.batches(len(images), PART):
        (part,) = stage_ctx.arrays("data", "test/images", rows=rows).values()
        matches += [digest(image) in known for image in part]
    return np.array(matches)


def digest(pixels: Bytes) -> bytes:
    return hashlib.sha256(pixels.tobytes()).digest()
