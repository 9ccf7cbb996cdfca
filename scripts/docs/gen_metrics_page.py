"""Write the page that compares all metrics: `python scripts/docs/gen_metrics_page.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gen_metric_docs import about
from gen_reference_docs import table

from gvr_bench.metrics import DECLARED, GROUPS
from gvr_bench.report.formatting import value_range

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
INTRODUCTION = """\
# Metrics compared

<!-- Written by scripts/docs/gen_metrics_page.py from the code; edit that. -->

Every score by group: its range and better end, where it has no value, and what fools it; for each
group what it costs, and what others have against it. `--metrics GROUP` computes a group,
`--metrics NAME` shows one metric of it. Without `--metrics` a run computes the groups marked with a
star, with `--metrics all` every one. The model's own scores always come along.

`captum:infidelity`, `captum:sensitivity_max` and, with the extra `quantus`, `quantus:CLASS` are
metrics of these libraries. [Add your own metric](../how-to/your-metric.md) for any other.
"""


def page() -> str:
    """Return the page: an introduction, and a table for each group."""
    return "\n".join([INTRODUCTION, *lines()])


def lines() -> Iterator[str]:
    """Yield the lines of all groups."""
    for group in GROUPS:
        metrics = [metric for metric in DECLARED.values() if metric.group == group.name]
        star = " *" if group.default else ""
        yield f"## {group.title}: `{group.name}`{star}\n"
        yield about(group)
        yield f"\nCost: {group.cost}. Criticism: {group.criticism}"
        rows = [(f"`{m.name}`", value_range(m).rstrip("."), m.needs, m.fooled_by) for m in metrics]
        yield from table(("metric", "range", "no value where", "what fools it"), rows)
        yield ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
