from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gvr_bench.metrics import DECLARED

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "docs" / "metrics"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages as the script writes them now."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "dropped.md").write_text("a metric of long ago")
    script = ROOT / "scripts" / "metric_pages.py"
    subprocess.run([sys.executable, script, folder], check=True, capture_output=True)
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_the_committed_pages_are_what_the_script_writes(written: dict[str, str]) -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in COMMITTED.iterdir()}
    assert committed == written, "write them again with: scripts/metric_pages.py"


def test_there_is_a_page_for_each_metric_and_none_for_dropped_ones(
    written: dict[str, str],
) -> None:
    assert set(written) == {"index.md", *(f"{name}.md" for name in DECLARED)}


def test_the_index_leads_to_every_page(written: dict[str, str]) -> None:
    links = re.findall(r"\]\((\w+\.md)\)", written["index.md"])
    assert sorted(links) == sorted(name for name in written if name != "index.md")


def test_a_bar_in_a_formula_ends_no_cell_of_a_table(written: dict[str, str]) -> None:
    rows = [line for text in written.values() for line in text.splitlines() if line[:2] == "| "]
    counts = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    assert counts == {3, 4}


@pytest.mark.parametrize("name", DECLARED)
def test_a_page_says_all_that_is_declared(written: dict[str, str], name: str) -> None:
    metric, page = DECLARED[name], written[f"{name}.md"]
    assert page.startswith(f"# {metric.title}\n")
    for part in (f"`{name}`", metric.formula, metric.fooled_by, metric.source, metric.version):
        assert part.replace("|", "\\|") in page or part in page
