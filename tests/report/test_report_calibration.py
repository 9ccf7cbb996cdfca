from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss, r2_score

from gvr_bench.report.cases.reading import read_cases
from gvr_bench.report.charts.calibration import (
    Predicted,
    Reliability,
    binned,
    brier,
    calibration_error,
    determination,
    predicted,
    reliability,
    wilson,
)
from gvr_bench.report.charts.roc import SIDE
from gvr_bench.report.html import render

Make = Callable[..., Path]


def with_test(folder: Path, **arrays: np.ndarray) -> Path:
    with h5py.File(folder / "cases.h5", "a") as file:
        del file["0/test"]
        for name, array in arrays.items():
            file[f"0/test/{name}"] = array
    return folder


def classes(make_run: Make, *names: str, kind: str = "binary") -> Path:
    return make_run(records=[], n=1, size=8, kind=kind, outputs=json.dumps(names), unit="",
                    threshold=np.nan)  # fmt: skip


def diagram(folder: Path) -> Reliability | None:
    (combination,) = read_cases(folder, 3)
    return reliability(combination)


def against(folder: Path) -> list[Predicted]:
    (combination,) = read_cases(folder, 3)
    return predicted(combination)


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, None]


def test_numbers_that_are_no_probabilities_have_no_diagram(make_run: Make) -> None:
    folder = with_test(
        classes(make_run, "mass"), prediction=column(-2.1, 0.5, 3), positive=column(0, 1, 1) > 0
    )
    assert diagram(folder) is None
    assert "alibration" not in render(folder)


def test_a_regression_has_no_diagram_and_classes_have_no_scatter(make_run: Make) -> None:
    assert diagram(make_run(n=1, size=8)) is None
    assert against(classes(make_run, "mass")) == []


def test_a_run_that_kept_no_labels_has_no_scatter(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        del file["0/test/target"]
    assert against(folder) == []
    assert "Predicted against true" not in render(folder)


def test_the_error_is_the_weighted_distance_from_the_diagonal() -> None:
    prediction = np.array([0.1, 0.15, 0.15, 0.9])  # 0.4 in three, then 0.9 in one
    bins = binned(prediction, np.array([True, False, False, False]))
    assert [one.n for one in bins] == [3, 1]
    assert bins[0].predicted == pytest.approx(0.4 / 3)
    assert calibration_error(bins) == pytest.approx(3 / 4 * (1 / 3 - 0.4 / 3) + 1 / 4 * 0.9)


def test_a_certain_prediction_is_in_the_last_bin() -> None:
    (one,) = binned(np.array([1.0]), np.array([True]))
    assert (one.low, one.high, one.observed) == (0.9, 1.0, 1.0)


def test_the_brier_score_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    prediction, positive = rng.random(200), rng.random(200) < 0.3
    assert brier(prediction, positive) == pytest.approx(brier_score_loss(positive, prediction))


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (1, 1), (480, 1000)])
def test_intervals_are_those_of_wilson(hits: int, n: int) -> None:
    known = binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits, n) == pytest.approx((known.low, known.high), abs=1e-6)


def test_a_finding_that_nobody_looked_for_is_not_an_absent_one(make_run: Make) -> None:
    folder = with_test(
        classes(make_run, "mass", "hernia", kind="multilabel"),
        prediction=np.full((4, 2), 0.5, np.float32),
        positive=np.array([[1, 0], [0, 0], [1, 0], [0, 0]]) > 0,
        target=np.array([[1, np.nan], [0, np.nan], [1, np.nan], [0, 0]], np.float32),
    )
    chart = diagram(folder)
    assert chart is not None
    assert "n = 5 predictions of 4 test images" in chart.caption
    assert "observed 0.40" in chart.description
    assert "Pooled over all 2 outputs" in chart.note


def test_the_diagram_says_what_it_shows(make_run: Make) -> None:
    rng = np.random.default_rng(1)
    p = rng.random((500, 1)).astype(np.float32)
    folder = with_test(classes(make_run, "mass"), prediction=p, positive=rng.random((500, 1)) < p)
    chart = diagram(folder)
    assert chart is not None
    assert len(chart.dots) == 10
    assert chart.note == ""
    assert chart.caption.endswith("n = 500 test images")
    for dot in chart.dots:
        assert dot.span[1] <= dot.y <= dot.span[0]  # up is less
        assert 0 <= dot.left < dot.x < dot.left + dot.width + 2 <= SIDE + 2
    page = render(folder)
    for part in ("Guo et al. 2017", "Brier 1950", "Wilson", "expected calibration error 0.0"):
        assert part in page


def test_labels_that_span_decades_are_on_logarithmic_axes(make_run: Make) -> None:
    rng = np.random.default_rng(2)
    true = np.exp(rng.normal(5, 1.5, (400, 1))).astype(np.float32)
    made = (true * np.exp(rng.normal(0, 0.3, true.shape))).astype(np.float32)
    made[0] = true[0]
    folder = make_run(n=1, size=8)
    (chart,) = against(with_test(folder, prediction=made, positive=true > 100, target=true))
    assert chart.frame.x_title == "true BNP (ng/L), logarithmic"
    r2 = r2_score(np.log(true[:, 0]), np.log(made[:, 0]))
    assert chart.caption.startswith(f"R² {r2:.3f} of the logarithms, median absolute error ")
    vertical, horizontal = chart.thresholds
    assert vertical.x1 == vertical.x2 == pytest.approx(SIDE - horizontal.y1)


def test_a_prediction_below_zero_keeps_the_axes_linear(make_run: Make) -> None:
    true, made = column(1, 10, 1000), column(-5, 12, 900)
    folder = make_run(n=1, size=8)
    (chart,) = against(with_test(folder, prediction=made, positive=true > 100, target=true))
    assert "logarithmic" not in chart.frame.x_title
    assert "median absolute error 6 ng/L, n = 3 test images" in chart.caption


def test_images_without_a_label_are_left_out(make_run: Make) -> None:
    true, made = column(1, np.nan, 3, 2), column(1, 2, 3, 2)
    folder = make_run(n=1, size=8)
    (chart,) = against(with_test(folder, prediction=made, positive=true > 2, target=true))
    assert chart.caption == "R² 1.000, median absolute error 0 ng/L, n = 3 test images"


def test_predictions_worse_than_the_mean_have_a_negative_share() -> None:
    true = np.array([1.0, 2.0, 3.0])
    assert determination(true, true[::-1]) == pytest.approx(r2_score(true, true[::-1]))


def test_many_images_are_thinned_and_the_page_says_so(make_run: Make) -> None:
    true = np.linspace(1, 50, 5000, dtype=np.float32)[:, None]
    folder = make_run(n=1, size=8)
    (chart,) = against(with_test(folder, prediction=true, positive=true > 2, target=true))
    assert "n = 5,000" in chart.caption
    assert chart.note == "2,000 of them are drawn."
    assert chart.points.count("M") <= 2000
