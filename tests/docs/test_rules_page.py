"""The page for authors lists all rules."""

from __future__ import annotations

from pathlib import Path

from gvr_bench.testing.explainers import CHECKS

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "your-explainer.md"


def test_rules_are_listed_in_order() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    first = lines.index("| `class` | " + CHECKS["class"] + " |")
    rows = [f"| `{check}` | {text} |" for check, text in CHECKS.items()]
    assert lines[first : first + len(rows)] == rows
