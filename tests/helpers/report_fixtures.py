"""Finished runs, made up."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from made_up_run import SOME, whole_scoreboard, write_run, write_whole_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; tests must not change it."""
    return write_run(tmp_path_factory.mktemp("reports") / "phantom-3f9c")


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run of one's own: `make_run(records=[...], n=3)`."""
    return lambda name="run", **changes: write_run(tmp_path / name, **changes)


@pytest.fixture(scope="session")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a dozen explainers with the values of all cases; tests must not change it."""
    board = whole_scoreboard(metrics=SOME)
    return write_whole_run(tmp_path_factory.mktemp("reports") / "phantom-77aa", board)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; tests that ask for it are skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        pytest.skip("no Chromium is installed: apt install chromium")
    with playwright.sync_playwright() as run:
        chromium = run.chromium.launch(executable_path=executable)
        yield chromium
        chromium.close()
