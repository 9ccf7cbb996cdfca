"""Losses of each stage over its training, with those of held-out images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from gvr_bench.report.cases.cases_file import Combination, Curve
from gvr_bench.report.figures import Chart, Figure, Source, style

Steps = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Optimizer steps, and the loss at each."""


@dataclass(frozen=True, eq=False)
class Losses:
    training: Steps
    held_out: Steps | None

    def draw(self, figure: style.Canvas) -> None:
        figure.set_figheight(style.FLAT)
        axes = style.axes_of(figure, "steps", "")
        axes.plot(*self.training, color=style.ACCENT, label="training")
        if self.held_out is not None:
            axes.plot(*self.held_out, color=style.SECOND, linestyle=(0, (4, 2)), label="held out")
            axes.legend(loc="upper right")
        axes.margins(x=0)
        axes.locator_params(nbins=4)
        style.round_ticks(axes.yaxis, False, *axes.get_ylim())


def losses(curves: Sequence[Curve]) -> Iterator[Chart]:
    """A chart per loss with two finite values; `x` and `validation_x` of a stage share one."""
    lines = {(c.stage, c.loss): c for c in curves if len(_finite(c)[0]) >= 2}
    for (stage, loss), curve in lines.items():
        if (stage, loss.removeprefix("validation_")) in lines and loss.startswith("validation_"):
            continue
        held_out = lines.get((stage, f"validation_{loss}"))
        steps, values = _finite(curve)
        title = f"{stage}: {loss.replace('_', ' ')}"
        yield Chart(
            f"training {title}",
            title,
            f"{values[-1]:.3g} at the end" if held_out is None else gap(curve, held_out),
            f"between {values.min():.3g} and {values.max():.3g}, {values[-1]:.3g} at the end, "
            f"{steps[-1]:g} steps",
            Losses((steps, values), None if held_out is None else _finite(held_out)),
        )


def _finite(curve: Curve) -> Steps:
    finite = np.isfinite(curve.step) & np.isfinite(curve.value)
    return curve.step[finite], curve.value[finite]


def gap(training: Curve, held_out: Curve) -> str:
    """Means over the last tenth of the logged steps, and how far they are apart."""
    tails = [c.value[-max(1, round(len(c.value) / 10)) :] for c in (training, held_out)]
    tails = [tail[np.isfinite(tail)] for tail in tails]
    if not all(len(tail) for tail in tails):
        return ""
    mean, unseen = (float(tail.mean()) for tail in tails)
    means = f"training {mean:.3g}, held out {unseen:.3g}".replace("-", "−")
    if mean == 0:
        return means
    share = style.signed(100 * (unseen - mean) / abs(mean), 1)
    return f"{means}: gap {'+' if unseen > mean and share != '0.0' else ''}{share} %"


def training(c: Combination, source: Source) -> Iterator[Chart]:
    before = takewhile(lambda other: other is not c, source.models)
    drawn = {_content(chart) for other in before for chart in losses(other.curves)}
    return (chart for chart in losses(c.curves) if _content(chart) not in drawn)


def _content(chart: Chart) -> tuple[object, ...]:
    lines = chart.data.training, chart.data.held_out or ()
    return chart.title, *(array.tobytes() for line in lines for array in line)


FIGURE = Figure("model", training, section="training")
