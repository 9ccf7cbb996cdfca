"""Rationales for new images, with the models of a finished run. Nothing is trained here."""

from gvr_bench.explain.load import load
from gvr_bench.explain.model import Trained
from gvr_bench.explain.rationale import Rationale

__all__ = ["Rationale", "Trained", "load"]
