"""`protocols.json`: what each protocol consists of, so that two runs can be compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gvr_bench.cache.serialization import read_json, write_json
from gvr_bench.core.errors import CacheError

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


def write_protocols(path: Path, protocols: Protocols) -> None:
    """Write what each protocol of the records consists of, so that two runs can be compared."""
    rows = {name: dataclasses.asdict(protocol) for name, protocol in protocols.protocols.items()}
    write_json(path, {"stages": protocols.stages, "protocols": rows})


def read_protocols(path: Path) -> dict[str, dict[str, Fact]]:
    """Read what `write_protocols` wrote: hash -> how its cases or images are chosen.

    Its metric and output are those of the records that have it. Raises `CacheError`.
    """
    content = read_json(path)
    try:
        return {
            name: dict(content["stages"].get(row["stage"], {}))
            for name, row in content["protocols"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise CacheError(f"cannot read {path}: it is not a list of protocols") from error
