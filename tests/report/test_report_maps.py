from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from made_up_run import write_cases
from test_report_html import Page, words
from test_report_pictures import pixels

from gvr_bench.report.cases import pictures
from gvr_bench.report.cases.maps import Maps, maps
from gvr_bench.report.cases.reading import read_cases
from gvr_bench.report.cases.views import change_scale
from gvr_bench.report.html import render

Make = Callable[..., Path]
NAMES = ["gvr", "integrated_gradients", "layer_gradcam", "occlusion", "saliency"]


@pytest.fixture
def small(make_run: Make) -> Path:
    """A run with three cases, five explainers, three controls and one that failed."""
    return make_run(n=3, size=8)


def views(folder: Path) -> list[Maps]:
    return maps(read_cases(folder), 12)


def table_of(page: str) -> str:
    return page.partition('<section id="maps"')[2].partition("</section>")[0]


def keep(folder: Path, *names: str) -> None:
    with h5py.File(folder / "cases.h5", "a") as file:
        for name in set(file["0/explainers"]) - set(names):
            del file[f"0/explainers/{name}"]


def test_a_run_without_cases_has_no_table_of_maps(make_run: Make) -> None:
    folder = make_run()
    (folder / "cases.h5").unlink()
    assert views(folder) == []
    assert 'id="maps"' not in render(folder)


def test_two_explainers_and_controls_are_left_to_the_cases(small: Path) -> None:
    keep(small, "gvr", "saliency", "random", "edge", "intensity")
    assert views(small) == []
    page = Page(render(small))
    assert "maps" not in {attrs.get("id") for _, attrs in page.tags}
    assert "#maps" not in {attrs.get("href") for _, attrs in page.tags}


def test_an_explainer_that_failed_is_named_with_its_reason_and_has_no_column(small: Path) -> None:
    (view,) = views(small)
    assert [column.name for column in view.columns[1:]] == NAMES
    assert view.absent == ("lime: failed: captum is not installed",)
    assert "lime: failed: captum is not installed" in table_of(render(small))


def test_counterfactuals_come_first_and_maps_in_the_order_asked_for(small: Path) -> None:
    order = ["saliency", "gvr", "random", "occlusion", "integrated_gradients"]
    with h5py.File(small / "cases.h5", "a") as file:
        file.move("0/explainers", "0/old")
        file.create_group("0/explainers", track_order=True)
        for name in order:
            file.move(f"0/old/{name}", f"0/explainers/{name}")
    (view,) = views(small)
    shown = ["gvr", "saliency", "occlusion", "integrated_gradients"]
    assert [column.name for column in view.columns[1:]] == shown


def test_a_case_is_one_row_with_each_map_alone_and_over_the_image(small: Path) -> None:
    with h5py.File(small / "cases.h5") as file:
        attribution, image = file["0/explainers/occlusion/attribution"][:], file["0/input"][1]
    scale = pictures.symmetric_scale(attribution)
    (view,) = views(small)
    assert len(view.rows) == 3
    assert {len(row.cells) for row in view.rows} == {len(view.columns)}
    alone, over = view.rows[1].cells[1 + NAMES.index("occlusion")]
    assert alone.source == pictures.difference(attribution[1], scale, 128)
    assert over.source == pictures.overlay(image, attribution[1], scale, 128)
    assert view.columns[1 + NAMES.index("occlusion")].scale == f"{scale:.2g}"


def test_full_colour_is_the_same_in_all_rows_of_a_column(small: Path) -> None:
    with h5py.File(small / "cases.h5", "a") as file:
        attribution = np.zeros((3, 8, 8), np.float32)
        attribution[0], attribution[1], attribution[2, 0] = 4.0, -2.0, 4.0
        file["0/explainers/saliency/attribution"][:] = attribution
    (view,) = views(small)
    column = 1 + NAMES.index("saliency")
    assert view.columns[column].scale == "4"
    full, half, part = (pixels(row.cells[column][0].source, "RGBA") for row in view.rows)
    assert (full[..., 2] > full[..., 0]).all()
    assert (full[..., 3] == 255).all()
    assert (half[..., 0] > half[..., 2]).all()
    assert 0 < half[..., 3].max() < 255
    assert (part[1:, :, 3] == 0).all()


def test_changes_of_intensity_share_the_scale_of_the_true_change(small: Path) -> None:
    with h5py.File(small / "cases.h5") as file:
        scale = pictures.symmetric_scale(file["0/true_change"][:])
    truth, gvr, *_ = views(small)[0].columns
    assert truth.name == "true change and outline of the finding"
    assert truth.scale == gvr.scale == f"{scale:.2g}"


def test_without_a_known_truth_there_is_no_column_for_it(small: Path) -> None:
    with h5py.File(small / "cases.h5", "a") as file:
        del file["0/true_change"], file["0/mask"]
    (view,) = views(small)
    assert [column.name for column in view.columns] == NAMES
    assert not view.mask
    assert "true change" not in table_of(render(small)).partition("<tbody>")[0]


def test_an_outline_alone_has_no_picture_without_the_image(small: Path) -> None:
    with h5py.File(small / "cases.h5", "a") as file:
        del file["0/true_change"]
        file["0/mask"][1] = False
    (view,) = views(small)
    assert (view.columns[0].name, view.columns[0].scale) == ("outline of the finding", "")
    assert [len(row.cells[0]) for row in view.rows] == [1, 0, 1]


def test_a_case_that_the_model_does_not_see_says_so(small: Path) -> None:
    with h5py.File(small / "cases.h5", "a") as file:
        file["0/asked"] = np.array([True, False, True])
    notes = [row.note for row in views(small)[0].rows]
    assert notes[0] == notes[2] == ""
    assert "the model does not see this finding" in notes[1]
    assert "the model does not see this finding" in table_of(render(small))


def test_heat_without_finite_numbers_is_blank(small: Path) -> None:
    with h5py.File(small / "cases.h5", "a") as file:
        file["0/explainers/saliency/attribution"][:] = np.nan
    (view,) = views(small)
    alone, _ = view.rows[0].cells[1 + NAMES.index("saliency")]
    assert (pixels(alone.source, "RGBA")[..., 3] == 0).all()


def test_every_picture_says_whose_map_it_is_and_whether_it_is_alone(small: Path) -> None:
    images = Page(table_of(render(small))).all("img")
    assert len(images) == 3 * (1 + 2 * 6)
    words_ = [image["alt"] or "" for image in images]
    assert len(set(words_)) == len(words_)
    assert "Map of saliency alone, for image test-0001" in words_
    assert "Map of saliency over image test-0001" in words_


def test_the_table_scrolls_in_a_box_that_the_keyboard_reaches_and_rows_have_headers(
    small: Path,
) -> None:
    page = table_of(render(small))
    (box,) = re.findall(r'<div ([^>]*)>\s*<table class="beside maps">', page)
    assert all(part in box for part in ('class="scroll"', 'tabindex="0"', 'role="group"'))
    assert page.count('<th scope="row">') == 3
    assert page.count('<th scope="col">') == 7


def test_the_intro_says_which_cases_and_what_the_numbers_are(make_run: Make) -> None:
    text = words(Page(table_of(render(make_run(n=30, size=8)))).shown)
    assert "These are the first 12 cases of 30, not chosen by outcome." in text
    assert "The number by each name is the value in full colour" in text
    assert re.search(r"gvr full colour at ±0\.\d+", text)


def test_each_model_has_a_table_under_its_own_name(small: Path, tmp_path: Path) -> None:
    write_cases(tmp_path / "other.h5", n=3, size=8, head="mlp")
    with h5py.File(small / "cases.h5", "a") as file, h5py.File(tmp_path / "other.h5") as other:
        other.copy("0", file, "1")
    page = Page(render(small))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    labels = [attrs["aria-labelledby"] for _, attrs in page.tags if "aria-labelledby" in attrs]
    assert [view.title for view in views(small)] == [
        f"wgan_gp · conv · {head}, seed 0" for head in ("linear", "mlp")
    ]
    assert len(ids) == len(set(ids))
    assert {"a1", "a2"} <= {label for names in labels for label in (names or "").split()}
    assert {label for names in labels for label in (names or "").split()} <= set(ids)


def test_maps_have_the_colours_of_all_cases_and_not_of_those_shown(make_run: Make) -> None:
    folder = make_run(n=6, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/explainers/saliency/attribution"][-1] = 100.0
        file["0/true_change"][-1] = 1.5
    whole = read_cases(folder)
    (some,), (every,) = maps(whole, 2), maps(whole, 6)
    assert (len(some.rows), len(every.rows)) == (2, 6)
    assert some.columns == every.columns
    assert some.columns[0].scale == f"{change_scale(whole[0]):.2g}"
