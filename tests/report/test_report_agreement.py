from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr
from test_report_html import Page, words

from gvr_bench.report.cases.reading import read_cases
from gvr_bench.report.charts.agreement import Agreement, agreement, alike, rank_correlations, ranks
from gvr_bench.report.html import render

Make = Callable[..., Path]


def compared(folder: Path) -> Agreement | None:
    (combination,) = read_cases(folder)
    return agreement(combination)


def with_maps(folder: Path, **maps: np.ndarray) -> Path:
    """Put these maps (k, H, W) in place of those of the run."""
    with h5py.File(folder / "cases.h5", "a") as file:
        explainers = file["0/explainers"]
        for name in list(explainers):
            del explainers[name]
        for name, attribution in maps.items():
            explainers.create_group(name).attrs.update(status="ok", reason="")
            explainers[name]["attribution"] = attribution.astype(np.float32)
    return folder


def noise(seed: int, k: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (k, 8, 8))


def test_one_explainer_agrees_with_nobody(make_run: Make) -> None:
    folder = with_maps(make_run(n=3, size=8), gvr=noise(0))
    assert compared(folder) is None
    assert "Agreement between explainers" not in render(folder)


def test_a_map_without_any_order_is_left_out_of_the_mean(make_run: Make) -> None:
    flat, broken = noise(1), noise(2)
    flat[0], broken[1, 3, 3] = 0, np.nan
    table = compared(with_maps(make_run(n=3, size=8), gvr=noise(0), lime=flat, cam=broken))
    assert table is not None
    assert "n = 1 to 2 cases" in table.caption
    text = {pair.text for row in table.rows for pair in row}
    assert not {"nan", "–"} & text


def test_a_pair_that_shares_no_case_has_a_dash(make_run: Make) -> None:
    table = compared(with_maps(make_run(n=3, size=8), gvr=noise(0), lime=np.zeros((3, 8, 8))))
    assert table is not None
    assert [[pair.text for pair in row] for row in table.rows] == [["", "–"], ["–", ""]]
    assert table.told == ""


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_correlations_are_those_of_scipy_ties_included(decimals: int) -> None:
    maps = [np.round(noise(seed), decimals).astype(np.float32) for seed in range(4)]
    ours = rank_correlations(maps)
    for case in range(3):
        known = spearmanr(np.abs(np.stack([m[case].ravel() for m in maps])), axis=1).statistic
        np.testing.assert_allclose(ours[case], known, atol=1e-5)
    flat = np.stack([m[0].ravel() for m in maps])
    np.testing.assert_array_equal(ranks(flat), rankdata(flat, axis=1))


def test_sign_does_not_matter_and_the_page_says_so(make_run: Make) -> None:
    folder = with_maps(make_run(n=3, size=8), gvr=noise(0), lime=-noise(0))
    table = compared(folder)
    assert table is not None
    assert table.rows[0][1].text == "1.00"
    assert "Maps are compared without their sign" in render(folder)


def test_neighbours_are_alike() -> None:
    means = np.array([[1, 0, 0.9, 0], [0, 1, 0, 0.8], [0.9, 0, 1, 0.1], [0, 0.8, 0.1, 1]])
    order = alike(means)
    assert abs(order.index(0) - order.index(2)) == 1
    assert abs(order.index(1) - order.index(3)) == 1


def test_it_says_who_agrees_most_and_whether_with_the_controls(make_run: Make) -> None:
    base = noise(0, k=40)
    folder = with_maps(
        make_run(n=40, size=8),
        gvr=base,
        lime=base + 0.1 * noise(1, k=40),
        saliency=noise(2, k=40),
        edge=noise(3, k=40),
    )
    table = compared(folder)
    assert table is not None
    assert re.match(r"Of the explainers, gvr and lime \(0.9\d\) agree most", table.told)
    assert ": more with each other than with edge, by " in table.told


def test_maps_of_noise_are_not_said_to_differ(make_run: Make) -> None:
    maps = {name: noise(seed, k=40) for seed, name in enumerate(("gvr", "lime", "edge"))}
    table = compared(with_maps(make_run(n=40, size=8), **maps))
    assert table is not None
    assert ": no clear difference from edge, " in table.told


def test_explainers_are_compared_with_the_control_they_look_like(make_run: Make) -> None:
    base = noise(0, k=40)
    table = compared(
        with_maps(
            make_run(n=40, size=8),
            gvr=base + 0.5 * noise(1, k=40),
            lime=base + 0.5 * noise(2, k=40),
            random=noise(3, k=40),
            edge=base,
        )
    )
    assert table is not None
    assert ": less with each other than with edge, by " in table.told
    assert re.search(r"with random at [−0.]*\d", table.told)


def test_the_page_holds_a_table_that_can_be_read_aloud(make_run: Make) -> None:
    base = noise(0)
    folder = with_maps(make_run(n=3, size=8), gvr=base, edge=base, lime=noise(1))
    text = render(folder).partition('<figure class="agreement">')[2].partition("</figure>")[0]
    part = Page(text)
    assert len([a for a in part.all("th") if a.get("scope") == "col"]) == 3
    assert len([a for a in part.all("th") if a.get("scope") == "row"]) == 3
    assert "edge control" in words(part.shown)
    assert "n = 3 cases" in part.shown
    assert "1.00" in part.shown


def test_a_dozen_explainers_of_large_images_take_seconds_at_most() -> None:
    rng = np.random.default_rng(0)
    maps = [rng.normal(0, 1, (25, 128, 128)).astype(np.float32) for _ in range(12)]
    start = time.process_time()  # another process may take the processor meanwhile
    rank_correlations(maps)
    assert time.process_time() - start < 15
