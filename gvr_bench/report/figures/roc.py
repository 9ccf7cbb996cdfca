"""ROC curves of the model on the test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gvr_bench.report.cases.cases_file import Combination, Float
from gvr_bench.report.figures import Chart, Figure
from gvr_bench.report.figures.style import ACCENT, COLOURS, Canvas, axes_of, short, unit_square
from gvr_bench.results.records import Record, model_label

Line = tuple[NDArray[np.floating], NDArray[np.floating]]
Bool = NDArray[np.bool_]
RESAMPLES = 500
GRID = np.linspace(0, 1, 101)
LEGEND_CURVES = 5  # more curves than these have no legend


@dataclass(frozen=True, eq=False)
class Roc:
    """False and true positive rates of each output, and the 95 % band of a single one on `GRID`."""

    curves: tuple[tuple[str, *Line], ...]
    band: Line | None

    def draw(self, figure: Canvas) -> None:
        axes = axes_of(figure, "false positive rate", "true positive rate")
        unit_square(axes)
        several = len(self.curves) > 1
        if self.band is not None:
            axes.fill_between(GRID, *self.band, color=ACCENT, alpha=0.18, linewidth=0)
        legend = 1 < len(self.curves) <= LEGEND_CURVES
        for number, (name, fpr, tpr) in enumerate(self.curves):
            colour = COLOURS[f"class-{number}"] if legend else ACCENT
            axes.plot(fpr, tpr, color=colour, linewidth=1 if several else 1.8,
                      alpha=1 if legend or not several else 0.6, label=short(name, 44))  # fmt: skip
        if legend:
            axes.legend(loc="lower right")


def roc(c: Combination, records: Sequence[Record]) -> Chart | None:
    """A curve per output with both labels; areas are those of `records`, never computed here."""
    if c.test is None:
        return None
    areas = {
        r.output: r
        for r in records
        if r.explainer is None
        and r.metric == "auroc"
        and (r.dataset, r.seed) == (c.dataset, c.seed)
        and model_label(r.generator, r.encoder, r.head) == c.model
    }
    prediction, positive = c.test.prediction, c.test.positive
    single, both = len(c.outputs) == 1, np.ptp(positive.astype(int), axis=0) > 0
    labels = {k: area(areas.get("all" if single else c.outputs[k])) for k in np.flatnonzero(both)}
    curves = tuple(
        (f"{c.outputs[k]}: {label}", *roc_curve(prediction[:, k], positive[:, k]))
        for k, label in labels.items()
    )
    missing = ", ".join(name for name, ok in zip(c.outputs, both.tolist(), strict=True) if not ok)
    return Chart(
        "roc",
        f"ROC curve{'' if single else 's'}",
        f"{_positive(c) if single else 'Mean over outputs'}: {area(areas.get('all'))}, "
        f"{len(positive):,} test images",
        "; ".join(name for name, *_ in curves),
        Roc(curves, roc_band(prediction[:, 0], positive[:, 0]) if single and curves else None),
        f"Not drawn, because all test images have the same label: {missing}" if missing else "",
    )


def _positive(c: Combination) -> str:
    """The output, with the value from which on it counts as positive."""
    if c.kind != "regression" or c.threshold is None:
        return c.outputs[0]
    return f"{c.outputs[0]} of at least {c.threshold:g} {c.unit}".strip()


def area(record: Record | None) -> str:
    if record is None or record.value is None:
        return "AUC not recorded"
    if record.low is None or record.high is None:
        return f"AUC {record.value:.3f}"
    return f"AUC {record.value:.3f} ({record.low:.3f} to {record.high:.3f})"


def roc_curve(prediction: Float, positive: Bool) -> Line:
    from sklearn import metrics

    fpr, tpr, _ = metrics.roc_curve(positive, prediction, drop_intermediate=False)
    return fpr, tpr


def roc_band(prediction: Float, positive: Bool) -> Line | None:
    """Lower and upper end (101,) of 95 % of the curves of resampled images, on `GRID`.

    A resample is how often each image is drawn, so that images are sorted once: scikit-learn would
    sort and check them five hundred times, which takes a fifth of a page.
    """
    n, rng, heights = len(prediction), np.random.default_rng(0), []
    order = np.argsort(-prediction, kind="stable")
    sick = positive[order]
    ends = np.append(np.flatnonzero(np.diff(prediction[order])), n - 1)  # of equal predictions
    for drawn in rng.integers(0, n, (RESAMPLES, n)):
        times = np.bincount(drawn, minlength=n)[order]
        true, false = (np.append(0, np.cumsum(times * of)[ends]) for of in (sick, ~sick))
        if true[-1] and false[-1]:  # a curve needs both classes
            heights.append(np.interp(GRID, false / false[-1], true / true[-1]))
    if not heights:
        return None
    low, high = np.quantile(np.stack(heights), [0.025, 0.975], axis=0)
    return low, high


FIGURE = Figure("model", lambda c, source: [roc(c, source.records)], section="models")
