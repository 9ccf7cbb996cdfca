"""The prediction as the pixels that matter most to an explainer go or come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gvr_bench.report.cases.cases_file import Combination
from gvr_bench.report.figures import Chart, Figure
from gvr_bench.report.figures.style import ACCENT, INK, MUTED, SECOND, WIDTH, Canvas, short, signed

ACROSS = 3  # panels
Points = tuple[NDArray[np.floating], NDArray[np.floating]]


@dataclass(frozen=True, eq=False)
class Line:
    """A line (S,), with a band from one line to another or with points (n,) where there are any."""

    x: NDArray[np.floating]
    y: NDArray[np.floating]
    band: Points | None = None
    points: Points | None = None


@dataclass(frozen=True, eq=False)
class Panels:
    """A small panel of lines per explainer, all with the same axes."""

    titles: tuple[str, ...]
    controls: tuple[bool, ...]
    lines: tuple[tuple[Line, ...], ...]
    x_title: str
    y_title: str

    def draw(self, figure: Canvas) -> None:
        rows = -(-len(self.titles) // ACROSS)
        figure.set_size_inches(WIDTH, 0.9 + 1.05 * rows)
        grid: Any = figure.subplots(rows, ACROSS, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(self.titles) :]:
            axes.set_axis_off()
        panels = zip(grid.flat, self.titles, self.controls, self.lines, strict=False)
        for axes, title, control, lines in panels:
            axes.set_title(short(title, 22), fontsize=7, color=MUTED if control else INK)
            axes.tick_params(labelsize=7, labelbottom=True)
            for line, colour in zip(lines, (SECOND, ACCENT)[-len(lines) :], strict=True):
                if line.band is not None:
                    axes.fill_between(line.x, *line.band, color=colour, alpha=0.2, linewidth=0)
                if line.points is not None:
                    axes.plot(*line.points, "o", color=MUTED, alpha=0.4, markersize=2,
                              markeredgewidth=0)  # fmt: skip
                axes.plot(line.x, line.y, color=colour)
        figure.supxlabel(self.x_title, fontsize=8)
        figure.supylabel(short(self.y_title, 40), fontsize=8)


def curves(c: Combination) -> Chart | None:
    """Deletion and insertion, the widest gap between them first; None where no curve is known."""
    predicted = np.ones(len(c), bool) if c.predicts_source is None else c.predicts_source
    drawn, count = [], 0
    for e in c.explainers:
        if e.deletion is not None and e.insertion is not None:
            known = predicted & np.isfinite(e.deletion).all(1) & np.isfinite(e.insertion).all(1)
            if known.any():
                down, up = mean_line(e.deletion[known]), mean_line(e.insertion[known])
                drawn.append((float(up.y.mean() - down.y.mean()), e.name, e.control, (down, up)))
                count = max(count, int(known.sum()))
    if not drawn:
        return None
    drawn.sort(key=lambda item: (-item[0], item[1]))
    gaps, names, controls, lines = zip(*drawn, strict=True)
    return Chart(
        "deletion and insertion",
        "Prediction as pixels go or come",
        f"Deletion (orange) and insertion (purple), pixels of largest attribution first: mean and "
        f"middle half of {count} cases",
        "; ".join(f"{n}: apart by {signed(gap)}" for n, gap in zip(names, gaps, strict=True)),
        Panels(names, controls, lines, "share of pixels", "finding predicted"),
    )


def mean_line(values: NDArray[np.floating]) -> Line:
    """The mean of values (n, S) over cases, with their middle half."""
    low, high = np.quantile(values, (0.25, 0.75), axis=0)
    return Line(np.linspace(0, 1, values.shape[1]), values.mean(0), (low, high))


FIGURE = Figure("model", lambda c, _: [curves(c)])
