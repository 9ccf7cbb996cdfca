from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from made_up_run import record
from sklearn.metrics import brier_score_loss, r2_score

from gvr_bench.core.errors import DataError
from gvr_bench.report.cases.cases_file import read_cases
from gvr_bench.report.figures import Chart
from gvr_bench.report.figures.calibration import binned, calibration, calibration_error
from gvr_bench.report.figures.predicted_against_true import MAX_POINTS, regressions
from gvr_bench.report.figures.roc import GRID, RESAMPLES, roc, roc_band, roc_curve
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


def roc_of(folder: Path, records: list[Any] | None = None) -> Chart | None:
    (combination,) = read_cases(folder)
    return roc(combination, records or [])


def calibration_of(folder: Path) -> Chart | None:
    (combination,) = read_cases(folder)
    return calibration(combination)


def regressions_of(folder: Path) -> list[Chart]:
    (combination,) = read_cases(folder)
    return list(regressions(combination))


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, None]


@pytest.fixture
def three(make_run: Make) -> Path:
    """Three outputs, the last of which no test image has."""
    folder = classes(make_run, "Effusion", "Mass", "Hernia", kind="multilabel")
    rng = np.random.default_rng(1)
    positive = rng.random((50, 3)) < (0.5, 0.2, -1)
    prediction = (positive * 0.4 + rng.random((50, 3)) / 2).astype(np.float32)
    return with_test(folder, prediction=prediction, positive=positive)


def test_mismatched_predictions_are_damage(make_run: Make) -> None:
    folder = with_test(make_run(n=1, size=8), prediction=np.zeros((5, 2), np.float32),
                       positive=np.zeros((5, 2), bool))  # fmt: skip
    with pytest.raises(DataError, match=r"cases.h5.*shape \(5, 2\)"):
        render(folder)


def test_old_run_has_no_curve(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        del file["0/test"]
    assert roc_of(folder) is None
    assert "ROC curve" not in render(folder)


def test_outputs_of_one_class_are_named(three: Path) -> None:
    chart = roc_of(three)
    assert chart is not None
    assert [name.partition(":")[0] for name, *_ in chart.data.curves] == ["Effusion", "Mass"]
    assert chart.note.endswith(": Hernia")
    assert chart.note in re.sub("<[^>]+>", "", render(three))


@pytest.mark.parametrize("decimals", [1, 9])
def test_roc_band_is_that_of_resampled_curves(decimals: int) -> None:
    rng = np.random.default_rng(3)
    positive = rng.random(40) < 0.3
    prediction = np.round(rng.random(40) + positive / 2, decimals)  # with ties, and without
    resamples = np.random.default_rng(0).integers(0, 40, (RESAMPLES, 40))
    curves = [
        np.interp(GRID, *roc_curve(prediction[drawn], positive[drawn]))
        for drawn in resamples
        if 0 < positive[drawn].sum() < 40
    ]
    band = roc_band(prediction, positive)
    assert band is not None
    np.testing.assert_allclose(band, np.quantile(curves, [0.025, 0.975], axis=0), atol=1e-12)


def test_roc_areas_are_those_of_records(three: Path) -> None:
    scores = [
        record(explainer=None, metric="auroc", output=output, value=value, low=0.1, high=0.9)
        for output, value in (("all", 0.321), ("Mass", 0.123))
    ]
    other = record(explainer=None, metric="auroc", value=0.999, seed=5)
    chart = roc_of(three, [*scores, other])
    assert chart is not None
    assert "AUC 0.321 (0.100 to 0.900)" in chart.caption
    assert chart.description == "Effusion: AUC not recorded; Mass: AUC 0.123 (0.100 to 0.900)"


def test_single_output_curve_lies_in_band(make_run: Make, three: Path) -> None:
    chart, several = roc_of(make_run("single", n=1, size=8)), roc_of(three)
    assert chart is not None
    assert several is not None
    assert several.data.band is None
    ((_, fpr, tpr),) = chart.data.curves
    inside = slice(10, -10)
    height = np.interp(GRID, fpr, tpr)[inside]
    low, high = chart.data.band
    assert (low[inside] <= height + 0.01).all()
    assert (high[inside] >= height - 0.01).all()


def test_scores_beyond_1_have_no_calibration(make_run: Make) -> None:
    folder = with_test(
        classes(make_run, "mass"), prediction=column(-2.1, 0.5, 3), positive=column(0, 1, 1) > 0
    )
    assert calibration_of(folder) is None
    assert "alibration" not in render(folder)


def test_charts_fit_the_kind_of_task(make_run: Make) -> None:
    assert calibration_of(make_run("regression", n=1, size=8)) is None
    assert regressions_of(classes(make_run, "mass")) == []


def test_calibration_error_weighs_bins() -> None:
    prediction = np.array([0.1, 0.15, 0.15, 0.9])  # 0.4 in three, then 0.9 in one
    bins = binned(prediction, np.array([True, False, False, False]))
    assert [b.n for b in bins] == [3, 1]
    assert bins[0].predicted == pytest.approx(0.4 / 3)
    assert calibration_error(bins) == pytest.approx(3 / 4 * (1 / 3 - 0.4 / 3) + 1 / 4 * 0.9)


def test_probability_1_is_in_last_bin() -> None:
    (last,) = binned(np.array([1.0]), np.array([True]))
    assert (last.low, last.high, last.observed) == (0.9, 1.0, 1.0)


def test_unlabelled_outputs_are_not_absent(make_run: Make) -> None:
    folder = with_test(
        classes(make_run, "mass", "hernia", kind="multilabel"),
        prediction=np.full((4, 2), 0.5, np.float32),
        positive=np.array([[1, 0], [0, 0], [1, 0], [0, 0]]) > 0,
        target=np.array([[1, np.nan], [0, np.nan], [1, np.nan], [0, 0]], np.float32),
    )
    chart = calibration_of(folder)
    assert chart is not None
    assert "5 predictions of 4 test images" in chart.caption
    assert [b.observed for b in chart.data.bins] == [0.4]
    assert "2 outputs" in chart.note


def test_brier_score_is_scikit_learns(make_run: Make) -> None:
    rng = np.random.default_rng(1)
    p = rng.random((500, 1)).astype(np.float32)
    positive = rng.random((500, 1)) < p
    chart = calibration_of(with_test(classes(make_run, "mass"), prediction=p, positive=positive))
    assert chart is not None
    assert f"Brier score {brier_score_loss(positive[:, 0], p[:, 0]):.3f}" in chart.caption
    assert len(chart.data.bins) == 10
    assert all(b.interval[0] <= b.observed <= b.interval[1] for b in chart.data.bins)


def test_wide_labels_have_logarithmic_axes(make_run: Make) -> None:
    rng = np.random.default_rng(2)
    true = np.exp(rng.normal(5, 1.5, (400, 1))).astype(np.float32)
    prediction = (true * np.exp(rng.normal(0, 0.3, true.shape))).astype(np.float32)
    folder = make_run(n=1, size=8)
    arrays = {"prediction": prediction, "positive": true > 100, "target": true}
    (chart,) = regressions_of(with_test(folder, **arrays))
    assert chart.data.log
    assert chart.data.thresholds == (100,)
    r2 = r2_score(np.log(true[:, 0]), np.log(prediction[:, 0]))
    assert chart.caption.startswith(f"R² {r2:.3f} of the logarithms")


def test_negative_predictions_keep_axes_linear(make_run: Make) -> None:
    true, prediction = column(1, 10, 1000), column(-5, 12, 900)
    arrays = {"prediction": prediction, "positive": true > 100, "target": true}
    (chart,) = regressions_of(with_test(make_run(n=1, size=8), **arrays))
    assert not chart.data.log
    assert "median absolute error 6 ng/L, 3 test images" in chart.caption


def test_unlabelled_images_are_left_out(make_run: Make) -> None:
    true, prediction = column(1, np.nan, 3, 2), column(1, 2, 3, 2)
    arrays = {"prediction": prediction, "positive": true > 2, "target": true}
    (chart,) = regressions_of(with_test(make_run(n=1, size=8), **arrays))
    assert chart.data.true.tolist() == [1, 3, 2]
    assert chart.caption.startswith("R² 1.000")


def test_many_images_are_thinned(make_run: Make) -> None:
    true = np.linspace(1, 50, 5000, dtype=np.float32)[:, None]
    arrays = {"prediction": true, "positive": true > 2, "target": true}
    (chart,) = regressions_of(with_test(make_run(n=1, size=8), **arrays))
    assert "5,000 test images" in chart.caption
    assert len(chart.data.true) == MAX_POINTS
    assert f"{MAX_POINTS:,}" in chart.note
