"""Make the reference reports, and a site of them: tables, spec and main picture of each run.

    scripts/reference_reports.py --mnist DIR [--cache-dir DIR] [--site DIR] [NAME...]

The runs use the networks that come with the package, or train a small one in a minute or two, so
that anybody gets the same reports.
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

from gvr_bench.report.cases.cases_file import read_cases
from gvr_bench.report.cases.maps import Maps, maps
from gvr_bench.report.table_formats import export

ROOT = Path(__file__).parents[1]
REPORTS = ROOT / "reports"
PLANTED = "planted:phantom,plant=consolidation,copies=4,base.size=32,base.train=2000,base.test=500"
RUNS = {
    "phantom": ("run",),
    "mnist": ("run", "--dataset", "mnist"),
    "digits": ("run", "--dataset", "digits"),
    "findings": ("experiments", "run", "findings"),
    "morpho": ("experiments", "run", "morpho"),
    "planted": ("run", "--dataset", PLANTED, "--head", "cnn", "--explainer", "saliency",
                "--explainer", "integrated-gradients", "--explainer", "occlusion",
                "--explainer", "grad-cam", "--metrics", "truth", "--metrics", "cost"),
}  # fmt: skip
PAGES = "phantom", "mnist", "digits"  # that are in Git
NOT_ON_SITE = {"findings"}  # another protocol of the phantom than the default run's
CASES = 5  # rows of the picture
TILE, GAP, LINE = 128, 8, 20  # pixels


def main() -> None:
    """Run those that are named, all by default, keep what people look at, and write the site."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RUNS)}")
    parser.add_argument("--mnist", type=Path, help="folder with MNIST's files")
    parser.add_argument("--cache-dir", type=Path, help="where results are kept")
    parser.add_argument(
        "--site", type=Path, default=ROOT / "build" / "reports", help="folder of the site"
    )
    options = parser.parse_args()
    names = options.names or list(RUNS)
    for name in names:
        if name not in RUNS:
            parser.error(f"no report '{name}'; choose of {', '.join(RUNS)}")
    if options.cache_dir:
        os.environ["GVR_BENCH_CACHE"] = str(options.cache_dir.resolve())
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            run(Path(folder), name, options.mnist)
            keep(Path(folder) / name)
        if of_site := [name for name in names if name not in NOT_ON_SITE]:
            type_in(Path(folder), "site", *of_site, "--out", str(options.site.resolve()))


def run(folder: Path, name: str, mnist: Path | None) -> None:
    """Run in a folder, so that the report names no other place of this machine."""
    more = []
    if name == "mnist" and mnist:
        (folder / "data").mkdir()
        (folder / "data" / "mnist").symlink_to(mnist.resolve())
        more = ["--data-root", "data/mnist"]
    type_in(folder, *RUNS[name], *more, "--out", name)


def type_in(folder: Path, *words: str) -> None:
    command = [sys.executable, "-m", "gvr_bench", *words]
    subprocess.run(command, check=True, cwd=folder)  # noqa: S603 - our own command


def keep(run: Path) -> None:
    """Copy a run's spec and, where Git has it, its page; write its tables and picture."""
    name = run.name
    if name in PAGES:
        shutil.copy(run / "index.html", REPORTS / f"{name}.html")
    shutil.copy(run / "spec.toml", REPORTS / f"{name}.toml")
    (REPORTS / f"{name}.md").write_text(export([run], "markdown"), encoding="utf-8")
    view = maps(read_cases(run), CASES)[-1]  # of the last model
    picture(view).quantize(256).save(REPORTS / f"{name}.png", optimize=True)


def picture(view: Maps) -> Image.Image:
    """Draw a row per case: the input, what truly differs where it is known, every explainer."""
    names = ["input", *view.columns]
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
