from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from made_up_run import write_cases
from test_report_html import Page

from gvr_bench.report.cases import map_colours
from gvr_bench.report.cases.case_view import change_scale
from gvr_bench.report.cases.cases_file import read_cases
from gvr_bench.report.cases.maps import Maps, maps
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


def test_run_without_cases_has_no_table(make_run: Make) -> None:
    folder = make_run()
    (folder / "cases.h5").unlink()
    assert views(folder) == []
    assert 'id="maps"' not in render(folder)


def test_failed_explainer_is_named_without_column(small: Path) -> None:
    (view,) = views(small)
    assert list(view.columns)[1:] == NAMES
    assert view.absent == ("lime: failed: captum is not installed",)
    assert "lime: failed: captum is not installed" in table_of(render(small))


def test_counterfactuals_come_first(small: Path) -> None:
    order = ["saliency", "gvr", "random", "occlusion", "integrated_gradients"]
    with h5py.File(small / "cases.h5", "a") as file:
        file.move("0/explainers", "0/old")
        file.create_group("0/explainers", track_order=True)
        for name in order:
            file.move(f"0/old/{name}", f"0/explainers/{name}")
    (view,) = views(small)
    shown = ["gvr", "saliency", "occlusion", "integrated_gradients"]
    assert list(view.columns)[1:] == shown


def test_unknown_truth_has_no_column(small: Path) -> None:
    with h5py.File(small / "cases.h5", "a") as file:
        del file["0/true_change"], file["0/mask"]
    (view,) = views(small)
    assert list(view.columns) == NAMES
    assert not view.mask
    assert "true change" not in table_of(render(small)).partition("<tbody>")[0]


def test_scale_covers_all_cases(make_run: Make) -> None:
    folder = make_run(n=6, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/explainers/saliency/attribution"][-1] = 100.0
        file["0/true_change"][-1] = 1.5
    combinations = read_cases(folder)
    (some,), (every,) = maps(combinations, 2), maps(combinations, 6)
    assert (len(some.rows), len(every.rows)) == (2, 6)
    assert some.columns == every.columns
    assert next(iter(some.columns.values())) == f"{change_scale(combinations[0]):.2g}"


def test_tiles_are_maps_over_the_image(small: Path) -> None:
    with h5py.File(small / "cases.h5") as file:
        attribution, image = file["0/explainers/occlusion/attribution"][:], file["0/input"][1]
    scale = map_colours.symmetric_scale(attribution)
    (view,) = views(small)
    assert {len(row.tiles) for row in view.rows} == {1 + len(view.columns)}
    column = 1 + NAMES.index("occlusion")
    over = map_colours.uri(map_colours.overlay(image, attribution[1], scale, 8))
    assert view.rows[1].tiles[1 + column].source == over
    assert list(view.columns.values())[column] == f"{scale:.2g}"


def test_changes_share_the_true_scale(small: Path) -> None:
    with h5py.File(small / "cases.h5") as file:
        scale = map_colours.symmetric_scale(file["0/true_change"][:])
    columns = views(small)[0].columns
    assert columns["true change"] == columns["gvr"] == f"{scale:.2g}"


def test_outline_is_a_layer_of_its_own(small: Path) -> None:
    with h5py.File(small / "cases.h5", "a") as file:
        del file["0/true_change"]
        file["0/mask"][1] = False
    (view,) = views(small)
    assert next(iter(view.columns.items())) == ("finding", "")
    assert [bool(row.tiles[1].contour) for row in view.rows] == [True, False, True]


def test_predicted_cases_come_first(small: Path) -> None:
    with h5py.File(small / "cases.h5", "a") as file:
        file["0/predicts_source"] = np.array([False, True, True])
    (view,) = views(small)
    assert [row.view.title for row in view.rows] == ["test-0001", "test-0002"]
    assert view.choice == "the first predicted 2 of 3 cases"
    (every,) = maps(read_cases(small), 3, all_cases=True)
    assert "the model does not predict this output" in every.rows[0].view.note


def test_explainers_follow_the_scoreboard(small: Path) -> None:
    (view,) = maps(read_cases(small), 1, ["saliency", "occlusion", "random"])
    assert list(view.columns)[1:3] == ["saliency", "occlusion"]


def test_alternative_texts_name_the_map(small: Path) -> None:
    images = [image for image in Page(table_of(render(small))).all("img") if image["alt"]]
    assert len(images) == 3 * (1 + 6)
    assert len({image["alt"] for image in images}) == len(images)
    assert "Map of saliency over image test-0001" in {image["alt"] for image in images}


def test_each_model_has_its_table(small: Path, tmp_path: Path) -> None:
    write_cases(tmp_path / "other.h5", n=3, size=8, head="mlp")
    with h5py.File(small / "cases.h5", "a") as file, h5py.File(tmp_path / "other.h5") as other:
        other.copy("0", file, "1")
    assert [view.title for view in views(small)] == [
        f"wgan_gp · conv · {head} on phantom, seed 0" for head in ("linear", "mlp")
    ]
    folds = Page(table_of(render(small))).all("details")
    assert ["open" in item for item in folds] == [True, False]
