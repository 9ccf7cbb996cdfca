"""How alike maps stay as the explained network is randomised from its output down."""

from __future__ import annotations

import numpy as np

from gvr_bench.metrics.cascade import DEPTHS
from gvr_bench.report.figures import Chart, Figure, style
from gvr_bench.report.figures.deletion_and_insertion import Line, Panels
from gvr_bench.report.tables import Table

X = np.array([0, *DEPTHS.values()], float)  # % of the modules


def cascade(board: Table) -> Chart | None:
    """A panel per explainer, those that change most first; None where none was tried."""
    columns = [board.position(name) for name in DEPTHS]
    drawn, count = [], 0
    for row in board.rows:
        cells = [None if i is None else row.cells[i].cases for i in columns]
        values = np.array([cell for cell in cells if cell is not None], float)  # (depths, cases)
        if len(values) < len(DEPTHS):
            continue
        values = values[:, np.isfinite(values).all(axis=0)]
        if values.size:
            lines = np.vstack([np.ones(values.shape[1]), values])  # a map is like itself
            low, high = np.quantile(lines, (0.25, 0.75), axis=1)
            line = Line(X, lines.mean(axis=1), (low, high))
            drawn.append((float(line.y[1:].mean()), row.names[0], row.control, line))
            count = max(count, values.shape[1])
    if not drawn:
        return None
    drawn.sort(key=lambda item: (item[2], item[0], item[1]))
    _, names, controls, lines_of = zip(*drawn, strict=True)
    facts = zip(names, lines_of, strict=True)
    return Chart(
        "cascade",
        "Similarity of maps as the network is randomised from its output down",
        f"SSIM: mean and middle half of {count} cases",
        "; ".join(f"{n}: {', '.join(style.signed(y) for y in line.y[1:])}" for n, line in facts),
        Panels(names, controls, tuple((line,) for line in lines_of), "% of modules random", "SSIM"),
        "A map that stays alike although the network is random does not show what it has learnt.",
    )


FIGURE = Figure("board", lambda board, _: [cascade(board)], section="tradeoffs", place=2)
