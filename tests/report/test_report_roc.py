from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from made_up_run import model_records, record
from sklearn.metrics import roc_curve

from gvr_bench.core.errors import DataError
from gvr_bench.report.cases.reading import read_cases
from gvr_bench.report.charts.roc import SIDE, RocChart, curve, roc_chart
from gvr_bench.report.html import render

Make = Callable[..., Path]


def drawn(folder: Path, records: list[object] | None = None) -> RocChart | None:
    (combination,) = read_cases(folder, 3)
    return roc_chart(combination, records or [])  # type: ignore[arg-type]


def with_test(folder: Path, prediction: np.ndarray, positive: np.ndarray) -> Path:
    with h5py.File(folder / "cases.h5", "a") as file:
        del file["0/test"]
        file["0/test/prediction"] = prediction.astype(np.float32)
        file["0/test/positive"] = positive
    return folder


@pytest.fixture
def three(make_run: Make) -> Path:
    """A run with three outputs, of the last of which no test image shows anything."""
    names = ["Effusion", "Mass", "Hernia"]
    folder = make_run(records=[], n=1, size=8, kind="multilabel", outputs=json.dumps(names),
                      unit="", threshold=np.nan)  # fmt: skip
    rng = np.random.default_rng(1)
    positive = rng.random((50, 3)) < (0.5, 0.2, -1)
    return with_test(folder, positive * 0.4 + rng.random((50, 3)) / 2, positive)


@pytest.mark.parametrize("steps", [3, 40, 100_000])
def test_a_curve_is_that_of_scikit_learn_ties_included(steps: int) -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(400) < 0.3
    prediction = np.round((rng.random(400) + 0.3 * positive) * steps).astype(np.float32)
    fpr, tpr, _ = roc_curve(positive, prediction, drop_intermediate=False)
    ours = curve(prediction, positive)
    np.testing.assert_allclose(ours[0], fpr)
    np.testing.assert_allclose(ours[1], tpr)


def test_predictions_that_do_not_match_the_outputs_are_named_as_damage(make_run: Make) -> None:
    folder = with_test(make_run(n=1, size=8), np.zeros((5, 2)), np.zeros((5, 2), bool))
    with pytest.raises(DataError, match=r"cases.h5 is not .*test predictions of shape \(5, 2\)"):
        render(folder)


def test_a_run_that_kept_no_predictions_has_no_curve(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        del file["0/test"]
    assert drawn(folder) is None
    assert "ROC curve" not in render(folder)


def test_outputs_with_one_class_are_left_out_and_named(three: Path) -> None:
    chart = drawn(three)
    assert chart is not None
    assert [line.title.partition(":")[0] for line in chart.lines] == ["Effusion", "Mass"]
    assert chart.left_out == ("Hernia",)
    assert re.search(r"one class only: <bdi>Hernia</bdi>", render(three))


def test_a_test_split_with_one_class_has_a_note_and_no_picture(make_run: Make) -> None:
    folder = with_test(make_run(n=1, size=8), np.zeros((5, 1)), np.ones((5, 1), bool))
    page = render(folder)
    assert "one class only: <bdi>BNP</bdi>" in page
    assert "roc1-title" not in page


def test_the_area_is_that_of_the_records(three: Path) -> None:
    scores = [
        record(explainer=None, metric="auroc", output=finding, value=value, low=0.1, high=0.9)
        for finding, value in (("all", 0.321), ("Mass", 0.123))
    ]
    other = record(explainer=None, metric="auroc", value=0.999, seed=5)
    chart = drawn(three, [*scores, other])
    assert chart is not None
    assert chart.caption == "macro AUC 0.321 (0.100 to 0.900), n = 50 test images"
    assert chart.description == ("Effusion: AUC not recorded; Mass: AUC 0.123 (0.100 to 0.900)")


def test_only_a_single_output_has_a_band(make_run: Make, three: Path) -> None:
    single, several = drawn(make_run("single", n=1, size=8)), drawn(three)
    assert single is not None
    assert several is not None
    assert single.band
    assert not several.band
    assert single.caption == ("BNP of at least 100 ng/L: AUC not recorded, n = 200 test images")


def points(text: str) -> np.ndarray:
    return np.array([[float(v) for v in pair.split(",")] for pair in text.split()])


def test_a_curve_climbs_from_the_lower_left_to_the_upper_right_within_its_band(
    make_run: Make,
) -> None:
    chart = drawn(make_run(n=1, size=8))
    assert chart is not None
    path = points(chart.lines[0].points)
    assert path[0].tolist() == [0, SIDE]
    assert path[-1].tolist() == [SIDE, 0]
    assert (np.diff(path[:, 0]) >= 0).all()
    assert (np.diff(path[:, 1]) <= 0).all()
    band = points(chart.band)
    turn = int(band[:, 0].argmax()) + 1
    upper, lower = band[:turn], band[turn:][::-1]
    at = np.linspace(30, SIDE - 30, 20)
    height = np.interp(at, path[:, 0], path[:, 1])
    assert (np.interp(at, upper[:, 0], upper[:, 1]) <= height + 1).all()
    assert (np.interp(at, lower[:, 0], lower[:, 1]) >= height - 1).all()


def test_a_long_curve_stays_small_on_the_page(make_run: Make) -> None:
    rng = np.random.default_rng(0)
    positive = rng.random((20_000, 1)) < 0.1
    folder = with_test(make_run(n=1, size=8), positive + rng.normal(0, 1, (20_000, 1)), positive)
    chart = drawn(folder)
    assert chart is not None
    assert len(chart.lines[0].points) < 12_000


def test_the_picture_has_a_title_a_description_and_named_axes(run: Path) -> None:
    page = render(run)
    assert 'role="img" aria-labelledby="roc1-title roc1-text"' in page
    assert "ROC curve of wgan_gp · conv · linear on phantom, seed 0</title>" in page
    auc = next(r for r in model_records() if r.metric == "auroc" and r.output == "all")
    assert f'<desc id="roc1-text">BNP: AUC {auc.value:.3f} (' in page
    assert ">false positive rate</text>" in page
    assert ">true positive rate</text>" in page
