from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.stats import spearmanr

from gvr_bench.report.cases.cases_file import read_cases
from gvr_bench.report.figures import Chart
from gvr_bench.report.figures.agreement import agreement, rank_correlations, similar_order
from gvr_bench.report.figures.oracle_validity_against_change import (
    oracle_validity_against_change,
)
from gvr_bench.report.figures.quality_against_time import quality_against_time
from gvr_bench.report.html import render
from gvr_bench.report.tables import Cell, Column, Row, Table

Make = Callable[..., Path]


def agreement_of(folder: Path) -> Chart | None:
    (combination,) = read_cases(folder)
    return agreement(combination)


def with_maps(folder: Path, **maps: np.ndarray) -> Path:
    """Replace the maps (k, H, W) of a run."""
    with h5py.File(folder / "cases.h5", "a") as file:
        explainers = file["0/explainers"]
        for name in list(explainers):
            del explainers[name]
        for name, attribution in maps.items():
            role = "control" if name in ("random", "edge") else "attribution"
            explainers.create_group(name).attrs.update(role=role, status="ok", reason="")
            explainers[name]["attribution"] = attribution.astype(np.float32)
    return folder


def noise(seed: int, k: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (k, 8, 8))


def test_one_explainer_has_no_agreement(make_run: Make) -> None:
    folder = with_maps(make_run(n=3, size=8), gvr=noise(0))
    assert agreement_of(folder) is None
    assert "Agreement between explainers" not in render(folder)


def test_unusable_maps_leave_the_mean(make_run: Make) -> None:
    flat, broken = noise(1), noise(2)
    flat[0], broken[1, 3, 3] = 0, np.nan
    folder = with_maps(make_run(n=3, size=8), gvr=noise(0), lime=flat, cam=broken)
    chart = agreement_of(folder)
    assert chart is not None
    assert "1 to 2 cases" in chart.caption
    assert np.isfinite(chart.data.means).all()


def test_pair_without_cases_has_no_mean(make_run: Make) -> None:
    folder = with_maps(make_run(n=3, size=8), gvr=noise(0), lime=np.zeros((3, 8, 8)))
    chart = agreement_of(folder)
    assert chart is not None
    assert np.isnan(chart.data.means[0, 1])
    assert chart.description == ""


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_correlations_are_scipys(decimals: int) -> None:
    maps = [np.round(noise(seed), decimals).astype(np.float32) for seed in range(4)]
    ours = rank_correlations(maps)
    for case in range(3):
        known = spearmanr(np.abs(np.stack([m[case].ravel() for m in maps])), axis=1).statistic
        np.testing.assert_allclose(ours[case], known, atol=1e-5)


def test_agreement_ignores_signs(make_run: Make) -> None:
    chart = agreement_of(with_maps(make_run(n=3, size=8), gvr=noise(0), lime=-noise(0)))
    assert chart is not None
    assert chart.data.means == pytest.approx(np.ones((2, 2)))


def test_similar_explainers_are_neighbours() -> None:
    means = np.array([[1, 0, 0.9, 0], [0, 1, 0, 0.8], [0.9, 0, 1, 0.1], [0, 0.8, 0.1, 1]])
    order = similar_order(means)
    assert abs(order.index(0) - order.index(2)) == 1
    assert abs(order.index(1) - order.index(3)) == 1


def board(*scores: tuple[str, float | None, float | None]) -> Table:
    """A scoreboard of (explainer, pixel AP, seconds)."""
    columns = (Column("pixel_ap", "up", "", "truth"), Column("seconds_per_image", "down", "s"))
    rows = tuple(
        Row(
            (name,),
            tuple(Cell(value, status="ok") for value in values),
            "control" if name == "random" else None,
        )
        for name, *values in scores
    )
    return Table("scoreboard", "", "phantom", "", ("explainer",), columns, rows)


@pytest.mark.parametrize(
    "scores",
    [
        [("gvr", 0.9, 0.1)],
        [("gvr", 0.9, 0.1), ("lime", None, 0.2)],
        [("gvr", 0.9, 0.1), ("lime", 0.5, 0.0)],  # 0 has no place on a logarithmic axis
        [("gvr", 0.9, float("inf")), ("lime", 0.5, 0.2)],
        [("gvr", None, 0.1), ("lime", None, 0.2)],
    ],
)
def test_tradeoff_needs_two_explainers(
    scores: list[tuple[str, float | None, float | None]],
) -> None:
    assert quality_against_time(board(*scores)) is None


def test_tradeoff_holds_scores_and_controls() -> None:
    chart = quality_against_time(board(("gvr", 0.9, 2.0), ("random", 0.1, 0.02)))
    assert chart is not None
    assert chart.data.log
    points = [(p.name, p.control, p.x, p.y, p.x_interval) for p in chart.data.points]
    assert points == [("gvr", False, 2.0, 0.9, None), ("random", True, 0.02, 0.1, None)]


def test_oracle_validity_is_set_against_change() -> None:
    columns = (
        Column("oracle_validity", "up", "", "oracle"),
        Column("rationale_l1", "down", "", "proximity"),
    )
    rows = tuple(
        Row((name,), (Cell(a, a - 0.1, a + 0.1, 94, status="ok"), Cell(b, n=90, status="ok")))
        for name, a, b in (("gvr", 0.9, 0.1), ("latent-shift", 0.6, 0.3))
    )
    table = Table("scoreboard", "", "d", "", ("explainer",), columns, rows)
    chart = oracle_validity_against_change(table)
    assert chart is not None
    assert (chart.data.y_title, chart.data.x_title) == ("oracle validity ↑", "rationale L1 ↓")
    assert chart.caption == "2 explainers, 90 to 94 images"
    assert chart.data.points[0].y_interval == pytest.approx((0.8, 1.0))
    assert chart.data.points[0].x_interval is None
