"""A static site of runs: an overview of all, the page of each run, and a page of each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gvr_bench import __version__
from gvr_bench.core.errors import GvrError, UsageError
from gvr_bench.registry.description import describe
from gvr_bench.registry.registry import installed
from gvr_bench.report.chosen_table import chosen
from gvr_bench.report.comparable_runs import model_of
from gvr_bench.report.data import ReportData, load_report
from gvr_bench.report.file_names import file_names
from gvr_bench.report.formatting import sentence
from gvr_bench.report.html import render, render_shared, write_page
from gvr_bench.report.page import Section, make_page, seeds_of
from gvr_bench.report.run import Run
from gvr_bench.report.sections import OF_SEVERAL_RUNS, SCOREBOARD
from gvr_bench.report.verdict import Verdict
from gvr_bench.results.records import CASES, VALUES, run_names


@dataclass(frozen=True)
class Link:
    """A page of the site: its address from the first page, its title, and what it is about."""

    address: str
    title: str
    about: Sequence[str] = ()


def write_site(folders: Sequence[Path], out: Path) -> Path:
    """Write a site of finished runs into a folder; return the path of its first page.

    Raises `DataError` for a damaged run, and `UsageError` where a run is not whole or runs of one
    model differ in a protocol.
    """
    data = load_report(folders)
    check(data)
    labels: dict[str, dict[str, None]] = {}  # of one explainer with several settings
    for label in (r.explainer for run in data.runs for r in run.records if r.explainer):
        labels.setdefault(label.partition(":")[0], {})[label] = None
    titles, names = run_names(folders), list(labels)
    runs = [
        Link(f"runs/{file}.html", title, _facts(run))
        for run, title, file in zip(data.runs, titles, file_names(titles), strict=True)
    ]
    methods = [
        Link(f"methods/{file}.html", name)
        for name, file in zip(names, file_names(names), strict=True)
    ]
    content = {"runs": runs, "methods": methods}
    pages = Section("pages", "Pages", lambda _: content)
    texts = {"index.html": render_shared(folders, data, (pages, *OF_SEVERAL_RUNS))}
    texts |= {link.address: render(folder) for link, folder in zip(runs, folders, strict=True)}
    texts |= {link.address: _method(link.title, list(labels[link.title]), data) for link in methods}
    return _write(out, texts)


def check(data: ReportData) -> None:
    """Refuse runs that are not whole or cannot be compared. Raises `UsageError`."""
    for run in data.runs:
        absent = [name for name in (CASES, VALUES) if not (run.path / name).is_file()]
        faults = [f"it has no {name}" for name in absent]
        faults += [
            f"{stage.kind} {stage.name} failed"
            for stage in run.environment.stages
            if stage.status == "failed"
        ]
        if faults:
            raise UsageError(
                f"the run {run.path} is not whole: {faults[0]}; repeat it until nothing fails, or "
                "without what fails"
            )
    for table in (*data.models, *data.boards):
        if table.apart:
            raise UsageError(
                f"{table.title}: the runs are of several protocols. {table.apart[0]} Name runs of "
                "one protocol"
            )


def _facts(run: Run) -> tuple[str, ...]:
    datasets = dict.fromkeys(r.dataset for r in run.records)
    models = dict.fromkeys(map(model_of, run.records))
    explainers = {r.explainer for r in run.records if r.explainer}
    seeds = map(str, seeds_of(run))
    return ", ".join(datasets), ", ".join(models), ", ".join(seeds), str(len(explainers))


def _method(name: str, labels: Sequence[str], data: ReportData) -> str:
    try:
        info = describe(installed(), "explainer", name)
    except GvrError:  # it is not installed here
        info = None
    boards = [chosen(data.boards, explainers=labels)]
    sections = (
        Section("method", "Method", lambda _: {"info": info}),
        Section("scores", "Scores", lambda _: {"boards": boards}, template=SCOREBOARD.id),
    )
    verdicts = [Verdict("", sentence(info.summary))] if info and info.summary else []
    return make_page(
        sections, data, version=__version__, title=name, verdicts=verdicts, back="../index.html"
    )


def _write(out: Path, texts: Mapping[str, str]) -> Path:
    for address, text in texts.items():
        path = out / address
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"cannot write into {out}: {error.strerror}; choose another folder with --out DIR"
            ) from error
        write_page(path, text)
    return out / "index.html"
