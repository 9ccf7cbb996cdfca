"""What becomes of the cases with each explainer that makes counterfactuals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gvr_bench.report.cases.case_view import moving, outcome, scores_of
from gvr_bench.report.cases.cases_file import Combination
from gvr_bench.report.figures import Chart, Figure, style
from gvr_bench.results.case_scores import RunValues

STAGES = {
    "not predicted": (style.RULE, 1.0),
    "decision not changed": (style.SECOND, 0.6),
    "changed": (style.ACCENT, 0.25),
    "holds re-encoded": (style.ACCENT, 0.55),
    "convinces oracle": (style.ACCENT, 1.0),
}
"""What becomes of a case, each but the first a success over the one before; colour, opacity."""


@dataclass(frozen=True)
class Funnel:
    """How many cases end at each of `STAGES`, by explainer."""

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def draw(self, figure: style.Canvas) -> None:
        n = len(self.names)
        figure.set_size_inches(style.WIDTH, 1.3 + 1.5 * style.ROW * n)
        axes = figure.add_subplot()
        left = np.zeros(n)
        stages = zip(STAGES.items(), np.transpose(self.counts), strict=True)
        for (stage, (colour, alpha)), counts in reversed(list(stages)):
            bars = axes.barh(range(n), counts, left=left, height=0.7, color=colour, alpha=alpha,
                             label=stage)  # fmt: skip
            ink = style.PAPER if (colour, alpha) == (style.ACCENT, 1.0) else style.INK
            axes.bar_label(bars, [str(count) if count else "" for count in counts], fontsize=7,
                           label_type="center", color=ink)  # fmt: skip
            left += counts
        axes.set(xlabel="cases", ylim=(n - 0.5, -0.5), xlim=(0, left.max()))
        style.explainer_rows(axes, self.names)
        axes.locator_params(axis="x", integer=True)
        axes.grid(visible=False)
        figure.legend(loc="outside lower left", ncols=2)


def funnel(c: Combination, values: RunValues) -> Chart | None:
    explainers, scores = moving(c), scores_of(c, values)
    if not explainers or not len(c):
        return None
    counts = []
    for e in explainers:
        mine, last = scores.get(e.name, {}), {"unseen": 0, "lost": 1, "found": 2}
        ends = np.array([last[outcome(c, e, i)] for i in range(len(c))])
        for stage, metric in ((3, "reencoded_validity"), (4, "oracle_validity")):
            ends[(ends == stage - 1) & (mine.get(metric, np.zeros(len(c))) == 1)] = stage
        counts.append(tuple(np.bincount(ends, minlength=len(STAGES)).tolist()))
    names = tuple(e.name for e in explainers)
    return Chart(
        "funnel",
        "What becomes of the cases",
        f"{len(c)} cases",
        "; ".join(
            f"{name}: {', '.join(f'{n} {stage}' for n, stage in zip(of, STAGES, strict=True))}"
            for name, of in zip(names, counts, strict=True)
        ),
        Funnel(names, tuple(counts)),
    )


FIGURE = Figure("model", lambda c, source: [funnel(c, source.values)])
