"""Records: one line of JSON per score, with all that is needed to compare it honestly."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gvr_bench.cache.serialization import replacing
from gvr_bench.core.components import Role
from gvr_bench.core.errors import DataError
from gvr_bench.metrics.statistics import Better
from gvr_bench.results.files import rerun_command

if TYPE_CHECKING:
    import pydantic

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
    import pydantic

    strict = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)
    record = pydantic.TypeAdapter(pydantic.with_config(strict)(Record))
    records = []
    lines = text.removesuffix("\n").split("\n") if text else []  # a name may hold other line ends
    for number, line in enumerate(lines, start=1):
        try:
            records.append(record.validate_json(line))
        except pydantic.ValidationError as error:
            raise DataError(
                f"{path}, line {number}, is not a record of this version ({_first(error)}); {again}"
            ) from error
    return records


def _first(error: pydantic.ValidationError) -> str:
    """The first thing that is wrong, with the field it is in."""
    problem = error.errors(include_input=False)[0]
    field = ".".join(map(str, problem["loc"]))
    return f"{field}: {problem['msg']}" if field else problem["msg"]


NO_DECODER = "none"  # the generator and encoder of a network of images that has neither


def model_label(generator: str, encoder: str, head: str) -> str:
    """Return how a model is called: its parts, without those that it has not."""
    return " · ".join(part for part in (generator, encoder, head) if part != NO_DECODER)


def finite(value: float) -> float | None:
    """NaN and infinity have no place in JSON: they become None."""
    return float(value) if math.isfinite(value) else None
