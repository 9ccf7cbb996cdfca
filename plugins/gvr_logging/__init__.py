"""Loggers of finished runs, each enabled by an environment variable.

This module has what they share: the parameters, losses and scores of a run, and their names.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HISTORY = "history.json"
FILES = ("index.html", "records.jsonl", "spec.toml", "environment.json")  # beside the scores
MODEL = ("dataset", "generator", "encoder", "head", "seed")
ALL_OUTPUTS = "all"  # the output of a score over all outputs

Row = Mapping[str, Any]


def params_of(folder: Path) -> dict[str, str]:
    """Read a run's spec as texts by name, with components as on the command line."""
    spec = tomllib.loads((folder / "spec.toml").read_text(encoding="utf-8"))
    return {
        name: text
        for key, value in spec.items()
        for name, text in (
            [(f"{key}.{part}", str(inner)) for part, inner in value.items()]
            if isinstance(value, dict)
            else [(key, _typed(value))]
        )
    }


def losses_of(stages: Sequence[Row]) -> Iterator[tuple[str, list[dict[str, float]]]]:
    """Yield each trained stage's label and its losses, one dict with its `step` per entry."""
    twice = Counter((stage["kind"], stage["name"]) for stage in stages)
    for stage in stages:
        path = stage["folder"] and stage["folder"] / HISTORY
        if path and path.is_file():
            kind, name = stage["kind"], stage["name"]
            which = f" {stage['key'][:8]}" if twice[kind, name] > 1 else ""
            yield f"{kind} {name}{which}", json.loads(path.read_text(encoding="utf-8"))


def scores_of(records: Sequence[Row]) -> dict[str, float]:
    """Name each score `explainer/metric`, or `model/metric` for those of the model itself.

    With several models the fields in which they differ are a prefix.
    """
    varied = [field for field in MODEL if len({record[field] for record in records}) > 1]
    return {
        "/".join([*(_part(f, record[f]) for f in varied), whose(record), metric_of(record)]): value
        for record in records
        if (value := record["value"]) is not None
    }


def whose(record: Row) -> str:
    """Return the explainer of a score, or `model`."""
    return plain(record["explainer"] or "model")


def metric_of(record: Row) -> str:
    """Return the metric of a score, prefixed by its output if it has one."""
    output = "" if record["output"] == ALL_OUTPUTS else f"{plain(record['output'])}/"
    return output + plain(record["metric"])


def plain(text: str) -> str:
    """Replace characters that are not allowed in metric names."""
    return re.sub(r"[^\w.\- ]", "_", text)


def _part(field: str, value: Any) -> str:
    return f"seed {value}" if field == "seed" else plain(value)


def _typed(value: Any) -> str:
    """Format a value of a spec as on the command line."""
    if isinstance(value, list):
        return " ".join(_typed(item) for item in value)
    if isinstance(value, dict):
        settings = ",".join(f"{k}={v}" for k, v in value.items() if k != "name")
        joint = "," if ":" in value["name"] else ":"
        return value["name"] + (joint + settings if settings else "")
    return str(value)
