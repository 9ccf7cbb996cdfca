"""A run as the report shows it: its folder, and the published experiment that it repeats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gvr_bench.report.experiment import Experiment, read_experiment
from gvr_bench.results.run_folder import RunFolder, read_run_folder


@dataclass(frozen=True)
class Run(RunFolder):
    """A finished run; `experiment` is the published one that it repeats, if any."""

    experiment: Experiment | None


def load(path: Path) -> Run:
    """Read a run without its images. Raises `DataError` for what is missing or damaged."""
    return Run(**vars(read_run_folder(path)), experiment=read_experiment(path))
