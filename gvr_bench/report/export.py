"""Tables, figures and rationales of runs as files in a folder."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from gvr_bench.cache.hdf5 import SLASH
from gvr_bench.cache.serialization import replacing
from gvr_bench.core.errors import DataError, UsageError
from gvr_bench.core.near_names import did_you_mean
from gvr_bench.report import formatting as text
from gvr_bench.report.cases.cases_file import Combination, Explained, read_cases
from gvr_bench.report.data import ReportData, load_report
from gvr_bench.report.figures import Chart, Source, charts, model_name
from gvr_bench.report.figures.svg import FORMATS, draw, to_bytes
from gvr_bench.report.file_names import file_names
from gvr_bench.report.rationale_files import RationaleFiles, write_case
from gvr_bench.report.scoreboards import scoreboards
from gvr_bench.report.table_formats import Format, named, written

PARTS = ("tables", "figures", "rationales")
_ENDINGS: dict[str, Format] = {"csv": "csv", "json": "json", "md": "markdown", "tex": "latex"}


@dataclass(frozen=True)
class Selection:
    """What to write; empty `cases` and `explainers` stand for all of them."""

    parts: Collection[str] = PARTS
    cases: Sequence[str] = ()
    explainers: Sequence[str] = ()


@dataclass
class Summary:
    tables: int = 0
    figures: int = 0
    cases: int = 0
    files: int = 0
    bytes: int = 0

    def add(self, *sizes: int) -> None:
        self.files += len(sizes)
        self.bytes += sum(sizes)

    def line(self, folder: Path) -> str:
        parts = [
            text.count(self.tables, "table") if self.tables else "",
            text.count(self.figures, "figure") if self.figures else "",
            f"the rationales of {text.count(self.cases, 'case')}" if self.cases else "",
        ]
        content = ", ".join(filter(None, parts)) or "nothing: the run has nothing to export"
        size = f"{self.bytes / 1e6:.1f} MB" if self.bytes >= 1e6 else f"{self.bytes / 1e3:.1f} kB"
        files = f"{text.count(self.files, 'file')}, {size}"
        return f"Exported {content} ({files}) to {text.clean(str(folder))}"


def export(runs: Sequence[Path], out: Path, selection: Selection) -> Summary:
    """Write `tables`, `figures` and `rationales` into a folder; the same runs give the same bytes.

    Of several runs, figures and rationales lie in a folder per run; of several models, rationales
    in a folder per model. Other files in the folder stay. Raises `DataError`, and `UsageError` for
    an unknown part, case or explainer and for a folder that cannot be written.
    """
    _check(runs, selection)
    loaded = load_report(runs)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write into {out}: {error.strerror}; choose another folder with --out DIR"
        ) from error
    summary = Summary()
    if "tables" in selection.parts:
        _write_tables(loaded, out / "tables", summary)
    for run, name in zip(loaded.runs, _folders([run.name for run in loaded.runs]), strict=True):
        combinations = [] if set(selection.parts) == {"tables"} else read_cases(run.path)
        if "figures" in selection.parts:
            boards = loaded.boards if len(loaded.runs) == 1 else scoreboards([run])
            names = [name.replace("/", SLASH) for name in selection.explainers]
            source = Source(combinations, boards, run.records, run.values, selection.cases, names)
            _write_figures(list(charts(source)), out / "figures" / name, summary)
        if "rationales" in selection.parts:
            _write_rationales(combinations, out / "rationales" / name, selection, summary)
    return summary


def _folders(names: Sequence[str]) -> list[str]:
    return [""] if len(names) == 1 else file_names(names)


def write(path: Path, data: str | bytes) -> int:
    """Write a file and return its size. Raises `CacheError`."""
    raw = data if isinstance(data, bytes) else data.encode("utf-8", "replace")
    with replacing(path) as partial:
        partial.write_bytes(raw)
    return len(raw)


def _write_tables(loaded: ReportData, folder: Path, summary: Summary) -> None:
    tables = named(loaded.tables)
    for name, table in tables.items():
        for ending, file_format in _ENDINGS.items():
            summary.add(write(folder / f"{name}.{ending}", written({name: table}, file_format)))
    summary.tables += len(tables)


def _write_figures(drawn: Sequence[Chart], folder: Path, summary: Summary) -> None:
    """Write each figure in all formats; names tell models apart where there are several."""
    several = len({chart.about for chart in drawn if chart.about}) > 1
    names = file_names(
        [(f"{chart.name} {chart.about}" if several else chart.name).lower() for chart in drawn]
    )
    for chart, name in zip(drawn, names, strict=True):
        figure = draw(chart, titled=True)
        for ending in FORMATS:
            summary.add(write(folder / f"{name}.{ending}", to_bytes(figure, ending)))
    summary.figures += len(drawn)


def _write_rationales(
    combinations: Sequence[Combination], folder: Path, selection: Selection, summary: Summary
) -> None:
    """Write a folder per case, with a bar on a terminal."""
    names = [name.replace("/", SLASH) for name in selection.explainers]
    jobs = [
        (RationaleFiles.of(c, names), i, folder / model / case)
        for c, model in zip(combinations, _folders([*map(model_name, combinations)]), strict=True)
        for i, case in enumerate(file_names(c.sample_id))
        if not selection.cases or c.sample_id[i] in selection.cases
    ]
    console = Console(stderr=True)
    with ThreadPoolExecutor() as pool:
        sizes = pool.map(lambda job: [write(*file) for file in write_case(*job)], jobs)
        for written_sizes in track(sizes, "rationales", len(jobs), console=console, transient=True,
                                   disable=not console.is_terminal):  # fmt: skip
            summary.add(*written_sizes)
    summary.cases += len(jobs)


def _check(runs: Sequence[Path], selection: Selection) -> None:
    """Refuse unknown parts, cases and explainers (`UsageError`) and failed ones (`DataError`)."""
    for part in selection.parts:
        _check_name("part", part, PARTS)
    if not (selection.cases or selection.explainers):
        return
    if set(selection.parts) == {"tables"}:
        raise UsageError("--case and --explainer select rationales, which --only leaves out")
    combinations = [c for run in runs for c in read_cases(run)]
    explainers: dict[str, list[Explained]] = {}
    for e in (e for c in combinations for e in c.explainers):
        explainers.setdefault(e.name.replace(SLASH, "/"), []).append(e)
    for case in selection.cases:
        _check_name("case", case, {case for c in combinations for case in c.sample_id})
    for name in selection.explainers:
        _check_name("explainer", name, explainers)
        first = explainers[name][0]
        if all(e.attribution is None for e in explainers[name]):
            reason = first.reason or "no reason given"
            raise DataError(f"explainer '{name}' has no rationales: {first.status}: {reason}")


def _check_name(kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise UsageError(f"there is no {kind} '{name}' to export{did_you_mean(name, known)}")
