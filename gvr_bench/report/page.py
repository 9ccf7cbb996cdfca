"""The frame of every page: its sections, style sheets and scripts, and what templates may call."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources

import jinja2
from markupsafe import Markup, escape

from gvr_bench.metrics import DECLARED
from gvr_bench.report import formatting as text
from gvr_bench.report.folder import Run
from gvr_bench.report.interval_marks import marks
from gvr_bench.report.layout import UNINFORMATIVE, blocks, legend, not_shown, reasons
from gvr_bench.report.tables import Table

_WORD_END = re.compile(r"_|[,:=](?=[^\W\d])")


@dataclass(frozen=True)
class Section:
    """A part of a page: its template, the id it goes by, and its title in the navigation."""

    template: str
    id: str
    title: str
    body: str = ""


@dataclass(frozen=True)
class Inlined:
    """A file of our own inside the page, and the hash by which the page lets it alone act."""

    name: str
    text: Markup
    hash: str


def make_page(template: str, sections: Sequence[Section], **content: object) -> str:
    """Put a page together of the sections whose templates make anything of the content."""
    templates = environment()
    shown = []
    for section in sections:
        body = templates.get_template(f"sections/{section.template}").render(content)
        if body.strip():
            shown.append(replace(section, body=Markup(body)))  # noqa: S704 - its template escaped
    return templates.get_template(template).render(
        content, sections=shown, styles=_inlined(".css"), scripts=_inlined(".js")
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
        "hover": text.hover,
        "is_declared": DECLARED.__contains__,
        "minus": _minus,
        "name": _name,
        "range": text.value_range,
        "seeds": seeds_of,
        "sentence": text.sentence,
        "short": text.short,
    }
    templates.globals |= {
        "blocks": blocks,
        "interval": text.interval,
        "marks": marks,
        "not_shown": not_shown,
        "notes": _notes,
        "number": text.number,
        "outcome": text.outcome,
        "places": text.places,
        "reasons": reasons,
        "status": text.status,
        "uninformative": text.sentence(UNINFORMATIVE),
        "zip": lambda *lists: list(zip(*lists, strict=True)),
    }
    return templates


def _minus(number: str) -> str:
    return number.replace("-", "−")


def _name(name: object) -> Markup:
    """A name in its own direction of writing, which may break where its words end.

    Signs that would turn what comes after it are left out, as in a terminal.
    """
    shown = _WORD_END.sub(r"\g<0><wbr>", str(escape(text.clean(str(name)))))
    return Markup(f"<bdi>{shown}</bdi>")  # noqa: S704 - escaped above


def _notes(table: Table) -> str:
    return " ".join(legend([table], "below each value", "bold", "raised figures", "grey"))
