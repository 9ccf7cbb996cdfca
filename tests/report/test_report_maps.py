from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from made_up_run import write_cases
from test_report_html import Page
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


def test_run_without_cases_has_no_table(make_run: Make) -> None:
    folder = make_run()
    (folder / "cases.h5").unlink()
    assert views(folder) == []
    assert 'id="maps"' not in render(folder)


def test_two_explainers_have_no_table(small: Path) -> None:
    keep(small, "gvr", "saliency", "random", "edge", "intensity")
    assert views(small) == []
    page = Page(render(small))
    assert "maps" not in {attrs.get("id") for _, attrs in page.tags}
    assert "#maps" not in {attrs.get("href") for _, attrs in page.tags}


def test_failed_explainer_is_named_without_column(small: Path) -> None:
    (view,) = views(small)
    assert [column.name for column in view.columns[1:]] == NAMES
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
    assert [column.name for column in view.columns[1:]] == shown


def test_cell_holds_map_alone_and_overlaid(small: Path) -> None:
    with h5py.File(small / "cases.h5") as file:
        attribution, image = file["0/explainers/occlusion/attribution"][:], file["0/input"][1]
    scale = pictures.symmetric_scale(attribution)
    (view,) = views(small)
    assert len(view.rows) == 3
    assert {len(row.cells) for row in view.rows} == {len(view.columns)}
    alone, over = view.rows[1].cells[1 + NAMES.index("occlusion")]
    assert alone.source == pictures.difference(attribution[1], scale, 8, 80)
    assert over.source == pictures.overlay(image, attribution[1], scale, 8, 80)
    assert view.columns[1 + NAMES.index("occlusion")].scale == f"{scale:.2g}"


def test_rows_of_column_share_scale(small: Path) -> None:
    with h5py.File(small / "cases.h5", "a") as file:
        attribution = np.zeros((3, 8, 8), np.float32)
        attribution[0], attribution[1], attribution[2, 0] = 4.0, -2.0, 4.0
        file["0/explainers/saliency/attribution"][:] = attribution
    (view,) = views(small)
    column = 1 + NAMES.index("saliency")
    assert view.columns[column].scale == "4"
    full, half, part = (pixels(row.cells[column][0].source, "RGBA") for row in view.rows)
    assert (full[..., 2] > full[..., 0]).all()
    assert (full[..., 3] >= 250).all()
    assert (half[..., 0] > half[..., 2]).all()
    assert 0 < half[..., 3].max() < 255
    assert (part[1:, :, 3] < 8).all()


def test_changes_share_the_true_scale(small: Path) -> None:
    with h5py.File(small / "cases.h5") as file:
        scale = pictures.symmetric_scale(file["0/true_change"][:])
    truth, gvr, *_ = views(small)[0].columns
    assert truth.name == "true change and outline of the finding"
    assert truth.scale == gvr.scale == f"{scale:.2g}"


def test_unknown_truth_has_no_column(small: Path) -> None:
    with h5py.File(small / "cases.h5", "a") as file:
        del file["0/true_change"], file["0/mask"]
    (view,) = views(small)
    assert [column.name for column in view.columns] == NAMES
    assert not view.mask
    assert "true change" not in table_of(render(small)).partition("<tbody>")[0]


def test_outline_has_no_picture_alone(small: Path) -> None:
    with h5py.File(small / "cases.h5", "a") as file:
        del file["0/true_change"]
        file["0/mask"][1] = False
    (view,) = views(small)
    assert (view.columns[0].name, view.columns[0].scale) == ("outline of the finding", "")
    assert [len(row.cells[0]) for row in view.rows] == [1, 0, 1]


def test_unseen_case_has_a_note(small: Path) -> None:
    with h5py.File(small / "cases.h5", "a") as file:
        file["0/predicts_source"] = np.array([True, False, True])
    notes = [row.note for row in views(small)[0].rows]
    assert notes[0] == notes[2] == ""
    assert "the model does not predict this output" in notes[1]
    assert "the model does not predict this output" in table_of(render(small))


def test_map_without_finite_values_is_blank(small: Path) -> None:
    with h5py.File(small / "cases.h5", "a") as file:
        file["0/explainers/saliency/attribution"][:] = np.nan
    (view,) = views(small)
    alone, _ = view.rows[0].cells[1 + NAMES.index("saliency")]
    assert (pixels(alone.source, "RGBA")[..., 3] < 8).all()


def test_alternative_texts_name_the_map(small: Path) -> None:
    images = Page(table_of(render(small))).all("img")
    assert len(images) == 3 * (1 + 2 * 6)
    words_ = [image["alt"] or "" for image in images]
    assert len(set(words_)) == len(words_)
    assert "Map of saliency alone, for image test-0001" in words_
    assert "Map of saliency over image test-0001" in words_


def test_each_model_has_its_table(small: Path, tmp_path: Path) -> None:
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


def test_scale_covers_all_cases(make_run: Make) -> None:
    folder = make_run(n=6, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/explainers/saliency/attribution"][-1] = 100.0
        file["0/true_change"][-1] = 1.5
    combinations = read_cases(folder)
    (some,), (every,) = maps(combinations, 2), maps(combinations, 6)
    assert (len(some.rows), len(every.rows)) == (2, 6)
    assert some.columns == every.columns
    assert some.columns[0].scale == f"{change_scale(combinations[0]):.2g}"
