"""Small line charts and interval marks as coordinates for inline SVG."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gvr_bench.report.cases import Curve
from gvr_bench.report.tables import Table

_WIDTH, _HEIGHT = 240.0, 90.0
_MOST_POINTS = 240


@dataclass(frozen=True)
class Chart:
    """A loss over steps; `points` is the attribute of an SVG polyline on 240 x 90."""

    title: str
    points: str
    lowest: str
    highest: str
    first: str
    last: str
    final: str


@dataclass(frozen=True)
class Mark:
    """An interval on the common axis of its column, 0 to 100; `zero` where 0 lies, if inside."""

    low: float
    value: float
    high: float
    zero: float | None


def chart(curve: Curve) -> Chart | None:
    """A chart of the finite points, thinned evenly; None where there are fewer than two."""
    good = np.isfinite(curve.step) & np.isfinite(curve.value)
    step, value = curve.step[good], curve.value[good]
    if len(step) < 2:
        return None
    keep = np.unique(np.linspace(0, len(step) - 1, _MOST_POINTS).round().astype(int))
    x = (step - step[0]) / (max(float(step[-1] - step[0]), 1e-12)) * _WIDTH
    low, high = float(value.min()), float(value.max())
    y = _HEIGHT - (value - low) / (high - low if high > low else 1.0) * _HEIGHT
    points = " ".join(f"{x[i]:.1f},{y[i]:.1f}" for i in keep)
    title = f"{curve.stage}: {curve.loss.replace('_', ' ')}"
    return Chart(
        title, points, _short(low), _short(high), f"{step[0]:g}", f"{step[-1]:g}",
        _short(float(value[-1])),
    )  # fmt: skip


def _short(value: float) -> str:
    return f"{value:.3g}"


def marks(table: Table) -> list[list[Mark | None]]:
    """One mark per cell, or None where there is no interval or the column has no common axis."""
    if table.kind == "published":
        return [[None] * len(table.columns) for _ in table.rows]
    axes = [_axis(table, index) for index in range(len(table.columns))]
    rows = []
    for row in table.rows:
        line: list[Mark | None] = []
        for (start, end), cell in zip(axes, row.cells, strict=True):
            if cell.value is None or cell.low is None or cell.high is None:
                line.append(None)
                continue
            low, value, high = (
                round(100 * (end_ - start) / (end - start), 1)
                for end_ in (cell.low, cell.value, cell.high)
            )
            zero = round(-100 * start / (end - start), 1) if start < 0 < end else None
            line.append(Mark(low, value, high, zero))
        rows.append(line)
    return rows


def _axis(table: Table, index: int) -> tuple[float, float]:
    """From 0, or the lowest bound if that is negative, to the highest bound or 1 for shares."""
    cells = [row.cells[index] for row in table.rows]
    ends = [end for cell in cells for end in (cell.low, cell.high, cell.value) if end is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    if 0.5 < high < 1:
        high = 1.0
    return (low, high) if high > low else (low, low + 1.0)
