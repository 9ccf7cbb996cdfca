from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from made_up_run import record

from gvr_bench.report.cases.example_case import FirstCase, first_case
from gvr_bench.report.cases.reading import read_cases
from gvr_bench.report.folder import load
from gvr_bench.report.tables import scoreboards

Make = Callable[..., Path]


def drawn(folder: Path) -> FirstCase | None:
    return first_case(read_cases(folder), scoreboards([load(folder)]))


def test_run_without_maps_has_no_picture(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        del file["0/explainers"]
    assert drawn(folder) is None


def test_unseen_outputs_have_no_picture(make_run: Make) -> None:
    folder = make_run(n=2, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/predicts_source"] = np.zeros(2, bool)
    assert drawn(folder) is None


def test_first_predicted_case_is_shown(make_run: Make) -> None:
    folder = make_run(n=3, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/predicts_source"] = np.array([False, True, True])
        file["0/explainers/gvr/success"][1] = False
    case = drawn(folder)
    assert case is not None
    assert case.title == "test-0001"
    assert case.case_rule == "first test case that the model predicts"


def test_leading_explainer_is_shown(make_run: Make) -> None:
    values = {"edge": 0.9, "saliency": 0.8, "gvr": 0.5}
    records = [record(explainer=name, value=value) for name, value in values.items()]
    case = drawn(make_run(records=records, n=1, size=8))
    assert case is not None
    assert (case.explainer, case.rule) == ("saliency", "is best on pixel AP, controls aside")
    assert [tile.caption for tile in case.tiles] == [
        "input", "true change and outline of the finding", "saliency: map",
    ]  # fmt: skip
    assert case.after == ""


def test_explainer_better_than_controls_is_best(make_run: Make) -> None:
    records = [record(explainer=name, value=v) for name, v in (("edge", 0.4), ("gvr", 0.5))]
    case = drawn(make_run(records=records, n=1, size=8))
    assert case is not None
    assert case.rule == "is best on pixel AP"


def test_counterfactual_is_shown_without_scores(
    make_run: Make,
) -> None:
    case = drawn(make_run(records=[], n=1, size=8))
    assert case is not None
    assert (case.explainer, case.rule) == ("gvr", "comes first in the run")
    assert case.tiles[-1].caption == "its counterfactual"
    assert case.after.endswith(" ng/L")
