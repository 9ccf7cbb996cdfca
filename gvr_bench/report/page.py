"""The frame of every page: its sections, style sheets and scripts, and what templates may call."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from gvr_bench.report import formatting as text
from gvr_bench.report.folder import Run
from gvr_bench.report.layout import UNINFORMATIVE, blocks, legend, not_shown, reasons
from gvr_bench.report.metric_info import group_of
from gvr_bench.report.questions import leading_scores
from gvr_bench.report.tables import Column, Table
from gvr_bench.report.terms import Popovers, about


@dataclass(frozen=True)
class Section:
    """A part of a page: its template, its id and its title in the navigation.

    `content` makes what the template shows from the data of the page. A `folded` section shows its
    title and `summary` until it is opened.
    """

    template: str
    id: str
    title: str
    content: Callable[[Any], Mapping[str, object]] = lambda _: {}
    folded: bool = False
    summary: str = ""
    body: str = ""


@dataclass(frozen=True)
class Inlined:
    """A file of our own inside the page, and the hash by which the page lets it alone act."""

    name: str
    text: Markup
    hash: str


def make_page(template: str, sections: Sequence[Section], data: object, **masthead: object) -> str:
    """Put a page together of the sections whose templates make anything of the content."""
    templates = environment()
    shown = []
    for section in sections:
        content = templates.get_template(f"sections/{section.template}")
        body = content.render(section.content(data))
        if body.strip():
            shown.append(replace(section, body=Markup(body)))  # noqa: S704 - its template escaped
    return templates.get_template(template).render(
        masthead, sections=shown, styles=_inlined(".css"), scripts=_inlined(".js")
    )


def _inlined(suffix: str) -> list[Inlined]:
    """The assets of a kind in the order of their names."""
    files = sorted((resources.files(__package__) / "assets").iterdir(), key=lambda file: file.name)
    texts = [(file.name, file.read_text("utf-8")) for file in files if file.name.endswith(suffix)]
    return [
        Inlined(
            name,
            Markup(text),  # noqa: S704 - our own
            base64.b64encode(hashlib.sha256(text.encode()).digest()).decode(),
        )
        for name, text in texts
    ]


def seeds_of(run: Run) -> list[int]:
    """The seeds of a run, in order."""
    return sorted({record.seed for record in run.records})


def environment() -> jinja2.Environment:
    """The templates of this package, with the filters and functions that they call."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("gvr_bench.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "duration": text.duration,
        "minus": lambda number: number.replace("-", "−"),
        "name": text.isolated,
        "range": text.value_range,
        "seeds": seeds_of,
        "sentence": text.sentence,
    }
    popovers = Popovers()
    templates.globals |= {
        "about": about,
        "blocks": blocks,
        "component": popovers.component,
        "group_title": _group_title,
        "interval": text.interval,
        "leading": leading_scores,
        "metric": popovers.metric,
        "not_shown": not_shown,
        "notes": _notes,
        "number": text.number,
        "outcome": text.outcome,
        "places": text.places,
        "popovers": popovers,
        "reasons": reasons,
        "status": text.status,
        "term": popovers.term,
        "uninformative": text.sentence(UNINFORMATIVE),
        "zip": lambda *lists: list(zip(*lists, strict=True)),
    }
    return templates


def _group_title(column: Column) -> str:
    return group_of(column.group).title


def _notes(table: Table) -> str:
    return " ".join(legend([table], "below each value", "bold", "raised figures", text.DAGGER))
