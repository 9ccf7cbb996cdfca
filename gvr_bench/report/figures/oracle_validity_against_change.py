"""How often a counterfactual convinces the oracle against how much it changes."""

from __future__ import annotations

from gvr_bench.report.figures import Chart, Figure
from gvr_bench.report.figures.quality_against_time import scatter
from gvr_bench.report.tables import Table


def oracle_validity_against_change(board: Table) -> Chart | None:
    change, oracle = board.position("rationale_l1"), board.position("oracle_validity")
    if change is None or oracle is None:
        return None
    return scatter(board, "Oracle validity against change", change, oracle)


FIGURE = Figure(
    "board", lambda board, _: [oracle_validity_against_change(board)], section="tradeoffs", place=1
)
