"""Build pages of made-up runs and scroll through them: seconds, size, how smooth.

    python scripts/bench/pages.py [CASES...] [--explainers M] [--size PIXELS]

Frames are those of a headless Chromium that scrolls through the cases; none where there is no
Chromium or no playwright.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from timing import machine, say, table

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "helpers"))
from made_up_run import add_trajectories, whole_scoreboard, write_cases, write_whole_run

from gvr_bench.report.html import write_html

MIN_EXPLAINERS = 8  # explainers of a made-up run, one of which makes counterfactuals
SECONDS, STEP = 8, 120  # of scrolling, and pixels a frame
SCROLL = """async ([seconds, step]) => {
  const frames = [], tasks = [];
  new PerformanceObserver((list) => tasks.push(...list.getEntries().map((one) => one.duration)))
    .observe({ type: "longtask" });
  document.querySelector("#cases").scrollIntoView();
  let last = await new Promise(requestAnimationFrame);
  const end = last + 1000 * seconds;
  while (last < end) {
    scrollBy(0, step);
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - last);
    last = now;
  }
  return [frames, tasks];
}"""


def main() -> None:
    """Measure a page per number of cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", type=int, default=[12, 100], metavar="CASES")
    parser.add_argument("--explainers", type=int, default=MIN_EXPLAINERS, metavar="M")
    parser.add_argument("--size", type=int, default=64, metavar="PIXELS")
    args = parser.parse_args()
    if args.explainers < MIN_EXPLAINERS:
        parser.error(f"a made-up run has at least {MIN_EXPLAINERS} explainers")
    rows = [measured(n, args.explainers, args.size) for n in args.cases]
    print(machine())
    print(f"{args.explainers} explainers, {args.size} px\n")
    head = ("cases", "build (s)", "page (MB)", "frame: median, 99 %, worst (ms)", "tasks > 50 ms")
    print(table(head, rows))


def measured(n: int, explainers: int, size: int) -> list[str]:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        say(f"a run of {n} cases")
        run = write_whole_run(Path(folder) / "run", whole_scoreboard(n=n))
        write_cases(run / "cases.h5", n=n, size=size)
        add_trajectories(run, twins=[f"twin-{i}" for i in range(explainers - MIN_EXPLAINERS)])
        start = time.perf_counter()
        page = write_html(run)
        seconds = time.perf_counter() - start
        return [f"{n}", f"{seconds:.1f}", f"{page.stat().st_size / 1e6:.1f}", *scrolled(page)]


def scrolled(page: Path) -> tuple[str, str]:
    """How long frames took, and what held up the browser."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None or find_spec("playwright") is None:
        return "not measured", ""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as run:
        browser = run.chromium.launch(executable_path=chromium)
        view = browser.new_page(viewport={"width": 1280, "height": 800})
        view.goto(page.as_uri())
        frames, tasks = view.evaluate(SCROLL, [SECONDS, STEP])
        browser.close()
    median, late = np.percentile(frames, (50, 99))
    held = f"{len(tasks)}, the longest {max(tasks):.0f} ms" if tasks else "none"
    return f"{median:.0f}, {late:.0f}, {max(frames):.0f}", held


if __name__ == "__main__":
    main()
