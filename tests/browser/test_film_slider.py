"""The film of a page's slider that the README shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from made_up_run import add_trajectories, write_run
from PIL import Image

from gvr_bench.report.html import write_html

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SCRIPT = Path(__file__).parents[2] / "scripts" / "film_slider.py"


def test_film_goes_there_and_back(browser: Browser, tmp_path: Path) -> None:
    page = write_html(add_trajectories(write_run(tmp_path / "run", n=2, size=16)))
    assert browser.is_connected()
    command = [sys.executable, SCRIPT, page, tmp_path / "film.gif", "--explainer", "gvr"]
    subprocess.run(command, check=True)
    with Image.open(tmp_path / "film.gif") as film:
        pictures = []
        for number in range(film.n_frames):
            film.seek(number)
            pictures.append(film.convert("RGB").tobytes())
    middle = len(pictures) // 2
    assert middle > 1
    assert pictures[0] != pictures[middle]
    assert pictures[1] == pictures[-1]
