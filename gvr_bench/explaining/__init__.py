"""Rationales for new images, with the models of a finished run. Nothing is trained here."""

from __future__ import annotations

from gvr_bench.explaining.model import Trained
from gvr_bench.explaining.opening import Which, load, open_run
from gvr_bench.explaining.rationale import Rationale

__all__ = ["Rationale", "Trained", "Which", "load", "open_run"]
