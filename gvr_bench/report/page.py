"""The frame of every page: its sections, style sheets and scripts, and what templates may call."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from gvr_bench.report import formatting as text
from gvr_bench.report.metric_info import group_of
from gvr_bench.report.popovers import Popovers, about
from gvr_bench.report.questions import leading_scores
from gvr_bench.report.run import Run
from gvr_bench.report.table_blocks import UNINFORMATIVE, blocks, legend, not_shown, reasons
from gvr_bench.report.verdict import Verdict


@dataclass(frozen=True)
class Section:
    """A part of a page: its id and its title in the navigation.

    `content` makes what its template shows from the data of the page; the template is named as the
    id, unless `template` names it. A section with a `summary` is folded: it shows title and summary
    until it is opened.
    """

    id: str
    title: str
    content: Callable[[Any], Mapping[str, object]] = lambda page: page
    summary: str = ""
    template: str = ""


def make_page(
    sections: Sequence[Section],
    data: object,
    *,
    version: str,
    title: str,
    heading: str = "",
    subtitles: Sequence[str] = (),
    verdicts: Sequence[Verdict] = (),
    models: Sequence[tuple[Sequence[tuple[str, str]], str]] = (),
    facts: Sequence[str] = (),
    back: str = "",
) -> str:
    """Put a page together of the sections whose templates make anything of the content.

    `models` are the kinds and labels of their components, and what is known of them; `back` is the
    address of the page that leads here.
    """
    templates = _environment()
    bodies = []
    for section in sections:
        template = templates.get_template(f"sections/{section.template or section.id}.html.j2")
        bodies.append((section, template.render(section.content(data))))
    return templates.get_template("base.html.j2").render(
        sections=[(section, Markup(body)) for section, body in bodies if body.strip()],  # noqa: S704
        styles=_inlined(".css"), scripts=_inlined(".js"), version=version, title=title,
        heading=heading or title, subtitles=subtitles, verdicts=verdicts, models=models,
        facts=facts, back=back,
    )  # fmt: skip


def _inlined(suffix: str) -> list[dict[str, str]]:
    """Our files of a kind by name, with the hash by which the page lets them act."""
    files = sorted((resources.files(__package__) / "assets").iterdir(), key=lambda file: file.name)
    texts = {file.name: file.read_text("utf-8") for file in files if file.name.endswith(suffix)}
    return [
        {
            "name": name,
            "text": Markup(content),  # noqa: S704 - our own
            "hash": base64.b64encode(hashlib.sha256(content.encode()).digest()).decode(),
        }
        for name, content in texts.items()
    ]


def seeds_of(run: Run) -> list[int]:
    return sorted({record.seed for record in run.records})


class _CompiledTemplates(jinja2.BytecodeCache):
    """Templates in memory, compiled once for all pages of a process."""

    def __init__(self) -> None:
        self.known: dict[str, bytes] = {}

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Fill a bucket with a template that was compiled before."""
        if bucket.key in self.known:
            bucket.bytecode_from_string(self.known[bucket.key])

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Keep a template that has just been compiled."""
        self.known[bucket.key] = bucket.bytecode_to_string()


_COMPILED = _CompiledTemplates()


def _environment() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("gvr_bench.report", "templates"),
        bytecode_cache=_COMPILED,
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
    marks = ("below each value", "bold", "raised figures", text.DAGGER)
    popovers = Popovers()
    templates.globals |= {
        "about": about,
        "blocks": blocks,
        "component": popovers.component,
        "group_title": lambda column: group_of(column.group).title,
        "leading": leading_scores,
        "metric": popovers.metric,
        "not_shown": not_shown,
        "notes": lambda table: " ".join(legend([table], *marks)),
        "popovers": popovers,
        "reasons": reasons,
        "term": popovers.term,
        "text": text,
        "uninformative": text.sentence(UNINFORMATIVE),
        "zip": lambda *lists: list(zip(*lists, strict=True)),
    }
    return templates
