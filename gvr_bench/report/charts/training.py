"""Small line charts and interval marks as coordinates for inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gvr_bench.report import formatting as text
from gvr_bench.report.cases.reading import Combination, Curve
from gvr_bench.report.charts.naming import whose
from gvr_bench.report.scores.tables import Table

_WIDTH, _HEIGHT = 240.0, 90.0
_MOST_POINTS = 240
_HELD_OUT = "validation_"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Chart:
    """A loss over steps; `points` is the attribute of an SVG polyline on 240 x 90.

    `held_out` is a second polyline and `gap` what the two lines come to, where there are two.
    """

    title: str
    points: str
    lowest: str
    highest: str
    first: str
    last: str
    final: str
    held_out: str = ""
    gap: str = ""


@dataclass(frozen=True)
class Mark:
    """An interval on the common axis of its column, 0 to 100; `zero` where 0 lies, if inside."""

    low: float
    value: float
    high: float
    zero: float | None


def training(combinations: Sequence[Combination]) -> list[tuple[str, list[Chart]]]:
    """Charts per model; what two combinations share is drawn once."""
    seen: set[Chart] = set()
    shown = []
    for combination in combinations:
        drawn = [found for found in charts(combination.curves) if found not in seen]
        seen.update(drawn)
        if drawn:
            shown.append((whose(combination), drawn))
    return shown


def charts(curves: Sequence[Curve]) -> list[Chart]:
    """A chart per curve with two finite points; `x` and `validation_x` of a stage share one."""
    usable = {(c.stage, c.loss): c for c in curves if _good(c).sum() >= 2}
    drawn = []
    for (stage, loss), curve in usable.items():
        if (stage, loss.removeprefix(_HELD_OUT)) in usable and loss.startswith(_HELD_OUT):
            continue
        drawn.append(_chart(curve, usable.get((stage, _HELD_OUT + loss))))
    return drawn


def _chart(curve: Curve, held_out: Curve | None) -> Chart:
    lines = [_finite(c) for c in (curve, held_out) if c is not None]
    steps, values = (np.concatenate(parts) for parts in zip(*lines, strict=True))
    x_ends = float(steps.min()), float(steps.max())
    y_ends = float(values.min()), float(values.max())
    points = [_points(step, value, x_ends, y_ends) for step, value in lines]
    return Chart(
        title=f"{curve.stage}: {curve.loss.replace('_', ' ')}",
        points=points[0],
        lowest=_short(y_ends[0]),
        highest=_short(y_ends[1]),
        first=f"{x_ends[0]:g}",
        last=f"{x_ends[1]:g}",
        final=_short(float(lines[0][1][-1])),
        held_out=points[1] if len(points) > 1 else "",
        gap="" if held_out is None else _gap(curve, held_out),
    )


def _good(curve: Curve) -> NDArray[np.bool_]:
    return np.isfinite(curve.step) & np.isfinite(curve.value)


def _finite(curve: Curve) -> tuple[Floats, Floats]:
    good = _good(curve)
    return curve.step[good], curve.value[good]


def _points(
    step: Floats, value: Floats, x_ends: tuple[float, float], y_ends: tuple[float, float]
) -> str:
    """A line thinned evenly, on axes that both lines of a chart share."""
    keep = np.unique(np.linspace(0, len(step) - 1, _MOST_POINTS).round().astype(int))
    (left, right), (low, high) = x_ends, y_ends
    x = (step - left) / max(right - left, 1e-12) * _WIDTH
    y = _HEIGHT - (value - low) / (high - low if high > low else 1.0) * _HEIGHT
    return " ".join(f"{x[i]:.1f},{y[i]:.1f}" for i in keep)


def _gap(training: Curve, held_out: Curve) -> str:
    """What both come to over the last tenth of the logged steps, and how far they are apart.

    Nothing where either has no finite value there; no share of a training loss of 0.
    """
    ends = []
    for curve in (training, held_out):
        tail = curve.value[-max(1, round(len(curve.value) / 10)) :]
        tail = tail[np.isfinite(tail)]
        if not len(tail):
            return ""
        ends.append(float(tail.mean()))
    seen, unseen = ends
    told = f"training {_short(seen)}, held out {_short(unseen)}"
    if seen == 0:
        return told
    share = 100 * (unseen - seen) / abs(seen)
    signed = text.number(share, 1)
    return f"{told}: gap {'+' if float(signed) > 0 else ''}{signed} %"


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
