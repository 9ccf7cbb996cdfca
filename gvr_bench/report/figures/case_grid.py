"""Maps of chosen cases and explainers beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from gvr_bench.report.cases import map_colours
from gvr_bench.report.cases.case_view import change_scale, heat_scale, shown
from gvr_bench.report.cases.cases_file import Combination
from gvr_bench.report.figures import Chart, Figure
from gvr_bench.report.figures.style import INK, MUTED, Canvas, short

CASES = 3
TILE = 0.85  # inches


@dataclass(frozen=True)
class Grid:
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    pictures: tuple[tuple[Image.Image, ...], ...]

    def draw(self, figure: Canvas) -> None:
        rows, columns = len(self.rows), len(self.columns)
        figure.set_size_inches(TILE * columns + 0.3, TILE * rows + 0.4)
        grid: Any = figure.subplots(rows, columns, squeeze=False)
        for (i, j), axes in np.ndenumerate(grid):
            axes.imshow(np.asarray(self.pictures[i][j].convert("RGB")), interpolation="bicubic")
            axes.set(xticks=(), yticks=(), frame_on=False)
            axes.grid(visible=False)
        for axes, name in zip(grid[0], self.columns, strict=True):
            axes.set_title(short(name, 20), fontsize=6.5, color=INK)
        for axes, name in zip(grid[:, 0], self.rows, strict=True):
            axes.set_ylabel(short(name, 16), fontsize=6.5, color=MUTED)


def case_grid(c: Combination, cases: Sequence[str] = (), names: Sequence[str] = ()) -> Chart | None:
    """Maps of chosen cases and explainers; of the first predicted cases where none is chosen."""
    predicts = np.ones(len(c), bool) if c.predicts_source is None else c.predicts_source
    chosen = [i for i in range(len(c)) if c.sample_id[i] in cases]
    chosen = chosen or np.flatnonzero(predicts)[:CASES].tolist()
    explainers = [e for e in shown(c) if (e.name in names if names else not e.control)]
    if not chosen or not explainers:
        return None
    change = change_scale(c)
    maps = [(e.attribution, heat_scale(e, change)) for e in explainers]
    if c.true_change is not None:
        maps.insert(0, (c.true_change, change))
    rows = tuple(
        (
            map_colours.plain(c.input[i]),
            *(map_colours.overlay(c.input[i], m[i], s) for m, s in maps if m is not None),
        )
        for i in chosen
    )
    truth = () if c.true_change is None else ("true change",)
    columns = ("image", *truth, *(e.name for e in explainers))
    return Chart(
        "cases",
        "Maps of chosen cases" if cases else "Maps of the first predicted cases",
        f"{len(rows)} of {c.total} cases",
        ", ".join(columns),
        Grid(tuple(c.sample_id[i] for i in chosen), columns, rows),
    )


FIGURE = Figure("model", lambda c, source: [case_grid(c, source.cases, source.explainers)])
