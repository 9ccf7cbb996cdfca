"""A finished run as one page that needs no network."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from gvr_bench.report import text
from gvr_bench.report.case_views import images_in, view
from gvr_bench.report.cases import Combination, read_cases
from gvr_bench.report.charts import Chart, charts, marks
from gvr_bench.report.findings import cautions, headlines
from gvr_bench.report.folder import load
from gvr_bench.report.glossary import entry, explained
from gvr_bench.report.notes import best_note, images_note, reasons, seeds_note, visible
from gvr_bench.report.published import published_tables
from gvr_bench.report.roc import SIDE, roc_chart
from gvr_bench.report.side_by_side import side_by_side
from gvr_bench.report.tables import Column, Table, model_tables, scoreboards

MOST_CASES = 24
_WORD_END = re.compile(r"_|[,:=](?=[^\W\d])")


def write_html(run: Path) -> Path:
    """Write `index.html` into the folder of a run and return its path. Raises `DataError`."""
    page = render(run)
    path = run / "index.html"
    partial = path.with_suffix(".tmp")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)
    return path


def render(folder: Path) -> str:
    """The page as text: the same run gives the same bytes. Raises `DataError`."""
    run = load(folder)
    combinations = read_cases(folder, MOST_CASES)
    models, boards = model_tables([run]), scoreboards([run])
    images = images_in(combinations)
    drawn = _charts(combinations)
    style = (resources.files(__package__) / "templates" / "report.css").read_text("utf-8")
    return (
        _environment()
        .get_template("index.html.j2")
        .render(
            run=run,
            datasets=_distinct(r.dataset for r in run.records),
            models_named=_distinct(f"{r.generator} · {r.encoder} · {r.head}" for r in run.records),
            seeds=sorted({r.seed for r in run.records}),
            explainers=_distinct(r.explainer for r in run.records if r.explainer),
            started=_date(run.environment.started),
            published=published_tables([run]),
            rocs=[found for c in combinations if (found := roc_chart(c, run.records))],
            models=models,
            boards=boards,
            headlines=headlines(models, boards),
            cautions=cautions(run, models, boards),
            combinations=[view(combination, images) for combination in combinations],
            beside=side_by_side(combinations),
            charts=drawn,
            held_out=any(item.gap for _, group in drawn for item in group),
            style=Markup(style),  # noqa: S704 - our own file
            style_hash=_hash(style),
        )
    )


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
        "minus": _minus,
        "title_of": _title,
        "explained": explained,
        "name": _name,
    }
    environment.globals |= {
        "places": text.places,
        "side": SIDE,
        "visible": visible,
        "number": text.number,
        "interval": text.interval,
        "word": text.word,
        "marks": marks,
        "reasons": reasons,
        "notes": _notes,
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
    best = best_note(table)
    notes = (
        "Beneath each value its 95 % interval",
        images_note(table),
        seeds_note(table),
        f"{best} in bold" if best else "",
    )
    return "; ".join(note for note in notes if note) + "."


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


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _date(iso: str) -> str:
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return f"{moment.day} {moment:%B %Y, %H:%M}"


def _hash(style: str) -> str:
    """What the content security policy allows: this style sheet and nothing else."""
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
