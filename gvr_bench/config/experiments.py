"""The papers' experiments: each a TOML file here, with a spec and the published numbers.

A file holds `title`, `figures` where a paper has such an experiment, `text`, a table `[spec]` as in
any spec, and `[[published]]` rows that a report sets beside its own scores.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from gvr_bench.cache.serialization import replacing
from gvr_bench.core.errors import UsageError
from gvr_bench.core.near_names import did_you_mean

FILE = "experiment.toml"


@dataclass(frozen=True)
class Experiment:
    """One experiment; `spec` is the table of its spec, `shown` what a report says of it."""

    name: str
    title: str
    figures: str
    spec: dict[str, Any]
    shown: dict[str, Any]

    def write(self, folder: Path) -> None:
        with replacing(folder / FILE) as partial:
            partial.write_text(tomli_w.dumps(self.shown), encoding="utf-8")


def experiments() -> list[Experiment]:
    return [_read(path) for path in sorted((Path(__file__).parent / "toml").glob("*.toml"))]


def experiment(name: str) -> Experiment:
    """Return one experiment. Raises `UsageError` where there is none of that name."""
    known = {item.name: item for item in experiments()}
    if name not in known:
        raise UsageError(f"unknown experiment '{name}'{did_you_mean(name, known)}")
    return known[name]


def _read(path: Path) -> Experiment:
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    spec = table.pop("spec")
    shown = {"name": path.stem, **table}
    return Experiment(path.stem, table["title"], table.get("figures", ""), spec, shown)
