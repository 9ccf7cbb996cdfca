"""The folder of a run: its files are written and read here, and in the modules beside this one.

spec.toml, environment.json, records.jsonl (`records`), values.h5 (`case_scores`), protocols.json,
data.json (`data_summary`), and cases.h5 (`cases_file`).
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gvr_bench.cache.hdf5 import BAD_HDF5, refuse_foreign
from gvr_bench.cache.serialization import replacing, write_json
from gvr_bench.core.errors import CacheError, DataError
from gvr_bench.results.case_scores import RunValues, read_values, write_values
from gvr_bench.results.data_summary import DataSummary, read_summaries
from gvr_bench.results.files import (
    CASES,
    DATA,
    ENVIRONMENT,
    FILES,
    PROTOCOLS,
    RECORDS,
    SPEC,
    VALUES,
    rerun_command,
)
from gvr_bench.results.protocols import Fact, Protocols, read_protocols, write_protocols
from gvr_bench.results.records import Record, read_records, write_records

if TYPE_CHECKING:
    import h5py

T = TypeVar("T")

MAX_ERROR = 200  # characters of an error that a user is shown


@dataclass(frozen=True)
class Stage:
    """One row of what was done; `status` is done, cached, failed, skipped or n/a.

    `part` says which of several stages of that kind and name it is, where there are several.
    """

    kind: str
    name: str
    part: str
    key: str
    status: str
    seconds: float
    reason: str


@dataclass(frozen=True)
class Environment:
    """Where and when the run was made; `started` is ISO 8601, `seconds` the wall time.

    `records` is how many were written, None where the file does not say.
    """

    gvr_bench: str
    python: str
    torch: str
    platform: str
    cpu: str
    device: str
    started: str
    seconds: float
    command: str
    stages: tuple[Stage, ...]
    records: int | None = None


@dataclass(frozen=True)
class RunFolder:
    """A finished run; `units` maps a data set to the unit of its targets where it has one.

    `protocols` maps the hash of a protocol to how its cases or images are chosen. `values`,
    `protocols` and `data` are empty where the run has no such file.
    """

    path: Path
    records: tuple[Record, ...]
    spec: str
    environment: Environment
    units: Mapping[str, str]
    values: RunValues
    protocols: Mapping[str, Mapping[str, Fact]]
    data: tuple[DataSummary, ...]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.resolve().name


def write_run_folder(
    out: Path,
    spec: str,
    environment: Mapping[str, Any],
    values: RunValues,
    protocols: Protocols,
    records: Iterable[Record],
) -> None:
    """Write all but the cases; the records, which mark a finished run, last."""
    with replacing(out / SPEC) as partial:
        partial.write_text(spec, encoding="utf-8")
    write_json(out / ENVIRONMENT, environment)
    write_values(out / VALUES, values)
    write_protocols(out / PROTOCOLS, protocols)
    write_records(out / RECORDS, records)


def read_run_folder(path: Path) -> RunFolder:
    """Read a run without its images. Raises `DataError` for what is missing or damaged."""
    check_run(path)
    environment, spec = _environment(path), _spec(path)
    records = tuple(read_records(path / RECORDS))
    if environment.records not in (None, len(records)):
        raise DataError(
            f"{path / RECORDS} holds {len(records)} records of {environment.records}: it was cut "
            f"off; {_again(path)}"
        )
    values, protocols = _values_and_protocols(path)
    data: tuple[DataSummary, ...] = ()
    if (path / DATA).is_file():
        with reading(path, DATA, "the data sets"):
            data = read_summaries(path / DATA)
            _writable([vars(summary) for summary in data])
    return RunFolder(path, records, spec, environment, _units(path), values, protocols, data)


def check_run(path: Path) -> Path:
    """Return `path` if it is the folder of a finished run.

    `cases.h5` may be absent: a run whose models all failed has no cases to show. Raises
    `DataError` naming what is missing and what to type.
    """
    if not path.exists():
        raise DataError(f"there is no run at {path}; make one with: gvr-bench run --out {path}")
    if path.is_file():
        raise DataError(
            f"{path} is a file, not the folder of a run; type: gvr-bench report {path.parent}"
        )
    missing = [name for name in FILES if not (path / name).is_file()]
    if len(missing) == len(FILES):
        raise DataError(
            f"{path} is not the folder of a run (it has no {', '.join(missing)}); "
            "make one with: gvr-bench run"
        )
    if not missing:
        return path
    again = f"finish it with: {rerun_command(path)}"
    if SPEC in missing:  # to run the defaults would put another run in its place
        again = f"put it back, or repeat the command that made it: gvr-bench run ... --out {path}"
    verb = "is" if len(missing) == 1 else "are"
    raise DataError(
        f"the run at {path} is incomplete: {', '.join(missing)} {verb} missing; {again}"
    )


def _spec(path: Path) -> str:
    """The text of the spec, which a page offers to save and to run again."""
    try:
        text = (path / SPEC).read_text(encoding="utf-8")
        tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read {path / SPEC}: {error}; correct it, or make the run again with "
            f"the command of {path / ENVIRONMENT}: gvr-bench run ..."
        ) from error
    return text


@contextmanager
def reading(path: Path, name: str, what: str) -> Iterator[None]:
    """Turn all that a damaged file of the run at `path` may raise into one `DataError`."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise DataError(
            f"{path / name} is not {what} of a run ({_first_line(error)}); {_again(path)}"
        ) from error


def _first_line(error: Exception) -> str:
    """What went wrong, at a length that can be read."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) <= MAX_ERROR else f"{lines[0][:MAX_ERROR]}…"


def _again(path: Path) -> str:
    return f"write it again with: {rerun_command(path)}"


def open_cases(path: Path) -> h5py.File:
    """Open `cases.h5` of a run for reading.

    Raises `DataError` where it is damaged, or leads to other files.
    """
    import h5py

    try:
        return refuse_foreign(h5py.File(path / CASES, "r"))
    except BAD_HDF5 as error:
        raise DataError(f"cannot read {path / CASES}: {error}; {_again(path)}") from error


def _values_and_protocols(path: Path) -> tuple[RunValues, Mapping[str, Mapping[str, Fact]]]:
    values, protocols = path / VALUES, path / PROTOCOLS
    try:
        with reading(path, VALUES, "the values"):
            run_values = _checked(read_values(values) if values.is_file() else RunValues())
        with reading(path, PROTOCOLS, "the protocols"):
            return run_values, _writable(read_protocols(protocols) if protocols.is_file() else {})
    except CacheError as error:
        raise DataError(f"{error}; {_again(path)}") from error


def _checked(run: RunValues) -> RunValues:
    """Values as they were, if they are one number per case. Raises `ValueError`."""
    for (_, metric), values in run.values.items():
        if not isinstance(metric, str) or values.ndim != 1 or values.dtype.kind != "f":
            raise ValueError(f"{metric} has values of shape {values.shape} and {values.dtype}")
    for (_, name), recipe in run.recipes.items():
        if not isinstance(recipe, str):
            raise ValueError(f"the recipe of {name} is {recipe!r}")
    return run


def _writable(content: T) -> T:
    """Content as it was, if it has no half characters, which nothing can write. Else raises."""
    json.dumps(content, ensure_ascii=False).encode()
    return content


def _environment(path: Path) -> Environment:
    with reading(path, ENVIRONMENT, "the environment"):
        text = (path / ENVIRONMENT).read_text(encoding="utf-8")
        raw: dict[str, Any] = _writable(json.loads(text))
        names = ("gvr_bench", "python", "torch", "platform", "cpu", "device", "started", "command")
        texts = {name: str(raw.get(name) or "") for name in names}
        stages = tuple(_stage(row) for row in raw.get("stages", ()))
        records = raw.get("records")
        if not (records is None or isinstance(records, int)):
            raise ValueError(f"it has {records!r} records")
        return Environment(**texts, seconds=_seconds(raw), stages=stages, records=records)


def _stage(row: Mapping[str, Any]) -> Stage:
    return Stage(
        kind=str(row["kind"]),
        name=str(row["name"]),
        part=str(row.get("part") or ""),
        key=str(row.get("key") or ""),
        status=str(row["status"]),
        seconds=_seconds(row),
        reason=str(row.get("reason") or ""),
    )


def _seconds(row: Mapping[str, Any]) -> float:
    seconds = float(row.get("seconds") or 0)
    if not math.isfinite(seconds):
        raise ValueError(f"it took {seconds} seconds")
    return seconds


def _units(path: Path) -> dict[str, str]:
    if not (path / CASES).is_file():
        return {}
    with open_cases(path) as file, reading(path, CASES, "the cases"):
        groups = [group.attrs for group in file.values()]
        units = {str(attrs["dataset"]): str(attrs["unit"]) for attrs in groups if "unit" in attrs}
        return _writable(units)
