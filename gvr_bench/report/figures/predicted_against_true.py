"""Predicted against true values of a regression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gvr_bench.report.cases.cases_file import Combination
from gvr_bench.report.figures import Chart, Figure, style

MAX_POINTS = 1500
LOG_RATIO = 100  # labels that span this ratio are drawn on logarithmic axes


@dataclass(frozen=True, eq=False)
class Regression:
    """Values (n,) of the output `name`; `thresholds` is empty or holds one."""

    name: str
    true: NDArray[np.floating]
    predicted: NDArray[np.floating]
    log: bool
    thresholds: tuple[float, ...]

    def draw(self, figure: style.Canvas) -> None:
        scale = ", logarithmic" if self.log else ""
        name = style.short(self.name, 36)
        axes = style.axes_of(figure, f"true {name}{scale}", f"predicted {name}{scale}")
        both = np.concatenate([self.true, self.predicted])
        low, high = float(both.min()), float(both.max())
        if self.log:
            low, high = low / 1.15, high * 1.15
        else:
            low, high = low - 0.04 * (high - low), high + 0.04 * (high - low)
        axes.plot(self.true, self.predicted, "o", color=style.ACCENT, alpha=0.5, markersize=2.6,
                  markeredgewidth=0)  # fmt: skip
        axes.plot([low, high], [low, high], color=style.INK, linewidth=0.8)
        for threshold in self.thresholds:
            if low < threshold < high:
                for line in (axes.axvline, axes.axhline):
                    line(threshold, color=style.SECOND, linewidth=0.9, linestyle=(0, (4, 3)))
        for axis, limit in ((axes.xaxis, axes.set_xlim), (axes.yaxis, axes.set_ylim)):
            style.round_ticks(axis, self.log, low, high)
            limit(low, high)
        axes.set_box_aspect(1)


def regressions(c: Combination) -> Iterator[Chart]:
    """One chart per output; none for classes."""
    from sklearn.metrics import r2_score

    if c.test is None or c.test.target is None or c.kind != "regression":
        return
    if c.test.target.shape != c.test.prediction.shape:
        return
    columns = zip(c.outputs, c.test.target.T, c.test.prediction.T, strict=True)
    for name, labels, predictions in columns:
        known = np.isfinite(labels) & np.isfinite(predictions)
        true, predicted = labels[known].astype(np.float64), predictions[known].astype(np.float64)
        if len(true) < 2 or true.min() == true.max():
            continue
        log = min(true.min(), predicted.min()) > 0 and true.max() / true.min() >= LOG_RATIO
        r2 = r2_score(np.log(true), np.log(predicted)) if log else r2_score(true, predicted)
        error = f"{float(np.median(np.abs(predicted - true))):.3g} {c.unit}".strip()
        of_log = " of the logarithms" if log else ""
        facts = f"R² {style.signed(float(r2), 3)}{of_log}, median absolute error {error}"
        n = min(len(true), MAX_POINTS)
        shown = np.linspace(0, len(true) - 1, n).round().astype(int)
        unit, thresholds = f" ({c.unit})" if c.unit else "", (c.threshold,) if c.threshold else ()
        yield Chart(
            "predicted",
            "Predicted against true",
            f"{facts}, {len(true):,} test images",
            f"{name}: {facts}; labels from {true.min():.3g} to {true.max():.3g}, predictions from "
            f"{predicted.min():.3g} to {predicted.max():.3g}",
            Regression(f"{name}{unit}", true[shown], predicted[shown], log, thresholds),
            f"{n:,} of them are drawn." if len(true) > n else "",
        )


FIGURE = Figure("model", lambda c, _: regressions(c), section="models", place=2)
