"""The leading score of each explainer by output of the model."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from gvr_bench.report.comparable_runs import model_of
from gvr_bench.report.figures import Chart, Figure
from gvr_bench.report.figures.agreement import Agreement
from gvr_bench.report.figures.style import signed
from gvr_bench.report.questions import questions
from gvr_bench.report.tables import Table
from gvr_bench.results.records import Record


def outputs(board: Table, records: Sequence[Record]) -> Chart | None:
    """The first question's score by output; None for a task with one."""
    question = next(iter(questions(board)), None)
    if question is None:
        return None
    rows = (*question.explainers, *question.controls)
    names = tuple(row.names[0] for row in rows)
    mine = pd.DataFrame(
        vars(r)
        for r in records
        if (r.dataset, model_of(r)) == (board.dataset, board.model)
        and (r.metric, r.output == "all") == (question.column.metric, False)
        and r.explainer in names
    )
    if mine.empty or mine["output"].nunique() < 2:
        return None
    counts = mine.groupby("output", sort=False)["n"].max()
    means = mine.groupby(["explainer", "output"])["value"].mean().unstack()
    means = means.reindex(index=list(names), columns=counts.index).astype(float)
    facts = zip(names, means.to_numpy().tolist(), strict=True)
    return Chart(
        "outputs",
        f"Scores by output: {question.column.title}",
        f"{', '.join(f'{output}: {n}' for output, n in counts.items())} cases",
        "; ".join(f"{name}: {', '.join(map(signed, of))}" for name, of in facts),
        Agreement(names, tuple(r.control for r in rows), means.to_numpy(), tuple(counts.index)),
    )


FIGURE = Figure("board", lambda board, source: [outputs(board, source.records)])
