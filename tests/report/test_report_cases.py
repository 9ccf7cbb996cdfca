from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from made_up_run import add_trajectories, add_values, write_cases
from test_report_html import HOSTILE, Page, cases_of, words
from test_report_pictures import pixels

from gvr_bench.core.errors import DataError
from gvr_bench.report.cases.case_view import UNSEEN, Line, view_case
from gvr_bench.report.cases.cases_file import Combination, read_cases
from gvr_bench.report.cases.gallery import Gallery, galleries
from gvr_bench.report.cases.maps import maps
from gvr_bench.report.html import render
from gvr_bench.report.run import load

Make = Callable[..., Path]


def read(folder: Path) -> Combination:
    (combination,) = read_cases(folder)
    return combination


def drawn(folder: Path) -> Gallery:
    (gallery,) = galleries(read_cases(folder), load(folder).values)
    return gallery


def data(folder: Path) -> dict[str, Any]:
    """What the script of the page sorts and filters by."""
    content: dict[str, Any] = json.loads(drawn(folder).data)
    return content


def replace(folder: Path, name: str, values: object) -> None:
    with h5py.File(folder / "cases.h5", "a") as file:
        if name in file:
            del file[name]
        file[name] = values


def line(folder: Path, i: int = 0) -> Line:
    """What the page says of the first explainer and a case."""
    return view_case(read(folder), i).lines[0]


def test_damaged_cases_name_the_command(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        del file["0/label"]
    with pytest.raises(DataError, match=r"cases\.h5 is not the cases of a run.*gvr-bench run"):
        read_cases(folder)


def test_missing_file_has_no_cases(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    (folder / "cases.h5").unlink()
    assert read_cases(folder) == []


def test_explainers_keep_their_order(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    order = ["saliency", "random", "gvr", "occlusion"]
    with h5py.File(folder / "cases.h5", "a") as file:
        file.move("0/explainers", "0/old")
        file.create_group("0/explainers", track_order=True)
        for name in order:
            file.move(f"0/old/{name}", f"0/explainers/{name}")
    assert [explained.name for explained in read(folder).explainers] == order
    (case,) = drawn(folder).cases
    assert [tile.caption for tile in (*case.maps, *case.controls)] == [
        "saliency", "occlusion", "random",
    ]  # fmt: skip


@pytest.mark.parametrize("shape", [(2, 8, 1, 8), (2, 1, 1, 8, 8)])
def test_trajectory_of_wrong_shape_is_damage(make_run: Make, shape: tuple[int, ...]) -> None:
    folder = make_run(n=2, size=8)
    replace(folder, "0/explainers/gvr/trajectory", np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match=r"the trajectory of gvr has shape .*gvr-bench run"):
        read_cases(folder)


def test_unseen_cases_say_so(make_run: Make) -> None:
    folder = make_run(n=2, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/predicts_source"] = np.array([False, False])
        file["0/explainers/gvr/success"][:] = False
    assert [case.view.lines for case in drawn(folder).cases] == [(Line("gvr", UNSEEN),)] * 2
    assert data(folder)["outcomes"]["gvr"] == [["unseen"], ["unseen"]]
    assert words(Page(render(folder)).shown).count(UNSEEN) >= 2


def test_case_line_names_all_predictions(make_run: Make) -> None:
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
    assert view_case(read(folder), 0).oracle == "381 ng/L"


def test_oracle_line_names_both_classes(make_run: Make) -> None:
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


def test_run_without_oracle_omits_it(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    assert "oracle" not in line(folder).text
    assert view_case(read(folder), 0).oracle == ""
    assert "oracle" not in data(folder)["sorts"]


def test_failed_search_says_why(make_run: Make) -> None:
    folder = make_run(n=4, size=8)
    replace(folder, "0/explainers/gvr/reason", ["", "", "", "500 steps were not enough"])
    assert not line(folder, 3).good
    assert line(folder, 3).text.endswith(
        "500 steps · decision not changed: 500 steps were not enough"
    )
    assert data(folder)["outcomes"]["gvr"] == [["found"], ["found"], ["found"], ["lost"]]


def test_page_shows_at_most_100_cases(make_run: Make) -> None:
    folder = make_run(n=120, size=8)
    page = Page(render(folder))
    assert len(cases_of(page)) == 100
    assert "The first 100 of 120 cases, not selected by outcome." in words(page.shown)
    assert [len(table.rows) for table in maps(read_cases(folder), 12)] == [12]


def test_models_share_cases_of_page(make_run: Make, tmp_path: Path) -> None:
    folder = make_run(n=60, size=8)
    write_cases(tmp_path / "other.h5", n=60, size=8, head="mlp")
    with h5py.File(folder / "cases.h5", "a") as file, h5py.File(tmp_path / "other.h5") as other:
        other.copy("0", file, "1")
    shown = galleries(read_cases(folder), load(folder).values)
    assert [len(gallery.cases) for gallery in shown] == [50, 50]


def test_hundred_cases_stay_small(make_run: Make) -> None:
    page = render(add_trajectories(make_run(n=100, size=64)))
    assert len(page) < 10e6
    assert page.count('loading="lazy"') > 1900


def test_pictures_are_those_of_the_arrays(make_run: Make) -> None:
    folder = add_trajectories(make_run(n=2, size=32))
    with h5py.File(folder / "cases.h5") as file:
        image, end = file["0/input"][1], file["0/explainers/gvr/counterfactual"][1]
        start = file["0/reconstruction"][1]
    shown = drawn(folder).cases[1]
    frames = shown.searches["gvr"][1]
    for source, array in (
        (shown.known[0].source, image),
        (shown.known[1].source, start),
        (frames[0].source, start),
        (frames[-1].source, end),
    ):
        assert np.abs(pixels(source, "L") - array[0].astype(int)).mean() < 6


def test_frames_name_step_and_prediction(make_run: Make) -> None:
    folder = add_trajectories(make_run(n=2, size=8))
    replace(folder, "0/explainers/gvr/steps", np.array([14, 0]))
    replace(folder, "0/explainers/gvr/trajectory_prediction", np.full((2, 8), 400, np.float32))
    first, unmoved = (p.searches["gvr"][1] for p in drawn(folder).cases)
    assert [frame.caption for frame in first] == [
        f"step {step} of 14 · prediction 400 ng/L" for step in range(0, 15, 2)
    ]
    assert len(unmoved) == 1


def test_composed_search_begins_with_the_input(make_run: Make) -> None:
    folder = add_trajectories(make_run(n=2, size=8), twins=["gvr-robust"])
    replace(folder, "0/explainers/gvr-robust/residual", np.ones(2, np.bool_))
    starts = {name: start for name, (*_, start) in drawn(folder).cases[0].searches.items()}
    assert (starts["gvr"], starts["gvr-robust"]) == ("reconstruction", "input")
    assert 'data-start="input"' in render(folder)


def test_older_runs_have_one_frame(make_run: Make) -> None:
    gallery = drawn(make_run(n=1, size=8))
    assert len(gallery.cases[0].searches["gvr"][1]) == 1


def test_names_cannot_end_the_script(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    name = f"</script>{HOSTILE}<!--"
    replace(folder, "0/sample_id", [name])
    assert not set("<>&'") & set(str(drawn(folder).data))
    assert data(folder)["names"] == [name]


def test_scores_of_cases_can_be_sorted(make_run: Make) -> None:
    folder = add_values(make_run(n=4, size=8), 4)
    sorts = data(folder)["sorts"]
    assert "pixel AP" in sorts
    assert {"time per image", "validity"}.isdisjoint(sorts)
    *known, last = sorts["pixel AP"]["gvr"]
    assert all(0 <= value <= 1 for value in known)
    assert last is None
    assert set(sorts["rationale L1"]) == {"gvr"}
    verdicts = {verdict for _, verdict in data(folder)["outcomes"]["gvr"]}
    assert verdicts <= {"convinced", "unconvinced"}


def test_foreign_values_are_ignored(make_run: Make) -> None:
    other = add_values(make_run("other", n=2, size=8, head="mlp"), 2)
    few = add_values(make_run("few", n=4, size=8), 2)
    for folder in (other, few):
        assert list(data(folder)["sorts"]) == ["label", "prediction", "steps"]


def test_several_outputs_are_offered(make_run: Make) -> None:
    folder = make_run(n=3, size=8, kind="multilabel", unit="", threshold=0.5,
                      outputs=json.dumps(["effusion", "oedema"]))  # fmt: skip
    assert drawn(folder).outputs == ("effusion",)
    replace(folder, "0/source_class", np.array([0, 1, 0]))
    replace(folder, "0/target_class", np.array([0, 1, 0]))
    assert data(folder)["outputs"] == ["effusion", "oedema", "effusion"]
