from __future__ import annotations

import numpy as np
import pytest

from gvr_bench.report.cases.cases_file import Curve
from gvr_bench.report.figures import Chart
from gvr_bench.report.figures.training import losses


def curve(loss: str, *values: float, stage: str = "head") -> Curve:
    return Curve(stage, loss, np.arange(len(values), dtype=float), np.array(values))


def only(*curves: Curve) -> Chart:
    (chart,) = losses(curves)
    return chart


def test_loss_needs_two_finite_values() -> None:
    assert list(losses([curve("loss", 1.0, np.nan, np.inf)])) == []


@pytest.mark.parametrize(
    "other",
    [
        curve("validation_mse", 1, 2),
        curve("validation_loss", 1, 2, stage="encoder"),
        curve("mse", 1, 2),
    ],
    ids=["another loss", "another stage", "no held-out images"],
)
def test_unrelated_losses_stay_apart(other: Curve) -> None:
    charts = list(losses([curve("loss", 3, 4), other]))
    assert [chart.title for chart in charts] == [
        "head: loss",
        f"{other.stage}: {other.loss.replace('_', ' ')}",
    ]
    assert all(chart.data.held_out is None for chart in charts)


@pytest.mark.parametrize("step", [1, -1])
def test_held_out_loss_joins_training(step: int) -> None:
    pair = [curve("loss", 0, np.nan, 2), curve("validation_loss", 1, 4)]
    chart = only(*pair[::step])
    assert [line.tolist() for line in chart.data.training] == [[0, 2], [0, 2]]
    assert [line.tolist() for line in chart.data.held_out] == [[0, 1], [1, 4]]


def test_held_out_loss_may_stand_alone() -> None:
    chart = only(curve("loss", np.nan, np.nan), curve("validation_loss", 1, 2))
    assert chart.title == "head: validation loss"
    assert chart.data.held_out is None


def test_gap_compares_the_last_tenth() -> None:
    training = curve("loss", *[9.0] * 18, 0.130, 0.134)
    held_out = curve("validation_loss", *[1.0] * 18, 0.124, 0.128)
    assert only(training, held_out).caption == "training 0.132, held out 0.126: gap −4.5 %"


@pytest.mark.parametrize(
    ("training", "held_out", "caption"),
    [
        (0.1, 0.15, "training 0.1, held out 0.15: gap +50.0 %"),
        (-2.0, -1.0, "training −2, held out −1: gap +50.0 %"),
        (1.0, 0.9999, "training 1, held out 1: gap 0.0 %"),
        (0.0, 0.2, "training 0, held out 0.2"),
        (np.nan, 0.2, ""),
    ],
    ids=["worse", "negative losses", "alike", "training loss of 0", "training diverged"],
)
def test_gap_of_difficult_losses(training: float, held_out: float, caption: str) -> None:
    pair = curve("loss", 3, 3, training), curve("validation_loss", 3, 3, held_out)
    assert only(*pair).caption == caption
