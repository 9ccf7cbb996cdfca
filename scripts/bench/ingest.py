"""What reading a data set costs beside bare decoding: `python scripts/bench/ingest.py`.

Makes grey PNGs with the noise of a radiograph, and reads them in turns: decoded by Pillow alone in
one thread and in as many as the stage uses, and by the stage that reads a data set (`data`), which
also letterboxes them and writes its file. All files are in the page cache after the first round.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from gvr_datasets.folder.dataset import ImageFolder
from PIL import Image
from timing import machine, ratio, say, seconds_of, spread, table

import gvr_bench.api as gvr
from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.checkpoints import FileCheckpoints
from gvr_bench.cache.hdf5 import write_arrays
from gvr_bench.core.stage import Stage
from gvr_bench.data.image_io import letterbox, read_picture
from gvr_bench.pipeline.stage_context import StageContext
from gvr_bench.pipeline.steps.data import compute_data

CPU = torch.device("cpu")
SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}


def radiograph(edge: int, rng: np.random.Generator) -> Image.Image:
    """Make up a picture whose PNG is about as large as that of a radiograph of its size."""
    coarse = rng.normal(120, 50, (edge // 64 + 1, edge // 64 + 1)).clip(0, 255).astype(np.uint8)
    smooth = Image.fromarray(coarse).resize((edge, edge), Image.Resampling.BICUBIC)
    noise = rng.normal(0, 2.0, (edge, edge))
    return Image.fromarray((np.asarray(smooth) + noise).clip(0, 255).astype(np.uint8))


def make_files(root: Path, count: int, edge: int) -> list[Path]:
    """Write PNGs and their table."""
    rng = np.random.default_rng(0)
    files, lines = [], ["file,split,finding"]
    names = [name for name, share in SHARES.items() for _ in range(round(share * count))]
    for i, name in enumerate(names):
        path = root / f"{i:06d}.png"
        radiograph(edge, rng).save(path)
        files.append(path)
        lines.append(f"{path.name},{name},{i % 2}")
    (root / "table.csv").write_text("\n".join(lines) + "\n")
    return files


def decode(path: Path) -> None:
    """Decode a file with Pillow and nothing else."""
    with Image.open(path) as image:
        image.load()


def in_threads(work: Callable[[Path], object], files: list[Path], threads: int) -> None:
    """Do something with each file."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, files))


def read_all(dataset: gvr.Dataset) -> None:
    """Compute the stage that reads a data set, as a run does."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage("data", "folder", "1", {}, component=dataset)
        cache = ArtifactCache(Path(folder))
        checkpoints = FileCheckpoints(cache.write_dir(stage) / "work", 30.0)
        with cache.lock(stage):
            compute_data(StageContext(stage, cache, gvr.Context(CPU, checkpoints=checkpoints)))
            cache.commit(stage, {"seconds": 0.0})


def parts(files: list[Path], size: int) -> str:
    """Return a table of where the time of one image goes, in one thread."""
    took: dict[str, list[float]] = defaultdict(list)
    for path in files:
        marks = [time.perf_counter()]
        decode(path)
        marks.append(time.perf_counter())
        picture = read_picture(path, 1)
        marks.append(time.perf_counter())
        letterbox(picture, size)
        marks.append(time.perf_counter())
        names = ("decoding", "decoding, checks and copies", "letterboxing")
        for name, start, end in zip(names, marks, marks[1:], strict=False):
            took[name].append(1000 * (end - start))
    rows = [(name, spread(values)) for name, values in took.items()]
    with tempfile.TemporaryDirectory() as folder:
        arrays = {"images": np.zeros((len(files), 1, size, size), np.uint8)}
        seconds = seconds_of(lambda: write_arrays(Path(folder, "x.h5"), arrays), CPU)
        rows.append(("writing HDF5", f"{1000 * seconds / len(files):.3g}"))
    return table(("of one image", "milliseconds"), rows)


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--edge", type=int, default=1024, help="pixels of a file")
    parser.add_argument("--size", type=int, default=128, help="pixels of an image")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    threads = min(8, os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(Path(folder), args.images, args.edge)
        disk = sum(path.stat().st_size for path in files) / len(files) / 1e6
        dataset = ImageFolder(ImageFolder.Settings(size=args.size), Path(folder))
        ways = {
            "Pillow alone, 1 thread": lambda: in_threads(decode, files, 1),
            f"Pillow alone, {threads} threads": lambda: in_threads(decode, files, threads),
            "the stage": lambda: read_all(dataset),
        }
        took, busy = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
        for number in range(args.rounds + 1):  # the first is a warm-up
            for name, work in ways.items():
                before = time.process_time()
                seconds = seconds_of(work, CPU)
                if number:
                    took[name].append(seconds / len(files))
                    busy[name].append(1000 * (time.process_time() - before) / len(files))
            say(f"ingest: round {number} of {args.rounds}")
        bare = took[f"Pillow alone, {threads} threads"]
        rows = [
            (name, spread(1 / value for value in values), ratio(bare, values), spread(busy[name]))
            for name, values in took.items()
        ]
        say(machine())
        print(f"{len(files)} PNGs of {args.edge} px, {disk:.2f} MB each, to {args.size} px\n")
        beside = f"times Pillow alone, {threads} threads"
        print(table(("", "images/s", beside, "processor time, ms/image"), rows))
        print(parts(files[:100], args.size))


if __name__ == "__main__":
    main()
