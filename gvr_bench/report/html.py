"""A finished run as one page that needs no network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from gvr_bench import __version__
from gvr_bench.cache.serialization import replacing
from gvr_bench.metrics import DECLARED, Declaration, Group
from gvr_bench.report.cases.example_case import first_case
from gvr_bench.report.cases.gallery import galleries
from gvr_bench.report.cases.maps import maps
from gvr_bench.report.cases.reading import read_cases
from gvr_bench.report.data import ReportData, load_report
from gvr_bench.report.insights import headlines
from gvr_bench.report.metric_info import in_order
from gvr_bench.report.page import Section, make_page, seeds_of
from gvr_bench.report.page_figures import (
    agreement_pictures,
    model_views,
    tradeoff_pictures,
    training_pictures,
)
from gvr_bench.report.tables import Table

MAX_ROWS = 24
"""Rows of the tables of pictures of all models, about."""

_SCOREBOARD = Section("scoreboard.html.j2", "scoreboard", "Scoreboard")
_TRADEOFFS = Section("tradeoffs.html.j2", "tradeoffs", "Trade-offs")
_PUBLISHED = Section("published.html.j2", "published", "Published")
_SCORES = Section("metrics.html.j2", "scores", "Scores")
_OF_ONE = (
    Section("overview.html.j2", "overview", "Overview"),
    _SCOREBOARD,
    Section("maps.html.j2", "maps", "Maps"),
    Section("cases.html.j2", "cases", "Cases"),
    Section("models.html.j2", "models", "Models"),
    _TRADEOFFS,
    _PUBLISHED,
    Section("provenance.html.j2", "provenance", "Provenance"),
    _SCORES,
)
_OF_SEVERAL = (
    Section("runs.html.j2", "overview", "Overview"),
    _SCOREBOARD,
    Section("model_tables.html.j2", "models", "Models"),
    _TRADEOFFS,
    _PUBLISHED,
    _SCORES,
)


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
    loaded = loaded or load_report([folder])
    (run,), models, boards = loaded.runs, loaded.models, loaded.boards
    combinations = read_cases(folder)
    rows = max(3, min(12, MAX_ROWS // max(1, len(combinations))))
    return make_page(
        "index.html.j2",
        _OF_ONE,
        version=run.environment.gvr_bench,
        run=run,
        datasets=_distinct(r.dataset for r in run.records),
        models_named=_distinct(f"{r.generator} · {r.encoder} · {r.head}" for r in run.records),
        seeds=seeds_of(run),
        explainers=_distinct(r.explainer for r in run.records if r.explainer),
        asked=sum(combination.total for combination in combinations),
        started=_date(run.environment.started),
        published=loaded.published,
        models=models,
        boards=boards,
        declared=declared_in([*models, *boards]),
        headlines=headlines(models, boards),
        conclusions=loaded.conclusions,
        warnings=loaded.warnings,
        first=first_case(combinations, boards),
        model_views=model_views(combinations, run.records),
        galleries=galleries(combinations, run.values),
        maps=maps(combinations, rows),
        training=training_pictures(combinations),
        tradeoffs=tradeoff_pictures(boards),
        agreements=agreement_pictures(combinations, run.records),
    )


def render_shared(folders: Sequence[Path], loaded: ReportData | None = None) -> str:
    """The page of several runs as text. Raises `DataError`."""
    loaded = loaded or load_report(folders)
    return make_page(
        "shared.html.j2",
        _OF_SEVERAL,
        version=__version__,
        runs=loaded.runs,
        datasets=_distinct(r.dataset for run in loaded.runs for r in run.records),
        published=loaded.published,
        models=loaded.models,
        boards=loaded.boards,
        conclusions=loaded.conclusions,
        declared=declared_in([*loaded.models, *loaded.boards]),
        tradeoffs=tradeoff_pictures(loaded.boards),
        agreements=[],
    )


def declared_in(tables: Iterable[Table]) -> list[tuple[Group, list[Declaration]]]:
    """The declared metrics of all columns, by group."""
    names = dict.fromkeys(column.metric for table in tables for column in table.columns)
    found = [DECLARED[name] for name in names if name in DECLARED]
    return [
        (group, [metric for metric in found if metric.group == group.name])
        for group in in_order({metric.group for metric in found})
    ]


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _date(iso: str) -> str:
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return f"{moment.day} {moment:%B %Y, %H:%M}"
