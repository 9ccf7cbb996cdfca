"""How time and memory of reading a folder grow with its files: `python scripts/bench/growth.py`.

Makes small grey PNGs once, links them into each layout that `folder` reads, and for each number of
files reads them in a process of its own: lists them, splits them, and looks at all pixels, as a run
does. Prints processor seconds (free of the load of the machine) and peak memory, a row at a time.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from gvr_datasets.folder.dataset import ImageFolder
from PIL import Image

from gvr_bench.core.types import SPLITS
from gvr_bench.data.verification import PixelChecks

BATCH = 512  # images
EDGE = 16  # pixels
STEP = 10_000  # files
LAYOUTS = ("table", "classes", "splits above classes", "splits below classes")
ROW = "{:<22}{:>9}{:>10}{:>10}{:>18}{:>18}{:>20}"
HEADS = (
    "layout", "files", "list (s)", "read (s)", "list, µs a file", "read, µs a file",
    "peak memory (MiB)",
)  # fmt: skip


def say(line: str) -> None:
    """Say on stderr how far it is; stdout holds the table alone."""
    print(line, file=sys.stderr, flush=True)


def make_files(pool: Path, count: int) -> None:
    """Write PNGs that differ in their noise."""
    rng = np.random.default_rng(0)
    for i in range(count):
        content = io.BytesIO()
        pixels = rng.integers(0, 256, (EDGE, EDGE), np.uint8)
        Image.fromarray(pixels).save(content, "PNG", compress_level=0)
        (pool / name(i)).write_bytes(content.getvalue())
        if (i + 1) % STEP == 0:
            say(f"{i + 1:,} of {count:,} files are made")


def name(i: int) -> str:
    """Name a file."""
    return f"{i:06d}.png"


def lay_out(pool: Path, root: Path, count: int, layout: str) -> None:
    """Link files into the folders of a layout, with their table if it has one."""
    lines = ["file,patient,finding"]
    for i in range(count):
        split, label = ("train", "valid", "train", "test")[i % 4], ("sick", "well")[i // 4 % 2]
        folder = {
            "table": "images",
            "classes": label,
            "splits above classes": f"{split}/{label}",
            "splits below classes": f"{label}/{split}",
        }[layout]
        if i < 8:  # both classes in all splits
            (root / folder).mkdir(parents=True, exist_ok=True)
        os.link(pool / name(i), root / folder / name(i))
        lines.append(f"{folder}/{name(i)},p{i // 2},{i // 4 % 2}")
    if layout == "table":
        (root / "table.csv").write_text("\n".join(lines) + "\n")


def read(root: Path) -> dict[str, float]:
    """List and read a folder; return processor seconds, and the peak memory of this process."""
    began = time.process_time()
    data = ImageFolder(ImageFolder.Settings(size=EDGE), root)
    data.fingerprint()
    splits = {name: data.split(name) for name in SPLITS}
    listed = time.process_time()
    checks = PixelChecks()
    for name, split in splits.items():
        for start in range(0, len(split), BATCH):
            index = np.arange(start, min(start + BATCH, len(split)))
            checks.add(name, split.sample_ids[index], split.images(index))
    assert checks.total == sum(map(len, splits.values()))
    return {
        "list": listed - began,
        "read": time.process_time() - listed,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure(pool: Path, count: int, layout: str) -> dict[str, float]:
    """Link files into a folder, and read it in a process of its own."""
    with tempfile.TemporaryDirectory(dir=pool) as folder:
        lay_out(pool, Path(folder), count, layout)
        say(f"{layout}: {count:,} files are read")
        command = [sys.executable, __file__, "--read", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    """Measure, and print a row of the table at a time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[12_500, 25_000, 50_000, 100_000])
    parser.add_argument("--layouts", nargs="+", default=LAYOUTS, choices=LAYOUTS)
    parser.add_argument("--read", type=Path, help="only read this folder, and print JSON")
    args = parser.parse_args()
    if args.read:
        print(json.dumps(read(args.read)))
        return
    with tempfile.TemporaryDirectory() as folder:
        pool = Path(folder)
        make_files(pool, max(args.files))
        print(ROW.format(*HEADS), flush=True)
        for layout in args.layouts:
            for count in args.files:
                took = measure(pool, count, layout)
                listed, looked = took["list"], took["read"]
                per_file = (f"{1e6 * seconds / count:.0f}" for seconds in (listed, looked))
                times = (f"{listed:.2f}", f"{looked:.2f}", *per_file)
                row = ROW.format(layout, f"{count:,}", *times, f"{took['memory']:.0f}")
                print(row, flush=True)


if __name__ == "__main__":
    main()
