"""Words that a page explains where they stand: terms, scores, and components by their summaries."""

from __future__ import annotations

from functools import cache

from markupsafe import Markup

from gvr_bench.config.metric_choice import declaration_of
from gvr_bench.registry.registry import installed
from gvr_bench.report import formatting as text
from gvr_bench.report.metric_info import group_of
from gvr_bench.report.tables import Column

TERMS = {
    "rationale": "The difference between an image and its counterfactual: what an explainer says "
    "made the model predict the output.",
    "counterfactual": "An image that changes as little as possible until the model no longer "
    "predicts the output.",
    "control": "A competitor that explains nothing, such as noise, the image itself, one picture "
    "for all cases, or somebody else's image.",
    "oracle": "A second model, trained apart on the images, that never saw a latent or an "
    "explanation. It judges whether a counterfactual really lacks the finding.",
    "reconstruction": "The image as the generator draws it from its latent, the vector that the "
    "encoder makes of the image.",
    "true change": "The difference between the image and the same image without the finding, "
    "which is known because the data set can draw both.",
    "finding": "Where the finding is, as the data set marks it.",
}


class Popovers:
    """The explanations of one page: each is written once, however often it is asked for."""

    def __init__(self) -> None:
        self.used: dict[str, tuple[str, str, list[str]]] = {}

    def term(self, name: str) -> Markup:
        """A word of `TERMS`, or the plain word."""
        return self._button(name, name, [TERMS[name]]) if name in TERMS else text.isolated(name)

    def component(self, kind: str, label: str) -> Markup:
        """The label of a component with the summary of its plugin, where that is installed."""
        summary = about(kind, label)
        if not summary:
            return text.isolated(label)
        return self._button(f"{kind} {label.partition(':')[0]}", label, [text.sentence(summary)])

    def metric(self, column: Column) -> Markup:
        """A question mark that says what a score means; nothing for an undeclared one."""
        if declaration_of(column.metric) is None:
            return Markup()
        group = group_of(column.group)
        question = [f"{group.title}: {group.text}"] if group.text else []
        lines = [*question, *text.hover(column.metric).splitlines()]
        label = f"What {column.title} means"
        return self._button(column.metric, "?", lines, title=column.title, label=label)

    def _button(self, name: str, shown: str, lines: list[str], title: str = "",
                label: str = "") -> Markup:  # fmt: skip
        key = f"{'metric' if label else 'term'} {name}"
        number = f"about-{len(self.used)}"
        known = self.used.setdefault(key, (number, title or name, lines))
        css = Markup('term ask" aria-label="{}').format(label) if label else "term"
        return Markup('<button type="button" class="{}" popovertarget="{}">{}</button>').format(
            css, known[0], text.isolated(shown)
        )


def about(kind: str, label: str) -> str:
    """The summary of an installed component; empty where it is not known."""
    return _summaries().get((kind, label.partition(":")[0]), "")


@cache
def _summaries() -> dict[tuple[str, str], str]:
    rows = [row.plugin for row in installed().rows]
    return {(plugin.kind, plugin.name): plugin.summary for plugin in rows}
