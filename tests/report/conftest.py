"""Finished runs, made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_run import write_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; tests must not change it."""
    return write_run(tmp_path_factory.mktemp("reports") / "phantom-3f9c")


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run of one's own: `make_run(records=[...], n=3)`."""
    return lambda name="run", **changes: write_run(tmp_path / name, **changes)
