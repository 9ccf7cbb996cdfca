from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from gvr_bench.metrics import DECLARED, GROUPS
from gvr_bench.report.formatting import value_range

SCRIPT = Path(__file__).parents[2] / "scripts" / "docs" / "gen_metric_docs.py"
PAGES: dict[str, str] = dict(runpy.run_path(str(SCRIPT))["metric_pages"]())


def test_the_index_links_every_page() -> None:
    links = re.findall(r"\]\((\w+\.md)\)", PAGES["metrics/index.md"])
    assert sorted(links) == sorted(f"{name}.md" for name in DECLARED)
    assert set(PAGES) == {"metrics/index.md", *(f"metrics/{link}" for link in links)}


def test_bars_do_not_split_table_cells() -> None:
    rows = [line for text in PAGES.values() for line in text.splitlines() if line[:2] == "| "]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3, 4}


@pytest.mark.parametrize("name", DECLARED)
def test_a_page_has_the_whole_declaration(name: str) -> None:
    metric, page = DECLARED[name], PAGES[f"metrics/{name}.md"]
    assert page.startswith(f"# {metric.title}\n")
    direction = value_range(metric).rstrip(".")
    group = next(group for group in GROUPS if group.name == metric.group)
    assert group.cost in page
    assert group.criticism in page
    facts = (metric.formula, metric.fooled_by, metric.source, metric.needs, metric.version)
    for fact in (f"`{name}`", direction, *facts):
        assert fact.replace("|", "\\|") in page or fact in page
