"""Fixtures of tests of data sets."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_images import Own


@pytest.fixture
def own(tmp_path: Path) -> Own:
    return Own(tmp_path / "own")
