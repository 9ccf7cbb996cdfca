"""The folder of a run: its files are written and read here, and in the modules beside this one.

spec.toml, environment.json, protocols.json, data.json, records.jsonl (`records`), values.h5
(`case_scores`), and cases.h5 (`gvr_bench.pipeline.write_run`).
"""

from __future__ import annotations

import base64
import dataclasses
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pydantic

from gvr_bench.cache.hdf5 import BAD_HDF5, refuse_foreign
from gvr_bench.cache.serialization import replacing, write_json
from gvr_bench.core.errors import CacheError, DataError, first_fault
from gvr_bench.results.case_scores import RunValues, read_values, write_values
from gvr_bench.results.records import (
    CASES,
    DATA,
    ENVIRONMENT,
    FILES,
    PROTOCOLS,
    RECORDS,
    SPEC,
    VALUES,
    Fact,
    Protocols,
    Record,
    read_protocols,
    read_records,
    rerun_command,
    run_names,
    write_protocols,
    write_records,
)

if TYPE_CHECKING:
    import h5py
    import pandas

MAX_ERROR = 200  # characters of an error that a user is shown
NUMBERS_AS_TEXT = pydantic.ConfigDict(coerce_numbers_to_str=True)
PNG = b"\x89PNG\r\n\x1a\n"

Text = Annotated[str, pydantic.BeforeValidator(lambda value: value or "")]  # null where not known
Seconds = Annotated[pydantic.FiniteFloat, pydantic.BeforeValidator(lambda value: value or 0)]


@dataclass(frozen=True)
class Stage:
    """One row of what was done; `status` is done, cached, failed, skipped or n/a.

    `part` says which of several stages of that kind and name it is, where there are several.
    """

    kind: str
    name: str
    status: str
    part: Text = ""
    key: Text = ""
    seconds: Seconds = 0.0
    reason: Text = ""


@pydantic.with_config(NUMBERS_AS_TEXT)
@dataclass(frozen=True)
class Environment:
    """Where and when the run was made; `started` is ISO 8601, `seconds` the wall time.

    `records` is how many were written, None where the file does not say.
    """

    gvr_bench: Text = ""
    python: Text = ""
    torch: Text = ""
    platform: Text = ""
    cpu: Text = ""
    device: Text = ""
    started: Text = ""
    seconds: Seconds = 0.0
    command: Text = ""
    stages: tuple[Stage, ...] = ()
    records: int | None = None


def _picture(text: str) -> str:
    if text and not base64.b64decode(text, validate=True).startswith(PNG):
        raise ValueError("its sheet is no PNG")
    return text


@pydantic.with_config(NUMBERS_AS_TEXT)
@dataclass(frozen=True)
class DataSummary:
    """One data set; `counts` has rows of a name and its number in train, validation and test.

    `sheet` is a PNG in base64 with images of each class as they were read, empty if there is none.
    """

    dataset: str
    counts: tuple[tuple[str, ...], ...]
    cautions: tuple[str, ...]
    sheet: Annotated[str, pydantic.AfterValidator(_picture)]


ENVIRONMENTS = pydantic.TypeAdapter(Environment)
SUMMARIES = pydantic.TypeAdapter(tuple[DataSummary, ...])


@dataclass(frozen=True)
class RunFolder:
    """A finished run; `units` maps a data set to the unit of its targets where it has one.

    `protocols` maps the hash of a protocol to how its cases or images are chosen. `values`,
    `protocols` and `data` are empty where the run has no such file.
    """

    path: Path
    records: tuple[Record, ...]
    spec: str
    environment: Environment
    units: Mapping[str, str]
    values: RunValues
    protocols: Mapping[str, Mapping[str, Fact]]
    data: tuple[DataSummary, ...]

    @property
    def name(self) -> str:
        return self.path.resolve().name


def write_run_folder(
    out: Path,
    spec: str,
    environment: Mapping[str, Any],
    values: RunValues,
    protocols: Protocols,
    records: Iterable[Record],
) -> None:
    """Write all but the cases; the records, which mark a finished run, last."""
    with replacing(out / SPEC) as partial:
        partial.write_text(spec, encoding="utf-8")
    write_json(out / ENVIRONMENT, environment)
    write_values(out / VALUES, values)
    write_protocols(out / PROTOCOLS, protocols)
    write_records(out / RECORDS, records)


def read_summaries(path: Path) -> tuple[DataSummary, ...]:
    """Read the data sets of a run. Raises `OSError` or `ValueError`."""
    return SUMMARIES.validate_json(path.read_bytes())


def read_run_folder(path: Path) -> RunFolder:
    """Read a run without its images. Raises `DataError` for what is missing or damaged."""
    check_run(path)
    with reading(path, ENVIRONMENT, "the environment"):
        environment = ENVIRONMENTS.validate_json((path / ENVIRONMENT).read_bytes())
    spec, records = _spec(path), tuple(read_records(path / RECORDS))
    if environment.records not in (None, len(records)):
        raise DataError(
            f"{path / RECORDS} holds {len(records)} records of {environment.records}: it was cut "
            f"off; {_again(path)}"
        )
    values = RunValues()
    protocols: dict[str, dict[str, Fact]] = {}
    data: tuple[DataSummary, ...] = ()
    try:
        if (path / VALUES).is_file():
            with reading(path, VALUES, "the values"):
                values = read_values(path / VALUES)
        if (path / PROTOCOLS).is_file():
            protocols = read_protocols(path / PROTOCOLS)
    except CacheError as error:
        raise DataError(f"{error}; {_again(path)}") from error
    if (path / DATA).is_file():
        with reading(path, DATA, "the data sets"):
            data = read_summaries(path / DATA)
    return RunFolder(path, records, spec, environment, _units(path), values, protocols, data)


def check_run(path: Path) -> Path:
    """Return `path` if it is the folder of a finished run.

    `cases.h5` may be absent: a run whose models all failed has no cases to show. Raises
    `DataError` naming what is missing and what to type.
    """
    if not path.exists():
        raise DataError(f"there is no run at {path}; make one with: gvr-bench run --out {path}")
    if path.is_file():
        raise DataError(
            f"{path} is a file, not the folder of a run; type: gvr-bench report {path.parent}"
        )
    missing = [name for name in FILES if not (path / name).is_file()]
    if len(missing) == len(FILES):
        raise DataError(
            f"{path} is not the folder of a run (it has no {', '.join(missing)}); "
            "make one with: gvr-bench run"
        )
    if not missing:
        return path
    again = f"finish it with: {rerun_command(path)}"
    if SPEC in missing:  # to run the defaults would put another run in its place
        again = f"put it back, or repeat the command that made it: gvr-bench run ... --out {path}"
    verb = "is" if len(missing) == 1 else "are"
    raise DataError(
        f"the run at {path} is incomplete: {', '.join(missing)} {verb} missing; {again}"
    )


def _spec(path: Path) -> str:
    try:
        text = (path / SPEC).read_text(encoding="utf-8")
        tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read {path / SPEC}: {error}; correct it, or make the run again with "
            f"the command of {path / ENVIRONMENT}: gvr-bench run ..."
        ) from error
    return text


@contextmanager
def reading(path: Path, name: str, what: str) -> Iterator[None]:
    """Turn all that a damaged file of the run at `path` may raise into one `DataError`."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        (first, *_) = str(error).splitlines() or [type(error).__name__]
        if isinstance(error, pydantic.ValidationError):
            first = ": ".join(filter(None, first_fault(error)[:2]))
        fault = first if len(first) <= MAX_ERROR else f"{first[:MAX_ERROR]}…"
        raise DataError(
            f"{path / name} is not {what} of a run ({fault}); {_again(path)}"
        ) from error


def _again(path: Path) -> str:
    return f"write it again with: {rerun_command(path)}"


def open_cases(path: Path) -> h5py.File:
    """Open `cases.h5` of a run. Raises `DataError` if it is damaged or leads to other files."""
    import h5py

    try:
        return refuse_foreign(h5py.File(path / CASES, "r"))
    except BAD_HDF5 as error:
        raise DataError(f"cannot read {path / CASES}: {error}; {_again(path)}") from error


def _units(path: Path) -> dict[str, str]:
    if not (path / CASES).is_file():
        return {}
    with open_cases(path) as file, reading(path, CASES, "the cases"):
        groups = [group.attrs for group in file.values()]
        units = {str(attrs["dataset"]): str(attrs["unit"]) for attrs in groups if "unit" in attrs}
        "".join((*units, *units.values())).encode()  # raises for half a character
        return units


def read_results(*runs: str | Path) -> pandas.DataFrame:
    """Read the scores of finished runs: one row per score, the columns those of `Record`.

    The first column, `run`, is the name of the folder, or its path where several have that name.
    A score that does not exist is NaN, with its `status` and `reason`. Compare values within one
    `protocol` only.

    Raises `DataError` for a folder that holds no finished run.
    """
    import pandas

    folders = [check_run(Path(run)) for run in runs]
    rows = [
        {"run": name, **dataclasses.asdict(record)}
        for folder, name in zip(folders, run_names(folders), strict=True)
        for record in read_records(folder / RECORDS)
    ]
    columns = ["run", *(field.name for field in dataclasses.fields(Record))]
    frame = pandas.DataFrame(rows, columns=columns)
    return frame.astype(dict.fromkeys(("value", "low", "high"), float))
