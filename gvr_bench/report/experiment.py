"""Reads `experiment.toml`: which published experiment a run repeats, and its numbers."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pydantic
from pydantic import Field

from gvr_bench.core.errors import DataError, did_you_mean

FILE = "experiment.toml"


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Published(_Part):
    """One published number: `column` says whose it is, `row` what of.

    It is compared with our record of that `metric`, `output` and `explainer` (None for a score of
    the model), multiplied by `factor`.
    """

    row: str = Field(min_length=1)
    column: str = Field(min_length=1)
    value: float = Field(strict=True)
    metric: str = Field(min_length=1)
    output: str = "all"
    explainer: str | None = None
    unit: str = ""
    factor: float = Field(1.0, gt=0, strict=True)

    @property
    def row_key(self) -> tuple[object, ...]:
        """What numbers in one row of the table have in common."""
        return self.row, self.metric, self.output, self.explainer, self.unit, self.factor


class Experiment(_Part):
    """A published experiment; `figures` says where its numbers were published."""

    name: str
    title: str = Field(min_length=1)
    figures: str = ""
    text: str = ""
    published: tuple[Published, ...] = ()


def read_experiment(folder: Path) -> Experiment | None:
    """Read the experiment of a run, None where it is of none. Raises `DataError`."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}; correct or remove it") from error
    try:
        experiment = Experiment.model_validate(table)
    except pydantic.ValidationError as error:
        raise DataError(f"{path}: {_first(error)}; correct or remove it") from error
    _check_duplicates(path, experiment)
    return experiment


def _first(error: pydantic.ValidationError) -> str:
    """The first problem with its key, counted from 1: `published[1].value`."""
    problem = error.errors()[0]
    place = problem["loc"]
    parts = (f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in place)
    key = "".join(parts).removeprefix(".")
    if problem["type"] == "extra_forbidden":
        known = Published if len(place) > 1 else Experiment
        return f"unknown key '{key}'{did_you_mean(str(place[-1]), known.model_fields)}"
    if problem["type"] == "missing":
        return f"the key '{key}' is missing"
    return f"{key} = {problem['input']!r}: {problem['msg'][:1].lower()}{problem['msg'][1:]}"


def _check_duplicates(path: Path, experiment: Experiment) -> None:
    numbers: dict[tuple[object, ...], int] = {}
    for number, item in enumerate(experiment.published, start=1):
        first = numbers.setdefault((*item.row_key, item.column), number)
        if first != number:
            raise DataError(
                f"{path}: published[{number}] repeats published[{first}], "
                f"'{item.row}' of '{item.column}'; remove one of them"
            )
