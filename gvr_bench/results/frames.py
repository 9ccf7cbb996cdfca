"""The records of runs as a data frame."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from gvr_bench.results.files import RECORDS, run_names
from gvr_bench.results.records import Record, read_records
from gvr_bench.results.run_folder import check_run

if TYPE_CHECKING:
    import pandas


def read_results(*runs: str | Path) -> pandas.DataFrame:
    """Read the scores of finished runs: one row per score, the columns those of `Record`.

    The first column, `run`, is the name of the folder, or its path where several have that name.
    A score that does not exist is NaN, with its `status` and `reason`. Compare values within one
    `protocol` only.

    Raises `DataError` for a folder that holds no finished run.
    """
    import pandas

    folders = [check_run(Path(run)) for run in runs]
    rows = [
        {"run": name, **dataclasses.asdict(record)}
        for folder, name in zip(folders, run_names(folders), strict=True)
        for record in read_records(folder / RECORDS)
    ]
    columns = ["run", *(field.name for field in dataclasses.fields(Record))]
    frame = pandas.DataFrame(rows, columns=columns)
    return frame.astype(dict.fromkeys(("value", "low", "high"), float))
