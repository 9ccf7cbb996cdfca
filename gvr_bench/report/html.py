"""A finished run as one page that needs no network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from gvr_bench import __version__
from gvr_bench.cache.serialization import replacing
from gvr_bench.report.data import ReportData, load_report
from gvr_bench.report.page import make_page, seeds_of
from gvr_bench.report.sections import ReportSection, report_sections
from gvr_bench.results.records import model_label


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
    run = data.run
    masthead = {
        "version": run.environment.gvr_bench,
        "verdicts": data.verdicts,
        "run": run,
        "datasets": _distinct(r.dataset for r in run.records),
        "models_named": _distinct(model_label(r.generator, r.encoder, r.head) for r in run.records),
        "seeds": seeds_of(run),
        "explainers": _distinct(r.explainer for r in run.records if r.explainer),
        "total_cases": sum(combination.total for combination in data.combinations),
        "started": _date(run.environment.started),
    }
    sections = [section for section in report_sections() if section.one_run]
    return make_page("index.html.j2", sections, **masthead | _content(sections, data))


def render_shared(folders: Sequence[Path], loaded: ReportData | None = None) -> str:
    """The page of several runs as text. Raises `DataError`."""
    data = loaded or load_report(folders)
    masthead = {
        "version": __version__,
        "verdicts": data.verdicts,
        "runs": data.runs,
        "datasets": _distinct(r.dataset for run in data.runs for r in run.records),
    }
    sections = [section for section in report_sections() if section.several_runs]
    return make_page("shared.html.j2", sections, **masthead | _content(sections, data))


def _content(sections: Iterable[ReportSection], data: ReportData) -> dict[str, object]:
    """What all templates may use: sections share names for the same content."""
    return {name: value for section in sections for name, value in section.content(data).items()}


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _date(iso: str) -> str:
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return f"{moment.day} {moment:%B %Y, %H:%M}"
