"""Make the reference reports: the page, tables, spec and main picture of four runs.

    scripts/reference_reports.py --mnist DIR [--cache-dir DIR] [NAME...]

The runs use the networks that come with the package, so that anybody gets the same reports.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from gvr_bench.report.cases.maps import Maps, maps
from gvr_bench.report.cases.reading import read_cases
from gvr_bench.report.table_formats import export

REPORTS = Path(__file__).parents[1] / "reports"
RUNS = {
    "phantom": ("run",),
    "mnist": ("run", "--dataset", "mnist"),
    "digits": ("run", "--dataset", "digits"),
    "findings": ("experiments", "run", "findings"),
}
CASES = 5  # rows of the picture
TILE, GAP, LINE = 128, 8, 20  # pixels


def main() -> None:
    """Run those that are named, all by default, and keep what people look at."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RUNS)}")
    parser.add_argument("--mnist", type=Path, help="folder with MNIST's files")
    parser.add_argument("--cache-dir", type=Path, help="where results are kept")
    options = parser.parse_args()
    for name in options.names or RUNS:
        if name not in RUNS:
            parser.error(f"no report '{name}'; choose of {', '.join(RUNS)}")
        with tempfile.TemporaryDirectory() as folder:
            keep(run(Path(folder), name, options.mnist, options.cache_dir), name)


def run(folder: Path, name: str, mnist: Path | None, cache: Path | None) -> Path:
    """Run in a folder, so that the report names no other place of this machine."""
    more = []
    if name == "mnist" and mnist:
        (folder / "mnist").symlink_to(mnist.resolve())
        more = ["--data-root", "mnist"]
    environment = os.environ | ({"GVR_BENCH_CACHE": str(cache.resolve())} if cache else {})
    command = ["gvr_bench", *RUNS[name], *more, "--out", "run"]
    subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", *command], check=True, cwd=folder, env=environment
    )
    return folder / "run"


def keep(run: Path, name: str) -> None:
    """Copy a run's page and spec, and write its tables and picture."""
    shutil.copy(run / "index.html", REPORTS / f"{name}.html")
    shutil.copy(run / "spec.toml", REPORTS / f"{name}.toml")
    (REPORTS / f"{name}.md").write_text(export([run], "markdown"), encoding="utf-8")
    view = maps(read_cases(run), CASES)[-1]  # of the last model
    picture(view).save(REPORTS / f"{name}.png", optimize=True)


def picture(view: Maps) -> Image.Image:
    """Draw a row per case: the input, what truly differs where it is known, every explainer."""
    names = ["input", *(column.name for column in view.columns)]
    width = len(names) * (TILE + GAP) - GAP
    whole = Image.new("RGB", (width, LINE + len(view.rows) * (TILE + GAP) - GAP), "white")
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(11)
    for x, name in enumerate(names):
        draw.text((x * (TILE + GAP), 2), name.partition(" and ")[0], "black", font)
    for y, row in enumerate(view.rows):
        for x, tile in enumerate(row.tiles):
            at = x * (TILE + GAP), LINE + y * (TILE + GAP)
            for uri in filter(None, (tile.source, tile.contour)):
                drawn = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
                smooth = drawn.convert("RGBA").resize((TILE, TILE), Image.Resampling.BICUBIC)
                whole.paste(smooth, at, smooth)
    return whole


if __name__ == "__main__":
    main()
