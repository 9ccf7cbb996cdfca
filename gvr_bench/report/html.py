"""A finished run as one page that needs no network."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from gvr_bench import __version__
from gvr_bench.formats import replacing
from gvr_bench.metrics import DECLARED, Declaration, Group
from gvr_bench.report import text
from gvr_bench.report.blocks import blocks
from gvr_bench.report.case_views import images_in, view
from gvr_bench.report.cases import Combination, read_cases
from gvr_bench.report.charts import Chart, charts, marks
from gvr_bench.report.findings import cautions, headlines
from gvr_bench.report.folder import Run, load
from gvr_bench.report.glossary import entry, in_order
from gvr_bench.report.maps import maps
from gvr_bench.report.notes import (
    best_note,
    images_note,
    interval_note,
    level_note,
    not_shown,
    rank_note,
    reasons,
    seeds_note,
)
from gvr_bench.report.published import published_tables
from gvr_bench.report.roc import SIDE, roc_chart
from gvr_bench.report.side_by_side import side_by_side
from gvr_bench.report.tables import Column, Table, model_tables, scoreboards
from gvr_bench.report.tradeoff import HEIGHT, WIDTH, tradeoffs

MOST_CASES = 24
_WORD_END = re.compile(r"_|[,:=](?=[^\W\d])")


def write_html(run: Path) -> Path:
    """Write `index.html` into the folder of a run and return its path. Raises `DataError`."""
    return _write(run / "index.html", render(run))


def write_shared_html(folders: Sequence[Path], out: Path) -> Path:
    """Write a page with the scores of several runs in shared tables. Raises `DataError`."""
    return _write(out, render_shared(folders))


def _write(path: Path, page: str) -> Path:
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def render(folder: Path) -> str:
    """The page as text: the same run gives the same bytes. Raises `DataError`."""
    run = load(folder)
    combinations = read_cases(folder, MOST_CASES)
    models, boards = model_tables([run]), scoreboards([run])
    images = images_in(combinations)
    drawn = _charts(combinations)
    return _page(
        "index.html.j2",
        version=run.environment.gvr_bench,
        run=run,
        datasets=_distinct(r.dataset for r in run.records),
        models_named=_distinct(f"{r.generator} · {r.encoder} · {r.head}" for r in run.records),
        seeds=_seeds(run),
        explainers=_distinct(r.explainer for r in run.records if r.explainer),
        started=_date(run.environment.started),
        published=published_tables([run]),
        rocs=[found for c in combinations if (found := roc_chart(c, run.records))],
        models=models,
        boards=boards,
        declared=declared_in([*models, *boards]),
        headlines=headlines(models, boards),
        cautions=cautions(run, models, boards),
        combinations=[view(combination, images) for combination in combinations],
        beside=side_by_side(combinations),
        maps=maps(combinations),
        charts=drawn,
        held_out=any(item.gap for _, group in drawn for item in group),
    )


def render_shared(folders: Sequence[Path]) -> str:
    """The page of several runs as text. Raises `DataError`."""
    runs = [load(folder) for folder in folders]
    models, boards = model_tables(runs), scoreboards(runs)
    return _page(
        "shared.html.j2",
        version=__version__,
        runs=runs,
        datasets=_distinct(r.dataset for run in runs for r in run.records),
        published=published_tables(runs),
        models=models,
        boards=boards,
        declared=declared_in([*models, *boards]),
    )


def _page(template: str, **content: object) -> str:
    page = _environment().get_template(template)
    return page.render(**content, styles=_inlined(".css"), scripts=_inlined(".js"))


@dataclass(frozen=True)
class Inlined:
    """Text of our own inside the page, and the hash by which the page lets it alone act."""

    text: Markup
    hash: str


def _inlined(suffix: str) -> list[Inlined]:
    """The assets of a kind in the order of their names."""
    files = sorted((resources.files(__package__) / "assets").iterdir(), key=lambda file: file.name)
    texts = [file.read_text("utf-8") for file in files if file.name.endswith(suffix)]
    return [
        Inlined(Markup(text), base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())  # noqa: S704
        for text in texts
    ]


def declared_in(tables: Iterable[Table]) -> list[tuple[Group, list[Declaration]]]:
    """The declared metrics of all columns, by group."""
    names = dict.fromkeys(column.metric for table in tables for column in table.columns)
    found = [DECLARED[name] for name in names if name in DECLARED]
    return [
        (group, [metric for metric in found if metric.group == group.name])
        for group in in_order({metric.group for metric in found})
    ]


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gvr_bench.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": text.duration,
        "hover": text.hover,
        "is_declared": DECLARED.__contains__,
        "minus": _minus,
        "name": _name,
        "range": text.value_range,
        "seeds": _seeds,
        "sentence": text.sentence,
        "title_of": _title,
    }
    environment.globals |= {
        "blocks": blocks,
        "interval": text.interval,
        "level_note": level_note,
        "marks": marks,
        "not_shown": not_shown,
        "notes": _notes,
        "number": text.number,
        "places": text.places,
        "plot_height": HEIGHT,
        "plot_width": WIDTH,
        "reasons": reasons,
        "side": SIDE,
        "tradeoffs": tradeoffs,
        "word": text.word,
    }
    return environment


def _minus(number: str) -> str:
    return number.replace("-", "−")


def _title(column: Column) -> str:
    return entry(column.metric).title


def _name(name: object) -> Markup:
    """A name in its own direction of writing, which may break where its words end."""
    shown = _WORD_END.sub(r"\g<0><wbr>", str(escape(name)))
    return Markup(f"<bdi>{shown}</bdi>")  # noqa: S704 - escaped above


def _notes(table: Table) -> str:
    span, best, level = interval_note(table), best_note(table), level_note(table)
    notes = (
        f"Beneath each value its {span}" if span else "",
        images_note(table),
        seeds_note(table),
        f"{best} in bold" if best else "",
        "raised the rank, the first in bold" if rank_note(table) else "",
        f"in grey: {level}" if level else "",
    )
    line = "; ".join(note for note in notes if note)
    return f"{line}." if line else ""


def _charts(combinations: Sequence[Combination]) -> list[tuple[str, list[Chart]]]:
    """Charts per model; what two combinations share is drawn once."""
    seen: set[Chart] = set()
    shown = []
    for combination in combinations:
        drawn = [found for found in charts(combination.curves) if found not in seen]
        seen.update(drawn)
        if drawn:
            shown.append((f"{combination.model}, seed {combination.seed}", drawn))
    return shown


def _seeds(run: Run) -> list[int]:
    return sorted({record.seed for record in run.records})


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _date(iso: str) -> str:
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return f"{moment.day} {moment:%B %Y, %H:%M}"
