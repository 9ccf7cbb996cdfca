"""Film the slider of a report's page, from the image to the counterfactual and back.

    scripts/film_slider.py PAGE OUT.gif [--case CASE] [--explainer NAME]

Needs Chromium and what the tests of pages need: pip install -e '.[dev]'
"""

from __future__ import annotations

import argparse
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageOps
from playwright.sync_api import sync_playwright

from gvr_bench.report.figures.style import PAPER

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

MILLISECONDS, AT_THE_ENDS = 160, 1200  # that a step is shown
MARGIN = 12  # pixels
MOVE = """(slider, step) => {
  slider.value = step;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
}"""
LOADED = "strip => [...strip.querySelectorAll('img')].every(one => one.naturalWidth)"


def main() -> None:
    """Write the film; in the light theme, half as large again as on the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path, help="index.html of a run")
    parser.add_argument("out", type=Path, help="GIF")
    parser.add_argument("--case", default="case-0-0", help="id of a case in the page")
    parser.add_argument("--explainer", default="gvr-robust")
    options = parser.parse_args()
    with sync_playwright() as run:
        browser = run.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(device_scale_factor=1.5, viewport={"width": 600, "height": 900})
        page.goto(options.page.resolve().as_uri())
        frames = list(film(strip_of(page, options.case, options.explainer)))
        browser.close()
    times = [MILLISECONDS] * len(frames)
    times[0] = times[len(frames) // 2] = AT_THE_ENDS
    colours = frames[len(frames) // 2].quantize(128)  # one palette, so that nothing flickers
    first, *others = (frame.quantize(palette=colours) for frame in frames)
    first.save(options.out, save_all=True, append_images=others, duration=times, loop=0)
    print(f"{options.out}: {len(frames)} frames, {options.out.stat().st_size / 1e3:.0f} kB")


def strip_of(page: Page, case: str, explainer: str) -> Locator:
    """Open a case; return the part of it that shows an explainer's search, with its pictures."""
    item = page.locator(f"#{case}")
    item.locator("summary").click()
    strip = item.get_by_role("group", name=explainer, exact=True).filter(has=page.locator("input"))
    strip.locator("img").evaluate_all("all => all.forEach(one => { one.loading = 'eager' })")
    page.wait_for_function(LOADED, arg=strip.element_handle())
    return strip


def film(strip: Locator) -> Iterator[Image.Image]:
    """Yield a picture of every step, there and back."""
    slider = strip.get_by_role("slider")
    last = int(slider.get_attribute("max") or 0)
    for step in (*range(last + 1), *range(last - 1, 0, -1)):
        slider.evaluate(MOVE, step)
        shot = Image.open(io.BytesIO(strip.screenshot())).convert("RGB")
        yield ImageOps.expand(shot, MARGIN, PAPER)


if __name__ == "__main__":
    main()
