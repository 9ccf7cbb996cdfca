"""Rationales for new images, with the models of a finished run. Nothing is trained here."""

from gvr_bench.explain.load import ModelSelector, load, open_run
from gvr_bench.explain.model import Trained
from gvr_bench.explain.rationale import Rationale

__all__ = ["ModelSelector", "Rationale", "Trained", "load", "open_run"]
