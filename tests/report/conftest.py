"""Finished runs, made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_run import SOME, whole_scoreboard, write_run, write_whole_run


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
