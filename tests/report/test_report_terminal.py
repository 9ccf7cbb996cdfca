from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_run import explainer_records, missing, model_records, record
from rich.cells import cell_len
from rich.console import Console

from gvr_bench.report.html import write_html
from gvr_bench.report.terminal import show

Make = Callable[..., Path]


def shown(run: Path, width: int = 80, encoding: str = "utf-8", terminal: bool = False) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    show(run, Console(file=stream, width=width, force_terminal=terminal, _environ={}))
    stream.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [50, 80, 132])
def test_no_line_is_wider_than_the_terminal(run: Path, width: int) -> None:
    # The last line is a path, which stays whole so that it can be copied.
    *lines, _ = shown(run, width).splitlines()
    assert max(map(cell_len, lines)) <= width


def test_six_scores_with_intervals_fit_80_columns_side_by_side(run: Path) -> None:
    lines = shown(run).splitlines()
    assert sum(line.startswith("explainer ") for line in lines) == 1
    row = next(i for i, line in enumerate(lines) if line.startswith("gvr "))
    assert lines[row].split() == ["gvr", "0.97", "0.91", "38", "0.88*", "0.92*", "0.081"]
    assert lines[row + 1].split() == [
        "0.92–1.00", "0.86–0.94", "36–39", "0.84–0.92", "0.87..0.97", "0.073–0.097",
    ]  # fmt: skip


def test_more_scores_than_fit_go_into_a_second_block(make_run: Make) -> None:
    records = [record(metric=f"score_number_{i}") for i in range(12)]
    lines = shown(make_run(records=records, n=1, size=8)).splitlines()
    assert sum(line.startswith("gvr ") for line in lines) == 2
    assert sum(line.count("0.50") for line in lines) == 12
    assert max(map(cell_len, lines[:-1])) <= 80


NAMES = (
    "gvr", "saliency", "integrated-gradients", "occlusion", "lime", "cam", "counterfactual-cam",
    "latent-shift", "random", "edge", "intensity",
)  # fmt: skip


def test_eleven_explainers_and_six_scores_fit_80_columns_side_by_side(make_run: Make) -> None:
    scores = {
        "pixel_ap": (0.62, 0.58, 0.66), "true_change_correlation": (0.01, -0.02, 0.04),
        "validity": (1.0, 1.0, 1.0), "reencoded_validity": (0.83, 0.75, 0.9),
        "steps": (30.1, 28.4, 31.8), "seconds_per_image": (0.0055, 0.0055, 0.0055),
    }  # fmt: skip
    records = [
        record(explainer=name, metric=metric, value=value, low=low, high=high)
        for name in NAMES
        for metric, (value, low, high) in scores.items()
    ]
    lines = shown(make_run(records=records, n=1, size=8)).splitlines()
    assert max(map(cell_len, lines[:-1])) <= 80
    assert sum(line.startswith("explainer ") for line in lines) == 1
    row = next(i for i, line in enumerate(lines) if line.startswith("counterfactual- "))
    assert [len(lines[i].split()) for i in (row, row + 1)] == [7, 6]
    assert lines[row + 1].split()[0] == "cam"


def test_a_dash_between_words_is_no_place_where_a_name_loses_its_space(make_run: Make) -> None:
    text = shown(make_run(records=[record(explainer="map - of mine")], n=1, size=8))
    assert "map - of mine" in text


def test_wide_signs_in_names_do_not_break_the_columns(make_run: Make) -> None:
    records = [record(explainer=name) for name in ("解释器" * 12, "🫁" * 30, "x" * 90)]
    lines = shown(make_run(records=records, n=1, size=8)).splitlines()
    assert max(map(cell_len, lines[:-1])) <= 80


def test_what_failed_is_a_cell_and_a_reason(run: Path) -> None:
    text = shown(run)
    assert "- failed: lime: captum is not installed" in text
    assert "- explainer lime: failed: captum is not installed: pip install captum" in text
    row = next(line for line in text.splitlines() if line.startswith("lime"))
    assert row.split() == ["lime"] + ["failed"] * 6


def test_directions_and_units_are_shown(run: Path) -> None:
    text = shown(run, 132)
    assert "AUROC ↑" in text
    assert "MAE (ng/L) ↓" in text


def test_a_terminal_without_unicode_gets_ascii(run: Path) -> None:
    text = shown(run, encoding="ascii")
    assert "AUROC ^" in text
    assert "0.84-0.92" in text


def test_a_pipe_gets_no_colours(run: Path) -> None:
    assert "\x1b" not in shown(run)
    assert "\x1b[" in shown(run, terminal=True)


def test_a_reason_cannot_command_the_terminal(make_run: Make) -> None:
    reason = "\x1b]0;owned\x07 [red]not markup[/red] \u202egnp\nsecond line"
    text = shown(make_run(records=[missing("failed", reason)], n=1, size=8))
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "[red]not markup[/red] gnp second line" in text


def test_the_header_says_what_was_run(run: Path) -> None:
    head = shown(run).splitlines()[0]
    assert head == "phantom | wgan_gp · conv · linear | seed 0 | cpu | 4 min 12 s"


def test_several_seeds_are_named_as_a_mean(make_run: Make) -> None:
    records = [r for seed in (0, 1, 2) for r in (*model_records(seed), *explainer_records(seed))]
    text = shown(make_run(records=records, n=1, size=8))
    assert "seeds 0, 1, 2" in text
    assert "mean of 3 seeds" in text


def test_the_last_line_says_where_the_report_is(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    assert shown(folder).splitlines()[-1] == f"Records: {folder}/records.jsonl"
    page = write_html(folder)
    assert shown(folder).splitlines()[-1] == f"Report: {page}"


def test_a_run_without_scores_says_so(make_run: Make) -> None:
    assert "No scores were recorded." in shown(make_run(records=[], n=1, size=8))
