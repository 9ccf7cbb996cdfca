from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_run import missing, record

from gvr_bench.report.metric_info import entry
from gvr_bench.report.run import Run, load
from gvr_bench.report.scoreboards import model_tables, scoreboards
from gvr_bench.report.table_blocks import blocks, legend, not_shown, reasons
from gvr_bench.report.tables import Table
from gvr_bench.results.records import Record

Make = Callable[..., Path]


@pytest.fixture
def board(make_run: Make) -> Callable[[list[Record]], Table]:
    """The only scoreboard of a run with these records."""

    def only(records: list[Record]) -> Table:
        (table,) = scoreboards([load(make_run(records=records, n=1, size=8))])
        return table

    return only


def shown(table: Table) -> list[str]:
    """The metrics that are visible, in any group."""
    return [column.metric for block in blocks(table) for column in block.table.columns]


def values(table: Table) -> dict[str, tuple[float | None, ...]]:
    return {row.names[0]: tuple(cell.value for cell in row.cells) for row in table.rows}


def runs_with(make_run: Make, *records: list[Record]) -> list[Run]:
    return [load(make_run(f"run-{i}", records=r, n=1, size=8)) for i, r in enumerate(records)]


def test_two_protocols_make_two_tables(make_run: Make) -> None:
    runs = runs_with(
        make_run,
        [record(explainer="gvr", value=0.9, protocol="all-test-images")],
        [record(explainer="lime", value=0.2, protocol="ten-test-images")],
    )
    tables = scoreboards(runs)
    assert [values(table) for table in tables] == [{"gvr": (0.9,)}, {"lime": (0.2,)}]
    assert [table.title.rpartition(", ")[2] for table in tables] == [
        "protocol 1 of 2", "protocol 2 of 2",
    ]  # fmt: skip


def test_one_protocol_makes_one_table(make_run: Make) -> None:
    runs = runs_with(make_run, [record(explainer="gvr")], [record(explainer="lime", value=0.2)])
    (table,) = scoreboards(runs)
    assert values(table) == {"gvr": (0.5,), "lime": (0.2,)}


def test_shared_results_become_one_row(make_run: Make) -> None:
    (table,) = scoreboards(runs_with(make_run, [record()], [record()]))
    assert values(table) == {"gvr": (0.5,)}


def test_other_settings_are_another_row(
    make_run: Make,
) -> None:
    other = record(value=0.7, seed=1, keys=("other",))
    (table,) = scoreboards(runs_with(make_run, [record()], [other]))
    assert values(table) == {"gvr [run-1]": (0.7,), "gvr [run-0]": (0.5,)}


def test_seeds_are_averaged_and_counted(board: Callable[..., Table]) -> None:
    table = board(
        [record(value=0.4, low=0.3, high=0.5), record(value=0.6, low=0.4, high=0.9, seed=1)]
    )
    (cell,) = table.rows[0].cells
    assert (cell.value, cell.low, cell.high) == pytest.approx((0.5, 0.4, 0.6))
    assert cell.seeds == (0, 1)
    (line,) = legend([table], "below", "bold", "#", "!")
    assert line == "Means of 2 seeds, with their lowest and highest value below; 100 cases."


def test_a_failed_seed_is_a_reason(
    board: Callable[..., Table],
) -> None:
    table = board([record(value=0.4), missing("failed", "out of memory", seed=1)])
    assert table.rows[0].cells[0].value == 0.4
    assert reasons(table) == ["in part: gvr: seed 1 failed: out of memory"]


@pytest.mark.parametrize("status", ["failed", "n/a", "skipped"])
def test_missing_numbers_have_status_and_reason(board: Callable[..., Table], status: str) -> None:
    table = board([missing(status, "it has no gradient")])
    assert table.rows[0].cells[0].status == status
    assert reasons(table) == [f"{status}: gvr: it has no gradient"]


def test_a_shared_reason_is_one_line(
    board: Callable[..., Table],
) -> None:
    names = ("a", "b")
    table = board(
        [record(explainer=name) for name in names]
        + [
            missing("failed", "no latent", explainer=n, metric=m)
            for n in names
            for m in ("optimizer_steps", "x_y")
        ]
    )
    assert reasons(table) == ["failed: a, b (optimizer steps, x y): no latent"]


def test_columns_na_everywhere_are_hidden(
    board: Callable[..., Table],
) -> None:
    why = {
        "iou_otsu": "no masks are known",
        "unchanged_rate": "no classes",
        "optimizer_steps": "no classes",
    }
    table = board(
        [record(explainer=name) for name in ("a", "b")]
        + [
            missing("n/a", reason, explainer=name, metric=metric)
            for name in ("a", "b")
            for metric, reason in why.items()
        ]
    )
    assert shown(table) == ["pixel_ap"]
    assert reasons(blocks(table)[0].table) == []
    assert not_shown(table) == [
        "Not shown: IoU, Otsu (no masks are known); unchanged rate, optimizer steps (no classes)"
    ]


def test_columns_with_failures_stay(board: Callable[..., Table]) -> None:
    table = board(
        [record(explainer=name) for name in ("a", "b")]
        + [missing("n/a", "no steps", explainer="a", metric="optimizer_steps")]
        + [missing("failed", "out of memory", explainer="b", metric="optimizer_steps")]
    )
    assert shown(table) == ["pixel_ap", "optimizer_steps"]


@pytest.mark.parametrize("status", ["failed", "n/a"])
def test_rows_without_scores_keep_no_column(board: Callable[..., Table], status: str) -> None:
    table = board(
        [record(explainer="a"), missing("n/a", "no steps", explainer="a", metric="optimizer_steps")]
        + [
            missing(status, "broken", explainer="b", metric=m)
            for m in ("pixel_ap", "optimizer_steps")
        ]
    )
    assert shown(table) == ["pixel_ap"]
    assert reasons(blocks(table)[0].table) == [f"{status}: b: broken"]
    assert not_shown(table) == ["Not shown: optimizer steps (no steps)"]


def test_a_table_without_scores_keeps_columns(board: Callable[..., Table]) -> None:
    table = board([missing("n/a", "no masks are known")])
    assert shown(table) == ["pixel_ap"]


def test_costs_measured_once_have_no_interval(
    board: Callable[..., Table],
) -> None:
    point = {"value": 1.0, "low": 1.0, "high": 1.0}
    table = board(
        [record(metric=metric, **point) for metric in ("validity", "seconds_per_image")]
        + [record(metric="optimizer_steps", value=1.0, low=0.9, high=1.1)]
    )
    assert [cell.low for cell in table.rows[0].cells] == [1.0, None, 0.9]


def test_controls_come_last(board: Callable[..., Table]) -> None:
    scores = {"edge": 0.9, "weak": 0.2, "random": 0.1, "strong": 0.8, "none": None}
    table = board(
        [
            record(explainer=name, value=value)
            if value is not None
            else missing("failed", "x", explainer=name)
            for name, value in scores.items()
        ]
    )
    assert [row.names[0] for row in table.rows] == ["strong", "weak", "none", "edge", "random"]
    assert [row.control for row in table.rows] == [False, False, False, True, True]


def test_a_control_can_be_best(board: Callable[..., Table]) -> None:
    table = board([record(value=0.3), record(explainer="edge", value=0.4)])
    assert [row.cells[0].best for row in table.rows] == [False, True]


def test_a_control_is_never_cheapest(board: Callable[..., Table]) -> None:
    cost = {"metric": "seconds_per_image", "better": "down"}
    table = board(
        [
            record(explainer=name, value=value, **cost)
            for name, value in (("gvr", 0.3), ("lime", 0.2), ("random", 0.001))
        ]
    )
    assert {row.names[0]: row.cells[0].best for row in table.rows} == {
        "gvr": False, "lime": True, "random": False,
    }  # fmt: skip


@pytest.mark.parametrize(("better", "best"), [("up", "b"), ("down", "a"), ("-", None)])
def test_best_follows_the_direction(
    board: Callable[..., Table], better: str, best: str | None
) -> None:
    table = board(
        [
            record(explainer=name, metric="anything", better=better, value=value)
            for name, value in (("a", 1.0), ("b", 2.0))
        ]
    )
    assert [row.names[0] for row in table.rows if row.cells[0].best] == ([best] if best else [])


def test_columns_keep_the_record_order(board: Callable[..., Table]) -> None:
    table = board([record(metric=name) for name in ("zeta", "alpha", "mid")])
    assert [column.metric for column in table.columns] == ["zeta", "alpha", "mid"]


def test_single_outputs_stay_off_the_scoreboard(board: Callable[..., Table]) -> None:
    table = board([record(), record(output="Effusion", value=0.9)])
    assert values(table) == {"gvr": (0.5,)}


def test_model_rows_are_outputs_all_first(make_run: Make) -> None:
    records = [
        record(explainer=None, metric=metric, better="-", output=finding)
        for metric in ("auroc", "mae")
        for finding in ("Effusion", "all")
    ]
    (table,) = model_tables(runs_with(make_run, records))
    assert table.headings == ("output",)
    assert [row.names for row in table.rows] == [("all",), ("Effusion",)]
    assert [column.unit for column in table.columns] == ["", "ng/L"]


def test_the_best_head_per_output(make_run: Make) -> None:
    records = [
        record(explainer=None, metric="auroc", head=head, output=finding, value=value)
        for head, finding, value in (
            ("linear", "a", 0.9), ("linear", "b", 0.5), ("mlp", "a", 0.8), ("mlp", "b", 0.6),
        )
    ]  # fmt: skip
    (table,) = model_tables(runs_with(make_run, records))
    best = [row.names for row in table.rows if row.cells[0].best]
    assert best == [("wgan_gp · conv · linear", "a"), ("wgan_gp · conv · mlp", "b")]


def test_undeclared_metrics_go_by_name() -> None:
    assert (entry("my_own").title, entry("my_own").group) == ("my own", "")
    assert entry("unchanged_rate").title == "unchanged rate"
    assert "share of counterfactuals" in entry("unchanged_rate").meaning
