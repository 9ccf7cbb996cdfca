"""Records: one line of JSON per score, with all that is needed to compare it honestly.

Also the names of the files of a run folder, and the command that writes them again.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydantic

from gvr_bench.cache.serialization import reading, replacing, write_json
from gvr_bench.core.errors import CacheError, DataError, first_fault
from gvr_bench.core.explainer import Role
from gvr_bench.core.metric import Better

RECORDS, SPEC, ENVIRONMENT = "records.jsonl", "spec.toml", "environment.json"
CASES, VALUES, PROTOCOLS, DATA = "cases.h5", "values.h5", "protocols.json", "data.json"
FILES = RECORDS, SPEC, ENVIRONMENT  # what a finished run has

Status = Literal["ok", "n/a", "failed", "skipped"]


@dataclass(frozen=True)
class Record:
    """One score of one combination.

    `explainer` and its `role` are None for a score of the model itself, the role also for an
    explainer that does not load; `output` is the output it is about, or `all`. `value` with its
    95 % interval `low`..`high` over `n` images is None unless `status` is `ok`; otherwise `reason`
    says why. `passed` is None where the score is no test. Numbers are comparable within one
    `protocol` only.
    """

    dataset: str
    generator: str
    encoder: str
    head: str
    explainer: str | None
    output: str
    metric: str
    metric_version: str
    better: Better
    value: float | None
    low: float | None
    high: float | None
    n: int
    seed: int
    seconds: float
    device: str
    protocol: str
    keys: tuple[str, ...]
    status: Status = "ok"
    reason: str = ""
    role: Role | None = None
    passed: bool | None = None


Fact = str | int | float | bool | None


@dataclass(frozen=True)
class Protocol:
    """What makes numbers comparable: the same cases, and the same definition of a metric.

    `stage` names the stage that chooses the cases or images, a key of `Protocols.stages`.
    """

    stage: str
    metric: str
    metric_version: str
    output: str


@dataclass(frozen=True)
class Protocols:
    """The protocols of a run's records, by their hash, and all settings of the stages in them."""

    protocols: Mapping[str, Protocol]
    stages: Mapping[str, Mapping[str, Fact]]


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write one JSON object per line, atomically; NaN is never written. Raises `CacheError`."""
    lines = [
        json.dumps(dataclasses.asdict(record), ensure_ascii=False, allow_nan=False)
        for record in records
    ]
    with replacing(path) as partial:
        partial.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def read_records(path: Path) -> list[Record]:
    """Read what `write_records` wrote. Raises `DataError` naming the line that is not a record."""
    again = f"repeat the run with: {rerun_command(path.parent)}"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}; {again}") from error
    strict = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)
    record = pydantic.TypeAdapter(pydantic.with_config(strict)(Record))
    records = []
    lines = text.removesuffix("\n").split("\n") if text else []  # a name may hold other line ends
    for number, line in enumerate(lines, start=1):
        try:
            records.append(record.validate_json(line))
        except pydantic.ValidationError as error:
            where, what, _ = first_fault(error)
            fault = f"{where}: {what}" if where else what
            raise DataError(
                f"{path}, line {number}, is not a record of this version ({fault}); {again}"
            ) from error
    return records


NO_DECODER = "none"  # the generator and encoder of a network of images that has neither


def model_label(generator: str, encoder: str, head: str) -> str:
    return " · ".join(part for part in (generator, encoder, head) if part != NO_DECODER)


def finite(value: float) -> float | None:
    """NaN and infinity have no place in JSON: they become None."""
    return float(value) if math.isfinite(value) else None


def run_names(folders: Sequence[Path]) -> list[str]:
    """Return what each run is called: the name of its folder, its path where several share it."""
    names = [folder.resolve().name for folder in folders]
    return [
        name if names.count(name) == 1 else str(folder)
        for name, folder in zip(names, folders, strict=True)
    ]


def rerun_command(folder: Path, *options: str) -> str:
    return shlex.join(("gvr-bench", "run", str(folder / SPEC), *options, "--out", str(folder)))


def write_protocols(path: Path, protocols: Protocols) -> None:
    """Write what each protocol of the records consists of, so that two runs can be compared."""
    write_json(path, dataclasses.asdict(protocols))


def read_protocols(path: Path) -> dict[str, dict[str, Fact]]:
    """Read what `write_protocols` wrote: hash -> how its cases or images are chosen.

    Its metric and output are those of the records that have it. Raises `CacheError`.
    """
    with reading(path, ValueError):
        text = path.read_bytes()
    try:
        content = pydantic.TypeAdapter(Protocols).validate_json(text)
    except pydantic.ValidationError as error:
        raise CacheError(f"cannot read {path}: it is not a list of protocols") from error
    return {
        name: dict(content.stages.get(protocol.stage, {}))
        for name, protocol in content.protocols.items()
    }
