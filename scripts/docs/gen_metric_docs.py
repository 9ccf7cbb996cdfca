#!/usr/bin/env python
"""Write a page about every metric, from what the metrics declare: `scripts/metric_pages.py`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from gvr_bench.metrics import DECLARED, GROUPS, Declaration, Group
from gvr_bench.report.formatting import sentence, value_range

FOLDER = Path(__file__).parents[2] / "docs" / "metrics"
INTRODUCTION = """\
Every score is a mean with a 95 % interval, a bootstrap over images. Explainers are ranked apart
only where a paired Wilcoxon signed-rank test over the same images says so, Holm-corrected over all
pairs of a column at 5 %; otherwise they share a rank. A column in which no explainer does better
than every control shows nothing, and is marked. The numbers of a protocol (the same images,
questions and definition) are compared with each other alone.

In the formulas: `x` the image, `E` the encoder, `G` the generator, `h` the head, `f = h(E(.))` the
explained model, `o` the oracle, an independent model of the same task; `z = E(x)` and `r = G(z)`
the reconstruction; `z'` and `x'` the counterfactual, latent and image; `a` the attribution of the
explainer; `m` the mask of the finding; `x*` the true counterfactual."""
WAY = {"up": "↑", "down": "↓", "-": ""}


def pages() -> Iterator[tuple[str, str]]:
    """Yield file names and their text: the index first, then one page per metric."""
    yield "index.md", index()
    for metric in DECLARED.values():
        yield f"{metric.name}.md", page(metric)


def index() -> str:
    """All metrics by group, in the scoreboard's order."""
    lines = ["# Metrics", "", INTRODUCTION]
    for group in GROUPS:
        metrics = [metric for metric in DECLARED.values() if metric.group == group.name]
        if metrics:
            lines += ["", f"## {group.title}", "", about(group), ""]
            lines += ["| metric | better | what it says |", "| --- | --- | --- |"]
            lines += [
                f"| [{metric.title}]({metric.name}.md) | {WAY[metric.better]} | "
                f"{escaped(metric.meaning)} |"
                for metric in metrics
            ]
    return "\n".join(lines) + "\n"


def about(group: Group) -> str:
    """What a group asks, and how to get it."""
    asked = "" if group.default else f" Only with `--metrics {group.name}` or `--metrics all`."
    text = group.text[:1].upper() + group.text[1:]
    return f"{text if text.endswith('?') else sentence(text)}{asked}"


def page(metric: Declaration) -> str:
    """All that is declared of one metric."""
    group = next(group for group in GROUPS if group.name == metric.group)
    unit = "that of the prediction" if metric.unit == "task" else metric.unit
    facts = [
        ("group", f"[{group.title}](index.md#{group.title.lower().replace(' ', '-')})"),
        ("range", value_range(metric).rstrip(".")),
        ("unit", unit),
        ("no value where", metric.needs),
        ("source", metric.source),
        ("version", metric.version),
    ]
    lines = [f"# {metric.title}", "", f"`{metric.name}`: {sentence(metric.meaning)}", ""]
    lines += ["| | |", "| --- | --- |"]
    lines += [f"| {name} | {escaped(value)} |" for name, value in facts if value]
    lines += ["", "## Formula", "", "```text", metric.formula, "```"]
    if metric.fooled_by:
        lines += ["", "## What fools it", "", metric.fooled_by]
    return "\n".join(lines) + "\n"


def escaped(words: str) -> str:
    """Text that does not end a cell of a table."""
    return words.replace("|", "\\|")


def write(folder: Path) -> None:
    """Write all pages, and remove those of metrics that are no more."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = dict(pages())
    for old in folder.glob("*.md"):
        if old.name not in texts:
            old.unlink()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    write(target)
    print(f"{len(DECLARED)} metrics in {target}")
