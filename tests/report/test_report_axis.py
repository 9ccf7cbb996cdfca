from __future__ import annotations

import numpy as np
import pytest

from gvr_bench.report.charts.axis import Axis, Tick, framed


@pytest.mark.parametrize(
    ("axis", "labels"),
    [
        (Axis(0.012, 0.09, 100, log=True), ["0.02", "0.05"]),
        (Axis(0.0004, 900, 100, log=True), ["0.001", "0.01", "0.1", "1", "10", "100"]),
        (Axis(4e-6, 0.02, 100, log=True), ["10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²"]),
        (Axis(1.2e-5, 9e-5, 100, log=True), ["2·10⁻⁵", "5·10⁻⁵"]),
        (Axis(-0.31, 1.0, 100), ["-0.2", "0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (Axis(0, 0.93, 100), ["0", "0.2", "0.4", "0.6", "0.8"]),
    ],
)
def test_ticks_are_round_numbers(axis: Axis, labels: list[str]) -> None:
    assert [tick.label for tick in axis.ticks()] == labels


def test_values_beyond_the_ends_stay_on_the_edge() -> None:
    assert Axis(0, 10, 100).places(np.array([-5, 2.5, 99])).tolist() == [0, 25, 100]


def test_a_decade_is_as_long_as_the_next() -> None:
    assert Axis(0.1, 100, 300, log=True).places(np.array([0.1, 1, 10])).tolist() == [0, 100, 200]


def test_the_lower_end_of_what_runs_upwards_is_at_the_bottom() -> None:
    frame = framed(Axis(0, 1, 300), Axis(0, 2, 200), "x", "y")
    assert frame.x_ticks[0] == Tick(0, "0")
    assert frame.y_ticks[0] == Tick(200, "0")
    assert frame.y_ticks[-1] == Tick(0, "2")
