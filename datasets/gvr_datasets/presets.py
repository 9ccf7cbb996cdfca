"""How large images are made, where the profile decides it alone."""

from __future__ import annotations

from collections.abc import Mapping

SIZES: Mapping[str, Mapping[str, int]] = {
    "quick": {"size": 32},
    "standard": {"size": 64},
    "paper": {"size": 128},
}
