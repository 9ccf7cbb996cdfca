"""Generate a page for each metric from its declaration, when the site is built."""

from __future__ import annotations

from collections.abc import Iterator

from gvr_bench.metrics import DECLARED, GROUPS, Declaration, Group
from gvr_bench.report.formatting import ARROWS, sentence, value_range
from gvr_bench.report.metric_info import group_of

INTRODUCTION = """\
Every score is a mean with a 95 % confidence interval from a bootstrap over images. An explainer
ranks above another only if a paired Wilcoxon signed-rank test over the same images finds it better,
Holm-corrected over all pairs of a column at 5 %; otherwise they share a rank. With several seeds
the seed is a random effect beside the images, in intervals and as a second test that must agree:
the analysis of variance of many readers and many cases (Dorfman, Berbaum and Metz 1992; Hillis
2007). Pixels of equal attribution come in an order drawn from each image. Columns where no
explainer beats all controls are flagged as uninformative. Compare numbers of one protocol only: the
same images, targets and definition of the metric.

In the formulas: `x` the image, `E` the encoder, `G` the generator, `h` the head, `f = h(E(.))` the
explained model, `o` the oracle, an independent model of the same task; `z = E(x)` and `r = G(z)`
the reconstruction; `z'` and `x'` the counterfactual, latent and image; `a` the attribution of the
explainer; `m` the mask of the finding; `x*` the true counterfactual."""


def metric_pages() -> Iterator[tuple[str, str]]:
    """Yield the path and Markdown of the index, then of a page per metric."""
    yield "metrics/index.md", index()
    for metric in DECLARED.values():
        yield f"metrics/{metric.name}.md", page(metric)


def index() -> str:
    """List all metrics by group, in the scoreboard's order."""
    lines = ["# Metrics", "", INTRODUCTION]
    for group in GROUPS:
        metrics = [metric for metric in DECLARED.values() if metric.group == group.name]
        if metrics:
            lines += ["", f"## {group.title}", "", about(group), ""]
            lines += ["| metric | better | meaning |", "| --- | --- | --- |"]
            lines += [
                f"| [{metric.title}]({metric.name}.md) | {ARROWS[metric.better]} | "
                f"{escaped(metric.meaning)} |"
                for metric in metrics
            ]
    return "\n".join(lines) + "\n"


def about(group: Group) -> str:
    """Say what a group measures, and which option computes it."""
    flag = "" if group.default else f" Only with `--metrics {group.name}` or `--metrics all`."
    text = group.text[:1].upper() + group.text[1:]
    return f"{text if text.endswith('?') else sentence(text)}{flag}"


def page(metric: Declaration) -> str:
    """Describe one metric."""
    group = group_of(metric.group)
    unit = "that of the prediction" if metric.unit == "task" else metric.unit
    facts = [
        ("group", f"[{group.title}](index.md#{group.title.lower().replace(' ', '-')})"),
        ("range", value_range(metric).rstrip(".")),
        ("unit", unit),
        ("no value where", metric.needs),
        ("cost of the group", group.cost),
        ("source", metric.source),
        ("version", metric.version),
    ]
    lines = [f"# {metric.title}", "", f"`{metric.name}`: {sentence(metric.meaning)}", ""]
    lines += ["| | |", "| --- | --- |"]
    lines += [f"| {name} | {escaped(value)} |" for name, value in facts if value]
    lines += ["", "## Formula", "", "```text", metric.formula, "```"]
    lines += ["", "## What fools it", "", metric.fooled_by, "", "## Criticism", "", group.criticism]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Escape text for a cell of a table."""
    return text.replace("|", "\\|")
