from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_run import SOME, record

from gvr_bench.report.table_formats import export

Make = Callable[..., Path]
HOSTILE = (
    "a | b", "<script>alert(1)</script>", "**bold** _it_ ~~out~~", "[x](javascript:1)", "`code`",
    "![](//x.y)", "$x_1$", "&lt;b&gt;", "שלום 😀", "\\| end", "- # 1. >", "<http://x.y>",
)  # fmt: skip


def parsed(markdown: str) -> list[tuple[str, str]]:
    """Every open tag, and the text of every inline part, as (tag, text)."""
    reader = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    return [
        (token.tag if token.nesting == 1 else token.type, token.content)
        for outer in reader.parse(markdown)
        for token in (outer, *(outer.children or ()))
    ]


def test_hostile_names_stay_text(make_run: Make) -> None:
    folder = make_run(
        records=[record(explainer=name, low=None, high=None) for name in HOSTILE], n=1, size=8
    )
    tokens = parsed(export([folder], "markdown"))
    cells = [text for tag, text in tokens if tag == "text" and text in HOSTILE]
    assert sorted(cells) == sorted(HOSTILE)
    tags = {tag for tag, _ in tokens}
    assert not tags & {"html_inline", "html_block", "a", "image", "em", "code_inline", "s", "ul"}


def test_every_row_and_cell_appears(ranked: Path) -> None:
    tokens = parsed(export([ranked], "markdown"))
    tags = [tag for tag, _ in tokens]
    rows = [line for line in export([ranked], "markdown").splitlines() if line.startswith("|")]
    rules = [line for line in rows if line.startswith("|:---")]
    groups = {metric.group for metric in SOME}
    assert tags.count("table") == len(rules) > len(groups) - 1
    assert tags.count("tr") == len(rows) - len(rules)
    assert tags.count("td") + tags.count("th") == sum(
        line.count(" | ") + 1 for line in rows if line not in rules
    )


def test_the_best_value_is_bold(ranked: Path) -> None:
    tokens = parsed(export([ranked], "markdown"))
    at = next(place for place, (_, text) in enumerate(tokens) if text.startswith("**0.853**"))
    assert tokens[at - 3 : at].count(("td", "")) == 1
    assert ("strong", "") in tokens[at : at + 4]
