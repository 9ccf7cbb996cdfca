"""Runs with all that a report shows of them: page and terminal share the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gvr_bench.report.cases.cases_file import Combination, read_cases
from gvr_bench.report.published_numbers import published_tables
from gvr_bench.report.run import Run, load
from gvr_bench.report.scoreboards import model_tables, scoreboards
from gvr_bench.report.shared_cases import share_cases
from gvr_bench.report.tables import Table
from gvr_bench.report.verdict import Verdict, verdicts
from gvr_bench.report.warnings import warnings


@dataclass(frozen=True)
class ReportData:
    """One run or several, their tables, and what the tables show."""

    runs: tuple[Run, ...]
    published: tuple[Table, ...]
    models: tuple[Table, ...]
    boards: tuple[Table, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        return (*self.published, *self.models, *self.boards)

    @property
    def run(self) -> Run:
        (run,) = self.runs
        return run

    @cached_property
    def combinations(self) -> list[Combination]:
        """The explained models with their cases. Raises `DataError` for damaged ones."""
        return [c for run in self.runs for c in read_cases(run.path)]

    @cached_property
    def verdicts(self) -> list[Verdict]:
        return verdicts(self.models, self.boards)

    @cached_property
    def warnings(self) -> list[str]:
        """What limits the numbers of the runs. Raises `DataError` for damaged cases."""
        caveats = [verdict.caveat for verdict in self.verdicts if verdict.caveat]
        others = warnings(self.runs, self.models, self.boards, self.combinations, caveats)
        return [*self.data_cautions, *others]

    @property
    def data_cautions(self) -> list[str]:
        """What makes results of the data sets doubtful, once each."""
        lines = [
            f"{d.dataset}: {line}" for run in self.runs for d in run.data for line in d.cautions
        ]
        return list(dict.fromkeys(lines))


def load_report(folders: Sequence[Path]) -> ReportData:
    """Read runs and make their tables over the cases that they share. Raises `DataError`.

    Pictures of cases are read when they are first used.
    """
    runs = tuple(share_cases([load(folder) for folder in folders]))
    return ReportData(
        runs, tuple(published_tables(runs)), tuple(model_tables(runs)), tuple(scoreboards(runs))
    )
