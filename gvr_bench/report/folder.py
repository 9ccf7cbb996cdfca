"""Reads the folder of a run: records, spec, environment, values and protocols."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from gvr_bench.errors import DataError, StoreError
from gvr_bench.records import Record, read_records
from gvr_bench.report import check_run
from gvr_bench.report.experiment import Experiment, read_experiment
from gvr_bench.values import Fact, RunValues, read_protocols, read_values


@dataclass(frozen=True)
class Stage:
    """One row of what was done; `status` is done, cached, failed or skipped."""

    kind: str
    name: str
    key: str
    status: str
    seconds: float
    reason: str


@dataclass(frozen=True)
class Environment:
    """Where and when the run was made; `started` is ISO 8601, `seconds` the wall time."""

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
    try:
        spec = (path / "spec.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path / 'spec.toml'}: {error}") from error
    records = tuple(read_records(path / "records.jsonl"))
    environment = _environment(path / "environment.json")
    values, protocols = _values(path)
    experiment = read_experiment(path)
    return Run(path, records, spec, environment, _units(path), experiment, values, protocols)


def open_cases(path: Path) -> h5py.File:
    """Open `cases.h5` of a run for reading. Raises `DataError` where it is damaged."""
    try:
        return h5py.File(path / "cases.h5", "r")
    except OSError as error:
        raise DataError(
            f"cannot read {path / 'cases.h5'}: {error}; "
            f"write it again with: gvr-bench run {path / 'spec.toml'} --out {path}"
        ) from error


def _values(path: Path) -> tuple[RunValues, Mapping[str, Mapping[str, Fact]]]:
    values, protocols = path / "values.h5", path / "protocols.json"
    try:
        return (
            read_values(values) if values.is_file() else RunValues(),
            read_protocols(protocols) if protocols.is_file() else {},
        )
    except StoreError as error:
        raise DataError(
            f"{error}; write it again with: gvr-bench run {path / 'spec.toml'} --out {path}"
        ) from error


def _environment(path: Path) -> Environment:
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        stages = tuple(_stage(row) for row in raw.get("stages", ()))
        words = ("gvr_bench", "python", "torch", "platform", "cpu", "device", "started", "command")
        texts = {word: str(raw.get(word) or "") for word in words}
        return Environment(**texts, seconds=float(raw.get("seconds") or 0), stages=stages)
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise DataError(
            f"{path} is not the environment of a run ({error}); "
            f"write it again with: gvr-bench run {path.parent / 'spec.toml'} --out {path.parent}"
        ) from error


def _stage(row: Mapping[str, Any]) -> Stage:
    return Stage(
        kind=str(row["kind"]),
        name=str(row["name"]),
        key=str(row.get("key") or ""),
        status=str(row["status"]),
        seconds=float(row.get("seconds") or 0),
        reason=str(row.get("reason") or ""),
    )


def _units(path: Path) -> dict[str, str]:
    if not (path / "cases.h5").is_file():
        return {}
    with open_cases(path) as file:
        groups = [group.attrs for group in file.values()]
        return {str(attrs["dataset"]): str(attrs["unit"]) for attrs in groups if "unit" in attrs}
