"""Tables, figures and rationales of runs as files in a folder."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from gvr_bench.cache.hdf5 import SLASH
from gvr_bench.cache.serialization import replacing
from gvr_bench.core.errors import DataError, UsageError
from gvr_bench.report import formatting as text
from gvr_bench.report.cases.reading import Combination, Explained, read_cases
from gvr_bench.report.charts.figures import figures, standalone
from gvr_bench.report.charts.naming import whose
from gvr_bench.report.data import Loaded, load_all
from gvr_bench.report.exports.file_names import file_names
from gvr_bench.report.exports.latex import latex_groups
from gvr_bench.report.exports.raster import png_of
from gvr_bench.report.exports.rationales import (
    ComponentSpec,
    arrays_of,
    choose,
    facts_of,
    pictures_of,
)
from gvr_bench.report.exports.tables import Format, named, written
from gvr_bench.report.scores.tables import scoreboards

PARTS = ("tables", "figures", "rationales")
_ENDINGS: dict[str, Format] = {"csv": "csv", "json": "json", "md": "md", "tex": "latex"}


@dataclass(frozen=True)
class Wanted:
    """What is to be written; of rationales those of all cases and explainers, or of some."""

    parts: Collection[str] = PARTS
    cases: Sequence[str] = ()
    explainers: Sequence[str] = ()


@dataclass
class Saved:
    """What was written: how much of each part, how many files and bytes."""

    tables: int = 0
    figures: int = 0
    cases: int = 0
    files: int = 0
    bytes: int = 0

    def add(self, sizes: Sequence[int]) -> None:
        """Count files by their sizes."""
        self.files += len(sizes)
        self.bytes += sum(sizes)

    def told(self, folder: Path) -> str:
        """One line: what lies where."""
        parts = [
            _counted(self.tables, "table") if self.tables else "",
            _counted(self.figures, "figure") if self.figures else "",
            f"the rationales of {_counted(self.cases, 'case')}" if self.cases else "",
        ]
        *first, last = list(filter(None, parts)) or ["nothing, for there is nothing to export"]
        what = f"{', '.join(first)} and {last}" if first else last
        many = f"{self.bytes / 1e6:.1f} MB" if self.bytes >= 1e6 else f"{self.bytes / 1e3:.1f} kB"
        files = f"{_counted(self.files, 'file')}, {many}"
        return f"Exported {what} ({files}): {text.clean(str(folder))}"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def save(runs: Sequence[Path], out: Path, wanted: Wanted) -> Saved:
    """Write `tables`, `figures` and `rationales` into a folder; the same runs give the same bytes.

    Figures and rationales lie in a folder per run where there are several, and rationales in one
    per model likewise. Other files in the folder are left alone. Raises `DataError`, and
    `UsageError` for a part, case or explainer that is not known and a folder that cannot be made.
    """
    _refuse_unknown(runs, wanted)
    loaded = load_all(runs)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write into {out}: {error.strerror}; choose another folder with --out DIR"
        ) from error
    saved = Saved()
    if "tables" in wanted.parts:
        _save_tables(loaded, out / "tables", saved)
    for run, name in zip(loaded.runs, _folders([run.name for run in loaded.runs]), strict=True):
        combinations = [] if set(wanted.parts) == {"tables"} else read_cases(run.path)
        if "figures" in wanted.parts:
            boards = loaded.boards if len(loaded.runs) == 1 else scoreboards([run])
            for figure in figures(run, combinations, boards):
                svg, path = standalone(figure), out / "figures" / name / figure.name
                saved.add([_write(f"{path}.svg", svg), _write(f"{path}.png", png_of(svg))])
                saved.figures += 1
        if "rationales" in wanted.parts:
            _save_rationales(combinations, out / "rationales" / name, wanted, saved)
    return saved


def _folders(names: Sequence[str]) -> list[str]:
    """The folder of each, or none for one alone."""
    return [""] if len(names) == 1 else file_names(names)


def _write(path: Path | str, data: str | bytes) -> int:
    """Write a file and return its size. Raises `CacheError`."""
    raw = data if isinstance(data, bytes) else data.encode("utf-8", "replace")
    with replacing(Path(path)) as partial:
        partial.write_bytes(raw)
    return len(raw)


def _save_tables(loaded: Loaded, folder: Path, saved: Saved) -> None:
    """Write each table in all formats, and each group of its scores to be taken into a paper."""
    tables = named([*loaded.published, *loaded.models, *loaded.boards])
    for name, table in tables.items():
        for ending, format_ in _ENDINGS.items():
            saved.add([_write(folder / f"{name}.{ending}", written({name: table}, format_))])
        for group, floats in latex_groups(table, name):
            if group != name:
                saved.add([_write(folder / f"{group}.tex", "\n".join(floats) + "\n")])
    saved.tables += len(tables)


def _save_rationales(
    combinations: Sequence[Combination], folder: Path, wanted: Wanted, saved: Saved
) -> None:
    """Write a folder per case, with a bar on a terminal."""
    names = [name.replace("/", SLASH) for name in wanted.explainers]
    jobs = [
        (c, i, folder / model / case, choose(c, names))
        for c, model in zip(combinations, _folders([*map(whose, combinations)]), strict=True)
        for i, case in _cases(c, wanted)
    ]
    console = Console(stderr=True)
    with ThreadPoolExecutor() as pool:
        done = pool.map(lambda job: _save_case(*job), jobs)
        for sizes in track(done, "rationales", len(jobs), console=console, transient=True,
                           disable=not console.is_terminal):  # fmt: skip
            saved.add(sizes)
    saved.cases += len(jobs)


def _cases(c: Combination, wanted: Wanted) -> Iterator[tuple[int, str]]:
    """The wanted cases of a model, and what their folders are called."""
    for i, name in enumerate(file_names(c.sample_id)):
        if not wanted.cases or c.sample_id[i] in wanted.cases:
            yield i, name


def _save_case(c: Combination, i: int, folder: Path, choice: ComponentSpec) -> list[int]:
    facts = json.dumps(facts_of(c, i, choice), ensure_ascii=False, indent=1, allow_nan=False)
    found = pictures_of(c, i, choice)
    return [
        _write(folder / "case.json", f"{facts}\n"),
        _write(folder / "rationales.npz", arrays_of(c, i, choice)),
        *(_write(folder / f"{name}.png", data) for name, data in found.items()),
    ]


def _refuse_unknown(runs: Sequence[Path], wanted: Wanted) -> None:
    """Refuse a part that there is not, or a case or explainer that no run has.

    Raises `UsageError`, and `DataError` for an explainer that failed.
    """
    for part in wanted.parts:
        _refuse("part", part, PARTS)
    if not (wanted.cases or wanted.explainers):
        return
    if "rationales" not in wanted.parts:
        raise UsageError("--case and --explainer choose among rationales, which are left out")
    every = [c for run in runs for c in read_cases(run)]
    cases = {case for c in every for case in c.sample_id}
    explainers: dict[str, list[Explained]] = {}
    for e in (e for c in every for e in c.explainers):
        explainers.setdefault(e.name.replace(SLASH, "/"), []).append(e)
    for case in wanted.cases:
        _refuse("case", case, cases)
    for name in wanted.explainers:
        _refuse("explainer", name, explainers)
        if all(e.attribution is None for e in explainers[name]):
            why = explainers[name][0]
            raise DataError(
                f"explainer '{name}' has no rationales: {why.status}: "
                f"{why.reason or 'no reason given'}"
            )


def _refuse(kind: str, name: str, known: Collection[str]) -> None:
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'?" if close else f"known: {text.listed(sorted(known), 6)}"
    raise UsageError(f"there is no {kind} '{name}' to export; {hint if known else 'there is none'}")
