"""Reads the folder of a run: records, spec, environment, values and protocols."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import h5py

from gvr_bench.cache.hdf5 import BAD_HDF5, refuse_foreign
from gvr_bench.core.errors import CacheError, DataError
from gvr_bench.pipeline.case_scores import Fact, RunValues, read_protocols, read_values
from gvr_bench.report import check_run
from gvr_bench.report.experiment import Experiment, read_experiment
from gvr_bench.results.records import Record, read_records

T = TypeVar("T")

_LONGEST = 200  # characters of an error that a user is shown


@dataclass(frozen=True)
class Stage:
    """One row of what was done; `status` is done, cached, failed or skipped.

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

    `records` is how many were written, None in runs that did not count them.
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
class Run:
    """A finished run; `units` maps a data set to the unit of its targets where it has one.

    `experiment` is the published one that it repeats, if any. `values` and `protocols`, what each
    protocol consists of, are empty for runs of older versions.
    """

    path: Path
    records: tuple[Record, ...]
    spec: str
    environment: Environment
    units: Mapping[str, str]
    experiment: Experiment | None
    values: RunValues
    protocols: Mapping[str, Mapping[str, Fact]]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.resolve().name


def load(path: Path) -> Run:
    """Read a run without its pictures. Raises `DataError` for what is missing or damaged."""
    check_run(path)
    environment, spec = _environment(path), _spec(path)
    records = tuple(read_records(path / "records.jsonl"))
    if environment.records not in (None, len(records)):
        raise DataError(
            f"{path / 'records.jsonl'} holds {len(records)} records of {environment.records}: it "
            f"was cut off; {_again(path)}"
        )
    values, protocols = _values(path)
    experiment = read_experiment(path)
    return Run(path, records, spec, environment, _units(path), experiment, values, protocols)


def _spec(path: Path) -> str:
    """The text of the spec, which a page offers to save and to run again."""
    try:
        text = (path / "spec.toml").read_text(encoding="utf-8")
        tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read {path / 'spec.toml'}: {error}; correct it, or make the run again with "
            f"the command of {path / 'environment.json'}: gvr-bench run ..."
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
    return lines[0] if len(lines[0]) <= _LONGEST else f"{lines[0][:_LONGEST]}…"


def _again(path: Path) -> str:
    return f"write it again with: gvr-bench run {path / 'spec.toml'} --out {path}"


def open_cases(path: Path) -> h5py.File:
    """Open `cases.h5` of a run for reading.

    Raises `DataError` where it is damaged, or leads to other files.
    """
    try:
        return refuse_foreign(h5py.File(path / "cases.h5", "r"))
    except BAD_HDF5 as error:
        raise DataError(f"cannot read {path / 'cases.h5'}: {error}; {_again(path)}") from error


def _values(path: Path) -> tuple[RunValues, Mapping[str, Mapping[str, Fact]]]:
    values, protocols = path / "values.h5", path / "protocols.json"
    try:
        with reading(path, "values.h5", "the values"):
            found = _checked(read_values(values) if values.is_file() else RunValues())
        with reading(path, "protocols.json", "the protocols"):
            return found, _writable(read_protocols(protocols) if protocols.is_file() else {})
    except CacheError as error:
        raise DataError(f"{error}; {_again(path)}") from error


def _checked(found: RunValues) -> RunValues:
    """Values as they were, if they are one number per case. Raises `ValueError`."""
    for (_, metric), values in found.values.items():
        if not isinstance(metric, str) or values.ndim != 1 or values.dtype.kind != "f":
            raise ValueError(f"{metric} has values of shape {values.shape} and {values.dtype}")
    for (_, name), recipe in found.recipes.items():
        if not isinstance(recipe, str):
            raise ValueError(f"the recipe of {name} is {recipe!r}")
    return found


def _writable(content: T) -> T:
    """Content as it was, if it has no half characters, which nothing can write. Else raises."""
    json.dumps(content, ensure_ascii=False).encode()
    return content


def _environment(path: Path) -> Environment:
    with reading(path, "environment.json", "the environment"):
        text = (path / "environment.json").read_text(encoding="utf-8")
        raw: dict[str, Any] = _writable(json.loads(text))
        words = ("gvr_bench", "python", "torch", "platform", "cpu", "device", "started", "command")
        texts = {word: str(raw.get(word) or "") for word in words}
        stages = tuple(_stage(row) for row in raw.get("stages", ()))
        records = raw.get("records")
        if not (records is None or isinstance(records, int)):
            raise ValueError(f"it has {records!r} records")
        return Environment(**texts, seconds=_seconds(raw), stages=stages, records=records)


def _stage(row: Mapping[str, Any]) -> Stage:
    kind, name = str(row["kind"]), str(row["name"])
    return Stage(
        kind=kind,
        name=name,
        part=str(row.get("title") or "").removeprefix(f"{kind} {name}").removeprefix(", "),
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
    if not (path / "cases.h5").is_file():
        return {}
    with open_cases(path) as file, reading(path, "cases.h5", "the cases"):
        groups = [group.attrs for group in file.values()]
        units = {str(attrs["dataset"]): str(attrs["unit"]) for attrs in groups if "unit" in attrs}
        return _writable(units)
