"""Networks of these tests have the same weights in every run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def same_weights() -> Iterator[None]:
    """Seed torch: with some weights an output hardly differs, and a comparison fails by chance."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
