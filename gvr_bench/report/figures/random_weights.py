"""How alike maps stay when one network of the model gets random weights."""

from __future__ import annotations

from gvr_bench.report.figures import Chart, Figure
from gvr_bench.report.figures.overview import Overview, Panel, axis_of, described, dot_of
from gvr_bench.report.tables import Table

RANDOM = {
    "randomised_head": "head",
    "randomised_encoder": "encoder",
    "randomised_generator": "generator",
    "other_image_similarity": "other image",
}
NARROW = 0.62  # inches


def random_weights(board: Table) -> Chart | None:
    """A panel per network; None where none was tried."""
    at = {c.metric: i for i, c in enumerate(board.columns) if c.metric in RANDOM}
    rows = [row for row in board.rows if any(row.cells[i].value is not None for i in at.values())]
    if len(at) < 2 or not rows:
        return None
    names = tuple(row.names[0] for row in rows)
    axis = axis_of(row.cells[i] for row in rows for i in at.values())[::-1]
    panels = []
    for metric in (metric for metric in RANDOM if metric in at):
        cells = [row.cells[at[metric]] for row in rows]
        dots = tuple(dot_of(cell, bool(cell.passed)) for cell in cells)
        panels.append(Panel(RANDOM[metric], "", axis, dots, None))
    return Chart(
        "random weights",
        "Similarity of maps before and after one network gets random weights",
        f"SSIM, 95 % intervals, {max(row.cells[i].n for row in rows for i in at.values())} cases; "
        "filled: no more alike than maps of two images",
        described(panels, names),
        Overview(names, tuple(panels), NARROW),
    )


FIGURE = Figure("board", lambda board, _: [random_weights(board)])
