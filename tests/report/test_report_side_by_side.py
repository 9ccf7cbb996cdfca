from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from made_up_run import write_cases
from test_report_html import Page, words

from gvr_bench.report.cases import pictures
from gvr_bench.report.cases.reading import read_cases
from gvr_bench.report.cases.side_by_side import SideBySide, short_names, side_by_side
from gvr_bench.report.html import render

Make = Callable[..., Path]
MLP = "mlp:contaminated=true,steps=6000"


def pair(folder: Path, n: int = 3, **attrs: object) -> Path:
    """Add a second model to a run, by default one with another head on the same cases."""
    other = folder / "other.h5"
    write_cases(other, **({"n": n, "size": 8, "head": MLP} | attrs))  # type: ignore[arg-type]
    with h5py.File(folder / "cases.h5", "a") as file, h5py.File(other) as second:
        second.copy("0", file, str(len(file)))
    return folder


@pytest.fixture
def two(make_run: Make) -> Path:
    """A run with two heads on the same three cases."""
    return pair(make_run(n=3, size=8))


def views(folder: Path) -> list[SideBySide]:
    return side_by_side(read_cases(folder), 12)


def replace(folder: Path, name: str, values: object) -> None:
    with h5py.File(folder / "cases.h5", "a") as file:
        del file[name]
        file[name] = values


def test_a_page_with_one_model_has_no_side_by_side(run: Path) -> None:
    page = Page(render(run))
    assert "Side by side" not in page.shown
    assert "beside" not in {attrs.get("id") for _, attrs in page.tags}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("sample_id", ["test-0000", "test-0001", "test-0009"]),
        ("sample_id", ["test-0001", "test-0000", "test-0002"]),
        ("source_class", [0, 0, 1]),
        ("input", np.zeros((3, 1, 8, 8), np.uint8)),
    ],
    ids=["other cases", "another order", "another finding", "other pictures"],
)
def test_models_with_different_cases_are_not_put_side_by_side(
    two: Path, name: str, values: object
) -> None:
    with h5py.File(two / "cases.h5", "a") as file:
        for model in file.values():
            model.attrs["outputs"] = json.dumps(["BNP", "weight"])
            del model["test"], model["space"]
    assert len(views(two)) == 1
    replace(two, f"1/{name}", values)
    assert views(two) == []


def test_other_data_with_the_same_case_names_is_not_put_side_by_side(make_run: Make) -> None:
    assert views(pair(make_run(n=3, size=8), dataset="another")) == []


def test_a_model_without_an_explanation_gets_no_column(two: Path) -> None:
    with h5py.File(two / "cases.h5", "a") as file:
        for name in set(file["1/explainers"]) - {"random", "edge", "intensity", "lime"}:
            del file[f"1/explainers/{name}"]
    assert views(two) == []


def test_a_column_is_named_by_what_differs_and_the_intro_names_the_explainer(two: Path) -> None:
    page = Page(render(two))
    (view,) = views(two)
    assert view.columns == ("linear", MLP)
    text = words(page.shown)
    headings = "inputtrue change and outline of the findinglinearmlp:contaminated=true,steps=6000"
    assert headings in text
    assert "the answer of gvr over the input" in text
    assert "These are the first 3 cases, not chosen by outcome." in text
    links = [attrs["href"] for attrs in page.all("a")]
    assert links.index("#beside") < links.index("#cases")


def test_seeds_name_the_columns_where_only_they_differ(make_run: Make) -> None:
    folder = pair(make_run(n=3, size=8), head="linear", seed=1)
    assert short_names(read_cases(folder, 24)) == ["seed 0", "seed 1"]


def test_runs_of_one_model_twice_are_named_in_full(make_run: Make) -> None:
    folder = pair(make_run(n=3, size=8), head="linear")
    assert short_names(read_cases(folder, 24)) == ["wgan_gp · conv · linear, seed 0"] * 2


def test_the_best_explainer_at_hand_stands_in_for_gvr(two: Path) -> None:
    with h5py.File(two / "cases.h5", "a") as file:
        file.move("1/explainers/gvr", "1/explainers/walk")
    assert views(two)[0].explainers == f"gvr (linear), walk ({MLP})"
    with h5py.File(two / "cases.h5", "a") as file:
        del file["1/explainers/walk"]
    (view,) = views(two)
    assert view.explainers == f"gvr (linear), integrated_gradients ({MLP})"
    assert view.maps
    assert "→" not in view.rows[0].answers[1].line


def test_full_colour_is_the_same_in_every_column(two: Path) -> None:
    with h5py.File(two / "cases.h5", "a") as file:
        truth = file["0/true_change"][:]
        file["1/explainers/gvr/attribution"][:] = 0.5 * truth
        file["0/explainers/gvr/attribution"][:] = truth
        image = file["0/input"][1]
    scale = pictures.symmetric_scale(truth)
    (view,) = views(two)
    assert view.scale == f"{scale:.2g}"
    shown = [answer.tile.source for answer in view.rows[1].answers]
    assert shown == [pictures.overlay(image, truth[1] * share, scale, 128) for share in (1.0, 0.5)]


def test_without_a_known_change_the_scale_spans_all_columns(two: Path) -> None:
    with h5py.File(two / "cases.h5", "a") as file:
        for k in "01":
            del file[f"{k}/true_change"], file[f"{k}/mask"]
        heats = [file[f"{k}/explainers/gvr/attribution"][:] for k in "01"]
    (view,) = views(two)
    assert view.scale == f"{pictures.symmetric_scale(np.concatenate(heats)):.2g}"
    assert not view.known
    heading = render(two).partition('<table class="beside">')[2].partition("</thead>")[0]
    assert "input" in heading
    assert "true change" not in heading


def test_beneath_a_picture_is_its_own_models_prediction_before_and_after(two: Path) -> None:
    replace(two, "1/prediction", [1234.4, 50.0, 2.0])
    replace(two, "1/explainers/gvr/prediction_after", [95.25, np.nan, 1.0])
    replace(two, "1/explainers/gvr/found", [True, True, False])
    (view,) = views(two)
    assert [row.answers[1].line for row in view.rows] == [
        "1,234 → 95.2 ng/L",
        "50.0 ng/L",
        "2.00 → 1.00 ng/L · not found",
    ]
    assert [row.answers[1].good for row in view.rows] == [True, True, False]


def test_a_finding_that_a_model_does_not_see_is_said_not_scored(two: Path) -> None:
    with h5py.File(two / "cases.h5", "a") as file:
        file["1/prediction"][:] = 50
        file["1/asked"] = np.array([True, False, True])
    assert views(two)[0].rows[1].answers[1].line == "50.0 ng/L · not seen by the model"


def test_sets_of_cases_have_a_heading_each(two: Path) -> None:
    for head in ("linear", "mlp"):
        pair(two, dataset="another", head=head)
    assert [view.title for view in views(two)] == ["phantom", "another"]
    page = Page(render(two))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    labels = [attrs["aria-labelledby"] for _, attrs in page.tags if "aria-labelledby" in attrs]
    assert {"b1", "b2"} <= set(ids)
    assert {label for names in labels for label in (names or "").split()} <= set(ids)


def test_the_comparison_scrolls_in_a_box_that_the_keyboard_reaches(two: Path) -> None:
    page = render(two)
    (box,) = re.findall(r'<div ([^>]*)>\s*<table class="beside">', page)
    assert all(part in box for part in ('class="scroll"', 'tabindex="0"', 'role="group"'))
    assert all(image["alt"] for image in Page(page).all("img"))
