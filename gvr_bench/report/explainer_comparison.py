"""Explainers compared, as the data of figures: scores against each other, and similar maps.

Maps are compared by |attribution|: some explainers give no sign (the size of a gradient, an edge),
others give it their own meaning, but all claim that pixels of more |attribution| matter more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gvr_bench.report import formatting as text
from gvr_bench.report.cases.reading import Combination
from gvr_bench.report.figure_data import Chart, Float, model_name, signed
from gvr_bench.report.tables import Cell, Row, Table, leading_column

MAX_CASES = 100
COST, CHANGE, ORACLE = "seconds_per_image", "rationale_l1", "oracle_validity"


@dataclass(frozen=True)
class Point:
    """An explainer with two scores; `x_interval` and `y_interval` where they are known."""

    name: str
    control: bool
    x: float
    y: float
    x_interval: tuple[float, float] | None
    y_interval: tuple[float, float] | None


@dataclass(frozen=True)
class Scatter:
    """Two scores of the explainers that have both."""

    x_title: str
    y_title: str
    log: bool
    points: tuple[Point, ...]


@dataclass(frozen=True, eq=False)
class Agreement:
    """Mean correlations (E, E) of the explainers `names`, similar ones beside each other.

    With `columns` (C), other numbers (E, C) of them. NaN where there is none.
    """

    names: tuple[str, ...]
    controls: tuple[bool, ...]
    means: NDArray[np.float64]
    columns: tuple[str, ...] = ()


def tradeoffs(board: Table) -> Iterator[Chart]:
    """Quality against time, and validity for the oracle against the size of the change."""
    columns = {column.metric: index for index, column in enumerate(board.columns)}
    leading = leading_column(board.rows, board.columns)
    pairs = []
    if leading is not None and COST in columns:
        pairs.append(("Quality against time", columns[COST], leading, True))
    if ORACLE in columns and CHANGE in columns:
        pairs.append(("Oracle validity against change", columns[CHANGE], columns[ORACLE], False))
    for title, x, y, log in pairs:
        rows = [
            row
            for row in board.rows
            if _drawable(row.cells[x], log) and _drawable(row.cells[y], False)
        ]
        if len(rows) < 2:
            continue
        x_title, y_title = text.heading(board.columns[x]), text.heading(board.columns[y])
        counts = [row.cells[column].n for row in rows for column in (x, y) if row.cells[column].n]
        images = f", {_range(min(counts), max(counts))} images" if counts else ""
        points = tuple(_point(row, row.cells[x], row.cells[y]) for row in rows)
        yield Chart(
            title,
            title,
            "",
            f"{len(rows)} explainers{images}",
            "; ".join(f"{p.name}: {x_title} {p.x:.3g}, {y_title} {p.y:.3g}" for p in points),
            Scatter(x_title + (", logarithmic" if log else ""), y_title, log, points),
        )


def _point(row: Row, x: Cell, y: Cell) -> Point:
    assert x.value is not None
    assert y.value is not None
    return Point(row.names[0], row.control, x.value, y.value, _interval(x), _interval(y))


def _drawable(cell: Cell, log: bool) -> bool:
    return cell.value is not None and math.isfinite(cell.value) and (cell.value > 0 or not log)


def _interval(cell: Cell) -> tuple[float, float] | None:
    if cell.low is None or cell.high is None or cell.low == cell.high:
        return None
    return cell.low, cell.high


def _range(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def agreement(c: Combination) -> Chart | None:
    """Rank correlations between the maps of explainers; None for fewer than two."""
    maps = {
        e.name: e.attribution[:MAX_CASES]
        for e in c.explainers
        if e.attribution is not None and len(e.attribution)
    }
    if len(maps) < 2 or len({attribution.shape for attribution in maps.values()}) > 1:
        return None
    names, controls = list(maps), {e.name for e in c.explainers if e.control}
    per_case = rank_correlations(list(maps.values()))  # (k, E, E)
    counts = np.isfinite(per_case).sum(axis=0)
    means = np.nansum(per_case, axis=0) / np.where(counts, counts, np.nan)
    order = similar_order(means)
    pairs = [counts[i, j] for i in range(len(names)) for j in range(i)]
    values = "; ".join(
        f"{names[i]} and {names[j]} {signed(means[i, j])}"
        for i in range(len(names))
        for j in range(i)
        if np.isfinite(means[i, j])
    )
    return Chart(
        "agreement",
        "Agreement between explainers",
        model_name(c),
        "Mean Spearman correlation of |attribution| over the pixels, "
        f"{_range(min(pairs), max(pairs))} cases",
        values,
        Agreement(
            tuple(names[i] for i in order),
            tuple(names[i] in controls for i in order),
            means[np.ix_(order, order)],
        ),
        "1: they rank all pixels alike; 0: their orders are unrelated. Signs are ignored, and an "
        "empty background makes all maps agree.",
    )


def rank_correlations(maps: Sequence[Float]) -> NDArray[np.float64]:
    """Spearman correlations (k, E, E) of |attribution| of E explainers with maps (k, H, W) each.

    NaN where a map is constant or not finite.
    """
    from scipy.stats import rankdata

    correlations = []
    for case in zip(*maps, strict=True):
        flat = np.abs(np.stack(case).reshape(len(maps), -1))  # (E, pixels)
        usable = np.isfinite(flat).all(axis=1) & (np.ptp(flat, axis=1) > 0)
        ranks = rankdata(np.where(usable[:, None], flat, 0), axis=1)
        ranks -= ranks.mean(axis=1, keepdims=True)
        ranks /= np.where(usable, np.linalg.norm(ranks, axis=1), np.nan)[:, None]
        correlations.append(ranks @ ranks.T)
    return np.stack(correlations)


def similar_order(means: NDArray[np.float64]) -> list[int]:
    """An order in which similar explainers are neighbours: average linkage of 1 - correlation."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(means) < 3:
        return list(range(len(means)))
    distance = np.clip(1 - np.nan_to_num(means), 0, 2)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    return [int(leaf) for leaf in leaves_list(tree)]
