"""Finished runs in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from gvr_bench.metrics import Group
from gvr_bench.report import formatting as text
from gvr_bench.report.cases.reading import read_cases
from gvr_bench.report.data import Loaded, load_all
from gvr_bench.report.folder import Run
from gvr_bench.report.scores.blocks import Block, blocks, cut, without_intervals
from gvr_bench.report.scores.cautions import cautions
from gvr_bench.report.scores.notes import (
    best_note,
    images_note,
    interval_note,
    level_note,
    not_shown,
    rank_note,
    reasons,
    seeds_note,
    visible,
)
from gvr_bench.report.scores.tables import Table
from gvr_bench.report.terminal_tables import Screen

_GLANCE = Group("", "One score of each other group", "")
_FEW = 8  # scores that are all shown, however they are grouped
_MANY = 8  # cautions that are shown


def show(run: Path, console: Console, every: bool = False, loaded: Loaded | None = None) -> None:
    """Print what was run, the scores and what went wrong. Raises `DataError`.

    Of a large scoreboard the leading group is shown and one score of each other group, unless
    `every` score is wanted. `loaded` is the run where it was read already.
    """
    loaded, screen = loaded or load_all([run]), Screen(console)
    screen.print(_header(loaded.runs[0]), "bold")
    _tables(loaded, screen, every)
    _cautions(loaded, screen)
    page = run / "index.html"
    last = f"Report: {page}" if page.is_file() else f"Records: {run / 'records.jsonl'}"
    console.print()
    # A path is never folded: a terminal wraps it, and it can still be copied.
    console.print(Text(text.clean(last)), soft_wrap=True)


def show_shared(
    folders: Sequence[Path], console: Console, every: bool = False, loaded: Loaded | None = None
) -> None:
    """Print the scores of several runs in shared tables, one per protocol. Raises `DataError`."""
    loaded, screen = loaded or load_all(folders), Screen(console)
    for run in loaded.runs:
        screen.print(f"{run.name}: {_header(run)}", "bold")
    _tables(loaded, screen, every)


def _header(run: Run) -> str:
    records = run.records
    models = dict.fromkeys(f"{r.generator} · {r.encoder} · {r.head}" for r in records)
    seeds = sorted({r.seed for r in records})
    parts = [
        ", ".join(dict.fromkeys(r.dataset for r in records)),
        text.listed(list(models), 2),
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}" if seeds else "",
        run.environment.device,
        text.duration(run.environment.seconds),
    ]
    return " | ".join(part for part in parts if part)


def _tables(loaded: Loaded, screen: Screen, every: bool) -> None:
    tables = [*loaded.published, *loaded.models, *loaded.boards]
    for table in tables:
        _table(table, screen, every)
    if not tables:
        screen.print("No scores were recorded.", "yellow")


def _table(whole: Table, screen: Screen, every: bool) -> None:
    screen.print()
    screen.print(whole.title, "bold")
    for line in whole.apart:
        screen.print(line, "yellow")
    found = blocks(whole)
    scores = sum(len(block.table.columns) for block in found)
    brief = whole.kind == "scoreboard" and not every and scores > _FEW
    shown = _brief(whole, found, screen) if brief else found
    for block in shown:
        _block(block, screen)
    _legend([block.table for block in shown], screen)
    if brief:
        hidden = scores - sum(len(block.table.columns) for block in shown)
        screen.print(f"{hidden} more scores: in the page, or here with --all-metrics", "dim")
    else:
        for line in not_shown(whole):
            screen.print(f"- {line}")


def _brief(whole: Table, found: Sequence[Block], screen: Screen) -> list[Block]:
    """As much of the leading group as fits side by side, and one score of each other group."""
    first, rest = found[0], found[1:]
    front = next(screen.pieces(first.table))
    names = [block.table.columns[0].metric for block in rest]
    table = visible(whole)
    at = {column.metric: index for index, column in enumerate(table.columns)}
    glance = without_intervals(cut(table, [at[name] for name in names]))
    return [
        replace(first, table=front),
        *([Block(_GLANCE, glance, (), titled=True)] if names else []),
    ]


def _block(block: Block, screen: Screen) -> None:
    if block.titled:
        screen.print()
        about = f": {block.group.text}" if block.group.text else ""
        screen.print(f"{block.group.title}{about}", "italic")
    screen.table(block.table)
    for line in (*block.left_out, *reasons(block.table)):
        screen.print(f"- {line}")


def _legend(shown: Sequence[Table], screen: Screen) -> None:
    """What the marks of the tables mean, told once for all of them."""
    merged = replace(
        shown[0],
        columns=tuple(column for table in shown for column in table.columns),
        rows=tuple(row for table in shown for row in table.rows),
    )
    span = interval_note(merged)
    about = (f"beneath each value its {span}" if span else "", images_note(merged))
    screen.print("; ".join(note for note in (*about, seeds_note(merged)) if note), "dim")
    marks = (
        ("*", best_note(merged)),
        (screen.rank(1), rank_note(merged)),
        (text.LEVEL, level_note(merged)),
    )
    for mark, note in marks:
        if note:
            screen.print(f"{mark} {note}", "dim")


def _cautions(loaded: Loaded, screen: Screen) -> None:
    """What a reader should be wary of, the first of it where it is much."""
    (run,) = loaded.runs
    found = cautions(run, loaded.models, loaded.boards, read_cases(run.path, 1))
    if not found:
        return
    screen.print()
    screen.print("Read with care", "bold")
    for line in found[:_MANY]:
        screen.print(f"- {line}", "yellow")
    if len(found) > _MANY:
        screen.print(f"{len(found) - _MANY} more in the page", "dim")
