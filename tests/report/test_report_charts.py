from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_report_html import Page, words

from gvr_bench.report.cases.reading import Curve
from gvr_bench.report.charts.training import Chart, charts
from gvr_bench.report.html import render


def curve(loss: str, *values: float, stage: str = "head") -> Curve:
    return Curve(stage, loss, np.arange(len(values), dtype=float), np.array(values))


def only(*curves: Curve) -> Chart:
    (chart,) = charts(curves)
    return chart


def test_a_curve_without_two_finite_points_is_not_drawn() -> None:
    assert charts([curve("loss", 1.0, np.nan, np.inf)]) == []


@pytest.mark.parametrize(
    "other",
    [
        curve("validation_mse", 1, 2),
        curve("validation_loss", 1, 2, stage="encoder"),
        curve("mse", 1, 2),
    ],
    ids=["another loss", "another stage", "no held-out images"],
)
def test_losses_that_are_no_pair_stay_apart(other: Curve) -> None:
    drawn = charts([curve("loss", 3, 4), other])
    assert [chart.title for chart in drawn] == [
        "head: loss",
        f"{other.stage}: {other.loss.replace('_', ' ')}",
    ]
    assert not any(chart.held_out or chart.gap for chart in drawn)


def test_a_held_out_loss_is_drawn_alone_where_training_left_no_finite_value() -> None:
    chart = only(curve("loss", np.nan, np.nan), curve("validation_loss", 1, 2))
    assert chart.title == "head: validation loss"
    assert not chart.held_out


def test_a_pair_shares_its_axes() -> None:
    chart = only(curve("loss", 0, 2), curve("validation_loss", 1, 4))
    assert (chart.lowest, chart.highest) == ("0", "4")
    assert chart.points == "0.0,90.0 240.0,45.0"
    assert chart.held_out == "0.0,67.5 240.0,0.0"


def test_the_order_of_the_two_in_the_history_does_not_matter() -> None:
    pair = curve("loss", 0, 2), curve("validation_loss", 1, 4)
    assert charts(pair) == charts(pair[::-1])


def test_the_gap_compares_means_over_the_last_tenth() -> None:
    training = curve("loss", *[9.0] * 18, 0.130, 0.134)
    held_out = curve("validation_loss", *[1.0] * 18, 0.124, 0.128)
    assert only(training, held_out).gap == "training 0.132, held out 0.126: gap -4.5 %"


@pytest.mark.parametrize(
    ("training", "held_out", "told"),
    [
        (0.1, 0.15, "training 0.1, held out 0.15: gap +50.0 %"),
        (-2.0, -1.0, "training -2, held out -1: gap +50.0 %"),
        (1.0, 0.9999, "training 1, held out 1: gap 0.0 %"),
        (0.0, 0.2, "training 0, held out 0.2"),
        (np.nan, 0.2, ""),
    ],
    ids=["worse", "negative losses", "alike", "training loss of 0", "training diverged"],
)
def test_what_the_gap_says(training: float, held_out: float, told: str) -> None:
    pair = curve("loss", 3, 3, training), curve("validation_loss", 3, 3, held_out)
    assert only(*pair).gap == told


def test_the_page_draws_a_pair_as_two_lines_with_a_key(make_run: Callable[..., Path]) -> None:
    folder = make_run(n=1, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        history = file["0/history/encoder"]
        del history["mse"]
        history["mse"] = np.full(80, 0.2)
        history["validation_mse"] = np.full(80, 0.3)
    page = Page(render(folder))
    text = words(page.shown)
    assert "encoder: mse training held out" in text
    assert "training 0.2, held out 0.3: gap +50.0 %" in text
    assert "validation mse" not in text
    assert text.count("at the end") == 2  # critic and wasserstein, which have no pair
    dashed = [line for line in page.all("polyline") if line.get("class") == "held-out"]
    assert len(dashed) == 2  # in the key and in the chart
