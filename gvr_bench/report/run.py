"""A run as the report shows it: its folder, and the published experiment that it repeats."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import pydantic
from pydantic import Field

from gvr_bench.core.errors import DataError, first_fault
from gvr_bench.results.run_folder import RunFolder, read_run_folder

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
        return Experiment.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except pydantic.ValidationError as error:  # which is a ValueError
        where, what, value = first_fault(error)
        raise DataError(f"{path}: {where} = {value!r}: {what}; correct or remove it") from error
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}; correct or remove it") from error


@dataclass(frozen=True)
class Run(RunFolder):
    """A finished run; `experiment` is the published one that it repeats, if any."""

    experiment: Experiment | None


def load(path: Path) -> Run:
    """Read a run without its images. Raises `DataError` for what is missing or damaged."""
    return Run(**vars(read_run_folder(path)), experiment=read_experiment(path))
