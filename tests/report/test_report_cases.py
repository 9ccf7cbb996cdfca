from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_report_html import Page, words

from gvr_bench.errors import DataError
from gvr_bench.report.case_views import UNSEEN, view
from gvr_bench.report.cases import Combination, read_cases
from gvr_bench.report.html import render

Make = Callable[..., Path]


def read(folder: Path) -> Combination:
    (combination,) = read_cases(folder, 24)
    return combination


def test_a_file_that_is_not_of_a_run_is_named_with_what_to_type(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        del file["0/label"]
    with pytest.raises(DataError, match=r"cases\.h5 is not the cases of a run.*gvr-bench run"):
        read_cases(folder, 24)


def test_a_run_without_the_file_has_no_cases(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    (folder / "cases.h5").unlink()
    assert read_cases(folder, 24) == []


def test_explainers_keep_the_order_in_which_they_were_written(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    order = ["saliency", "random", "gvr", "occlusion"]
    with h5py.File(folder / "cases.h5", "a") as file:
        file.move("0/explainers", "0/old")
        file.create_group("0/explainers", track_order=True)
        for name in order:
            file.move(f"0/old/{name}", f"0/explainers/{name}")
    assert [explained.name for explained in read(folder).explainers] == order
    titles = [
        tile.caption for strip in view(read(folder), 10).cases[0].strips[2:] for tile in strip.tiles
    ]
    assert titles == ["saliency", "occlusion", "random"]


def test_where_the_model_sees_no_case_every_case_says_so(make_run: Make) -> None:
    folder = make_run(n=2, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/asked"] = np.array([False, False])
        file["0/explainers/gvr/found"][:] = False
    shown = view(read(folder), 10)
    for case in shown.cases:
        (moved,) = [strip for strip in case.strips if strip.title == "gvr"]
        assert (moved.line, moved.good) == (UNSEEN, True)
    assert words(Page(render(folder)).shown).count(UNSEEN) >= 2


def test_a_head_without_held_out_images_has_one_line_in_its_chart(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        for stage in list(file["0/history"]):
            del file[f"0/history/{stage}"]
        file["0/history/head/step"] = np.arange(20.0)
        file["0/history/head/loss"] = np.linspace(1, 0.1, 20)
    training = render(folder).partition('<section id="training"')[2].partition("</section>")[0]
    assert "head: loss" in training
    assert training.count("<polyline") == 1
    assert "held out" not in training
    assert "0.1 at the end" in words(Page(training).shown)
