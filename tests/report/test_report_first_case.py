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
    return first_case(read_cases(folder, 12), scoreboards([load(folder)]))


def test_a_run_without_maps_has_no_picture(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        del file["0/explainers"]
    assert drawn(folder) is None


def test_a_run_in_which_the_model_sees_no_finding_has_no_picture(make_run: Make) -> None:
    folder = make_run(n=2, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/predicts_source"] = np.zeros(2, bool)
    assert drawn(folder) is None


def test_the_first_case_that_the_model_sees_is_shown_however_it_came_out(make_run: Make) -> None:
    folder = make_run(n=3, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/predicts_source"] = np.array([False, True, True])
        file["0/explainers/gvr/success"][1] = False
    found = drawn(folder)
    assert found is not None
    assert found.title == "test-0001"
    assert found.case_rule == "first case in which the model sees the finding"


def test_the_explainer_is_the_first_of_the_scoreboard_that_is_no_control(make_run: Make) -> None:
    values = {"edge": 0.9, "saliency": 0.8, "gvr": 0.5}
    records = [record(explainer=name, value=value) for name, value in values.items()]
    found = drawn(make_run(records=records, n=1, size=8))
    assert found is not None
    assert (found.explainer, found.rule) == ("saliency", "leads the scoreboard by pixel AP")
    assert [tile.caption for tile in found.tiles] == [
        "input", "true change and outline of the finding", "saliency: map",
    ]  # fmt: skip
    assert found.after == ""


def test_without_scores_the_explainer_is_the_first_that_makes_counterfactuals(
    make_run: Make,
) -> None:
    found = drawn(make_run(records=[], n=1, size=8))
    assert found is not None
    assert (found.explainer, found.rule) == ("gvr", "was asked first")
    assert found.tiles[-1].caption == "its counterfactual"
    assert found.after.endswith(" ng/L")
