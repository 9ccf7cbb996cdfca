"""How alike the maps of explainers are.

Maps are compared by |attribution|: some explainers give no sign (the size of a gradient, an edge),
others give it their own meaning, but all claim that pixels of more |attribution| matter more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gvr_bench.report.cases.cases_file import Combination, Float
from gvr_bench.report.figures import Chart, Figure, style
from gvr_bench.report.formatting import spread

MAX_CASES = 100
CELL = 0.34  # inches


@dataclass(frozen=True, eq=False)
class Agreement:
    """Mean correlations (E, E) of the explainers `names`, similar ones beside each other.

    With `columns` (C), other numbers (E, C) of them. NaN where there is none.
    """

    names: tuple[str, ...]
    controls: tuple[bool, ...]
    means: NDArray[np.float64]
    columns: tuple[str, ...] = ()

    def draw(self, figure: style.Canvas) -> None:
        from matplotlib.patches import Rectangle

        columns = [style.short(name, 24) for name in self.columns or self.names]
        margin, below = (
            0.25 + style.LETTER * max(len(style.short(name, 24)) for name in of)
            for of in (self.names, columns)
        )
        width = max(style.WIDTH, margin + CELL * len(columns))
        figure.set_size_inches(width, below + CELL * len(self.names))
        axes = style.axes_of(figure, "", "")
        for (row, column), value in np.ndenumerate(self.means):
            if row == column and not self.columns:
                continue
            if not np.isfinite(value):
                axes.text(column, row, "–", ha="center", va="center", color=style.MUTED)
                continue
            tile = Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, linewidth=0,
                             facecolor=style.ACCENT if value >= 0 else style.SECOND,
                             alpha=0.5 * min(1.0, abs(value)))  # fmt: skip
            axes.add_patch(tile)
            axes.text(column, row, style.signed(value), ha="center", va="center", fontsize=7.5)
        axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(self.names) - 0.5, -0.5),
                 aspect="equal", frame_on=False)  # fmt: skip
        axes.grid(visible=False)
        axes.xaxis.tick_top()
        axes.set_xticks(range(len(columns)), columns, rotation=90)
        style.explainer_rows(axes, self.names, self.controls)
        if not self.columns:
            for label, control in zip(axes.get_xticklabels(), self.controls, strict=True):
                label.set_color(style.MUTED if control else style.INK)


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
    pairs = list(zip(*np.tril_indices(len(names), -1), strict=True))
    of_pairs = [int(counts[pair]) for pair in pairs]
    values = "; ".join(
        f"{names[i]} and {names[j]} {style.signed(means[i, j])}"
        for i, j in pairs
        if np.isfinite(means[i, j])
    )
    return Chart(
        "agreement",
        "Agreement between explainers",
        "Mean Spearman correlation of |attribution| over the pixels, "
        f"{spread(min(of_pairs), max(of_pairs))} cases",
        values,
        Agreement(
            tuple(names[i] for i in order),
            tuple(names[i] in controls for i in order),
            means[np.ix_(order, order)],
        ),
        "1: they rank all pixels alike; 0: their orders are unrelated. Signs are ignored, and an "
        "empty background makes all maps agree.",
        wide=True,
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


FIGURE = Figure("model", lambda c, _: [agreement(c)], section="agreement")
