"""How time and memory of reading a folder grow with its files: `python scripts/bench/growth.py`.

Makes small grey PNGs in each layout that `folder` reads, and for each number of files reads them in
a process of its own: lists them, splits them, and looks at all pixels, as a run does. Prints
processor seconds (free of the load of the machine) and peak memory.
"""

from __future__ import annotations

import argparse
import io
import json
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
LAYOUTS = ("table", "classes", "splits above classes", "splits below classes")


def make_files(root: Path, count: int, layout: str) -> None:
    """Write PNGs that differ in their noise."""
    rng = np.random.default_rng(0)
    lines = ["file,patient,finding"]
    for i in range(count):
        split, label = ("train", "valid", "train", "test")[i % 4], ("sick", "well")[i // 4 % 2]
        folder = {
            "table": "images",
            "classes": label,
            "splits above classes": f"{split}/{label}",
            "splits below classes": f"{label}/{split}",
        }[layout]
        path = root / folder / f"{i:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        pixels = rng.integers(0, 256, (EDGE, EDGE), np.uint8)
        Image.fromarray(pixels).save(content, "PNG", compress_level=0)
        path.write_bytes(content.getvalue())
        lines.append(f"{folder}/{path.name},p{i // 2},{i // 4 % 2}")
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


def measure(count: int, layout: str) -> dict[str, float]:
    """Make a folder, and read it in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        make_files(Path(folder), count, layout)
        command = [sys.executable, __file__, "--read", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[12_500, 25_000, 50_000, 100_000])
    parser.add_argument("--layouts", nargs="+", default=LAYOUTS, choices=LAYOUTS)
    parser.add_argument("--read", type=Path, help="only read this folder, and print JSON")
    args = parser.parse_args()
    if args.read:
        print(json.dumps(read(args.read)))
        return
    from timing import say, table  # which loads torch, and would be measured

    rows = []
    for layout in args.layouts:
        for count in args.files:
            took = measure(count, layout)
            rows.append(
                (
                    layout,
                    f"{count:,}",
                    f"{took['list']:.2f}",
                    f"{took['read']:.2f}",
                    f"{1e6 * (took['list'] + took['read']) / count:.0f}",
                    f"{took['memory']:.0f}",
                )
            )
    heads = ("layout", "files", "list (s)", "read (s)", "per file (µs)", "peak memory (MiB)")
    say(table(heads, rows))


if __name__ == "__main__":
    main()
