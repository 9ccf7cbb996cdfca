"""Records: one line of JSON per score, with all that is needed to compare it honestly."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gvr_bench.errors import DataError
from gvr_bench.formats import replacing

Status = Literal["ok", "n/a", "failed", "skipped"]
Better = Literal["up", "down", "-"]


@dataclass(frozen=True)
class Record:
    """One score of one combination.

    `explainer` is None for a score of the model itself; `finding` is the output it is about, or
    `all`. `value` with its 95 % interval `low`..`high` over `n` images is None unless `status` is
    `ok`; otherwise `reason` says why. Numbers are comparable within one `protocol` only.
    """

    dataset: str
    generator: str
    encoder: str
    head: str
    explainer: str | None
    finding: str
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


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write one JSON object per line, atomically; NaN is never written. Raises `StoreError`."""
    lines = [
        json.dumps(dataclasses.asdict(record), ensure_ascii=False, allow_nan=False)
        for record in records
    ]
    with replacing(path) as partial:
        partial.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def read_records(path: Path) -> list[Record]:
    """Read what `write_records` wrote. Raises `DataError` naming the line that is not a record."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    records = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            row = json.loads(line)
            record = Record(**{**row, "keys": tuple(row["keys"])})
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{path}, line {number}, is not a record of this version ({error}); "
                "repeat the run with: gvr-bench run SPEC.toml"
            ) from error
        records.append(record)
    return records


def finite(value: float) -> float | None:
    """NaN and infinity have no place in JSON: they become None."""
    return float(value) if math.isfinite(value) else None
