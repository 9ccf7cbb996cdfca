"""A finished run as one page that needs no network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from gvr_bench import __version__
from gvr_bench.cache.serialization import replacing
from gvr_bench.report import formatting as text
from gvr_bench.report.data import ReportData, load_report
from gvr_bench.report.page import Section, make_page, seeds_of
from gvr_bench.report.sections import OF_ONE_RUN, OF_SEVERAL_RUNS
from gvr_bench.report.tables import Cell
from gvr_bench.results.records import NO_DECODER, model_label

T = TypeVar("T")


def write_html(run: Path, loaded: ReportData | None = None) -> Path:
    """Write `index.html` into the folder of a run and return its path. Raises `DataError`."""
    return _write(run / "index.html", render(run, loaded))


def write_shared_html(folders: Sequence[Path], out: Path, loaded: ReportData | None = None) -> Path:
    """Write a page with the scores of several runs in shared tables. Raises `DataError`."""
    return _write(out, render_shared(folders, loaded))


def _write(path: Path, page: str) -> Path:
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def render(folder: Path, loaded: ReportData | None = None) -> str:
    """The page as text: the same run gives the same bytes. Raises `DataError`.

    `loaded` is the run where it was read already.
    """
    data = loaded or load_report([folder])
    return make_page(
        "index.html.j2",
        OF_ONE_RUN,
        data,
        version=data.run.environment.gvr_bench,
        verdicts=data.verdicts,
        run=data.run,
        datasets=_distinct(r.dataset for r in data.run.records),
        models_named=list(_models(data)),
        facts=list(_facts(data)),
    )


def _models(data: ReportData) -> Iterator[tuple[list[tuple[str, str]], str]]:
    """The components of each model by kind, and how good it is and how many cases it has."""
    kinds = ("generator", "encoder", "head")
    several = len({record.dataset for record in data.run.records}) > 1
    for dataset, *parts in _distinct(
        (r.dataset, *(getattr(r, k) for k in kinds)) for r in data.run.records
    ):
        model = model_label(*parts)
        counts = [c.total for c in data.combinations if (c.dataset, c.model) == (dataset, model)]
        facts = [dataset] if several else []
        for table in data.models:
            if table.dataset == dataset:
                own = [s for s in table.scored("auroc") if model in (table.model, s[0].names[0])]
                facts += [_auroc(cell, value) for _, cell, value in own[:1]]
        facts += [f"{max(counts)} case{'s' * (max(counts) > 1)}"] if any(counts) else []
        named = [pair for pair in zip(kinds, parts, strict=True) if pair[1] != NO_DECODER]
        yield named, ", ".join(facts)


def _auroc(cell: Cell, value: float) -> str:
    span = text.interval(cell, 2, " to ")
    return f"AUROC {value:.2f}{f' ({span})' if span else ''}"


def _facts(data: ReportData) -> Iterator[str]:
    run, where = data.run, data.run.environment
    if seeds := seeds_of(run):
        yield f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    if count := len(_distinct(r.explainer for r in run.records if r.explainer)):
        yield f"{count} explainer{'s' * (count > 1)}"
    started = where.started[:16].replace("T", " ")
    yield from filter(None, (started, text.duration(where.seconds), where.device))


def render_shared(
    folders: Sequence[Path],
    loaded: ReportData | None = None,
    sections: Sequence[Section] = OF_SEVERAL_RUNS,
) -> str:
    """The page of several runs as text. Raises `DataError`."""
    data = loaded or load_report(folders)
    return make_page(
        "shared.html.j2",
        sections,
        data,
        version=__version__,
        verdicts=data.verdicts,
        runs=data.runs,
        datasets=_distinct(r.dataset for run in data.runs for r in run.records),
    )


def _distinct(names: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(names))
