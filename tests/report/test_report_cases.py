from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from made_up_run import add_values, add_ways
from test_report_html import HOSTILE, Page, words

from gvr_bench.core.errors import DataError
from gvr_bench.report.cases.gallery import galleries
from gvr_bench.report.cases.maps import maps
from gvr_bench.report.cases.reading import Combination, read_cases
from gvr_bench.report.cases.views import UNSEEN, Line, view
from gvr_bench.report.folder import load
from gvr_bench.report.html import render

Make = Callable[..., Path]


def read(folder: Path) -> Combination:
    (combination,) = read_cases(folder, 24)
    return combination


def data(folder: Path) -> dict[str, Any]:
    """What the script of the page is told."""
    (gallery,) = galleries(read_cases(folder), load(folder).values)
    found: dict[str, Any] = json.loads(gallery.data)
    return found


def replace(folder: Path, name: str, values: object) -> None:
    with h5py.File(folder / "cases.h5", "a") as file:
        if name in file:
            del file[name]
        file[name] = values


def line(folder: Path, i: int = 0) -> Line:
    """What the page says of the first explainer and a case."""
    return view(read(folder)).cases[i].lines[0]


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
    assert [e["name"] for e in data(folder)["explainers"]] == [
        "gvr", "saliency", "occlusion", "random",
    ]  # fmt: skip


@pytest.mark.parametrize("shape", [(2, 8, 1, 8), (2, 1, 1, 8, 8)])
def test_a_way_of_another_shape_is_a_damaged_file(make_run: Make, shape: tuple[int, ...]) -> None:
    folder = make_run(n=2, size=8)
    replace(folder, "0/explainers/gvr/path", np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match=r"the path of gvr has shape .*gvr-bench run"):
        read_cases(folder)


def test_where_the_model_sees_no_case_every_case_says_so(make_run: Make) -> None:
    folder = make_run(n=2, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/asked"] = np.array([False, False])
        file["0/explainers/gvr/found"][:] = False
    assert [case.lines for case in view(read(folder)).cases] == [(Line("gvr", UNSEEN),)] * 2
    assert data(folder)["explainers"][0]["outcome"] == ["unseen", "unseen"]
    assert words(Page(render(folder)).shown).count(UNSEEN) >= 2


def test_a_case_tells_what_head_and_oracle_say_before_and_after(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    for name, value in (
        ("prediction", 400), ("oracle", 381.4), ("explainers/gvr/prediction_after", 71.2),
        ("explainers/gvr/prediction_reencoded", 107), ("explainers/gvr/oracle_after", 85.4),
    ):  # fmt: skip
        replace(folder, f"0/{name}", np.array([value], np.float32))
    replace(folder, "0/explainers/gvr/steps", np.array([1]))
    assert line(folder) == Line(
        "gvr",
        "400 ng/L → 71.2 ng/L, re-encoded 107 ng/L · oracle 381 ng/L → 85.4 ng/L · 1 step",
    )
    assert view(read(folder)).cases[0].oracle == "381 ng/L"


def test_an_oracle_tells_of_both_classes(make_run: Make) -> None:
    folder = make_run(n=1, size=8, kind="multiclass", outputs=json.dumps(["four", "nine"]),
                      unit="", threshold=np.nan)  # fmt: skip
    for name, value in (
        ("prediction", 0.93), ("explainers/gvr/prediction_after", 0.2), ("label", 1),
        ("oracle", 0.9), ("oracle_target", 0.05), ("explainers/gvr/oracle_after", 0.3),
        ("explainers/gvr/oracle_target_after", 0.68),
    ):  # fmt: skip
        replace(folder, f"0/{name}", np.array([value], np.float32))
    replace(folder, "0/source_class", np.array([1]))
    replace(folder, "0/target_class", np.array([0]))
    assert line(folder).text.startswith("nine: 0.93 → 0.20, re-encoded ")
    assert " · oracle nine: 0.90 → 0.30, four: 0.05 → 0.68 · " in line(folder).text
    assert data(folder)["unit"] is None


def test_a_run_that_kept_no_oracle_says_nothing_of_one(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    assert "oracle" not in line(folder).text
    assert view(read(folder)).cases[0].oracle == ""
    assert data(folder)["cases"]["oracle"] is None


def test_a_case_for_which_nothing_was_found_says_why(make_run: Make) -> None:
    folder = make_run(n=4, size=8)
    replace(folder, "0/explainers/gvr/reason", ["", "", "", "500 steps were not enough"])
    assert not line(folder, 3).good
    assert line(folder, 3).text.endswith("500 steps · not found: 500 steps were not enough")
    assert data(folder)["explainers"][0]["outcome"] == ["found", "found", "found", "lost"]


def test_all_cases_are_in_the_gallery_and_a_dozen_in_the_tables(make_run: Make) -> None:
    folder = make_run(n=100, size=8)
    page = Page(render(folder))
    assert len(page.all("article")) == 100
    assert [len(table.rows) for table in maps(read_cases(folder), 12)] == [12]
    assert "These are all 100 cases, not chosen by outcome." in words(page.shown)
    assert "the first 12 cases of 100" in words(page.shown)


def test_names_cannot_end_the_script_that_holds_them(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    name = f"</script>{HOSTILE}<!--"
    replace(folder, "0/sample_id", [name])
    (gallery,) = galleries(read_cases(folder), load(folder).values)
    assert not set("<>&'") & set(str(gallery.data))
    assert data(folder)["cases"]["name"] == [name]
    shown = Page(render(folder))
    assert len([a for a in shown.all("script") if a.get("type") == "text/plain"]) == 1


def test_scores_are_told_where_cases_have_them(make_run: Make) -> None:
    folder = add_values(make_run(n=4, size=8), 4)
    found = data(folder)
    assert next(iter(found["metrics"].items())) == ("pixel_ap", "pixel AP")
    assert {"steps", "validity", "seconds_per_image"}.isdisjoint(found["metrics"])
    gvr, saliency = found["explainers"][0], found["explainers"][4]
    assert (gvr["name"], saliency["name"]) == ("gvr", "saliency")
    *known, last = gvr["scores"]["pixel_ap"]
    assert all(0 <= value <= 1 for value in known)
    assert last is None
    assert "rationale_l1" in gvr["scores"]
    assert "rationale_l1" not in saliency["scores"]
    assert set(gvr["convinced"]) <= {0, 1}


def test_values_of_another_model_or_of_too_few_cases_are_not_told(make_run: Make) -> None:
    other = add_values(make_run("other", n=2, size=8, head="mlp"), 2)
    few = add_values(make_run("few", n=4, size=8), 2)
    assert data(other)["metrics"] == data(few)["metrics"] == {}


def test_findings_are_told_where_there_are_several(make_run: Make) -> None:
    folder = make_run(n=3, size=8, kind="multilabel", unit="", threshold=0.5,
                      outputs=json.dumps(["effusion", "oedema"]))  # fmt: skip
    assert data(folder)["cases"]["finding"] is None
    replace(folder, "0/source_class", np.array([0, 1, 0]))
    replace(folder, "0/target_class", np.array([0, 1, 0]))
    assert data(folder)["cases"]["finding"] == ["effusion", "oedema", "effusion"]


def test_predictions_along_the_way_are_told_as_they_were_recorded(make_run: Make) -> None:
    folder = add_ways(make_run(n=2, size=8))
    with h5py.File(folder / "cases.h5") as file:
        told = file["0/explainers/gvr/trajectory_prediction"][1]
    gvr = data(folder)["explainers"][0]
    assert gvr["frames"] == 7
    assert gvr["moments"][1] == pytest.approx(told.tolist(), rel=1e-3)


def test_an_older_run_has_counterfactuals_without_ways(make_run: Make) -> None:
    gvr = data(make_run(n=1, size=8))["explainers"][0]
    assert (gvr["frames"], gvr["moments"], gvr["convinced"]) == (1, None, None)


def test_a_page_of_reduced_pictures_says_so(
    make_run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(n=2, size=32)
    assert "So that this page stays small" not in words(Page(render(folder)).shown)
    monkeypatch.setattr("gvr_bench.report.cases.sprites.PER_CASE", 40)
    shown = words(Page(render(folder)).shown)
    assert "So that this page stays small, the pictures of its cases are" in shown
    assert "compressed with loss (WebP, quality" in shown


def test_a_head_without_held_out_images_has_one_line_in_its_chart(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        for stage in list(file["0/history"]):
            del file[f"0/history/{stage}"]
        file["0/history/head/step"] = np.arange(20.0)
        file["0/history/head/loss"] = np.linspace(1, 0.1, 20)
    training = render(folder).partition('<h3 id="training"')[2].partition("</section>")[0]
    assert "head: loss" in training
    assert training.count("<polyline") == 1
    assert "held out" not in training
    assert "0.1 at the end" in words(Page(training).shown)
