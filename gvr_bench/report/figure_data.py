"""A figure as numbers and words, and the training of a model as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gvr_bench.report import formatting as text
from gvr_bench.report.cases.reading import Combination, Curve

MAX_POINTS = 1500

Float = NDArray[np.floating]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class Chart:
    """A figure in words, and the `data` that it is drawn from.

    `kind` begins its file name; `model` is empty where it is about no single model; `description`
    says in words what a picture shows.
    """

    kind: str
    title: str
    model: str
    caption: str
    description: str
    data: object
    note: str = ""


@dataclass(frozen=True, eq=False)
class Losses:
    """A loss over optimizer steps: (steps, values), and the same of held-out images."""

    training: tuple[Float, Float]
    held_out: tuple[Float, Float] | None


def model_name(c: Combination) -> str:
    return f"{c.model} on {c.dataset}, seed {c.seed}"


def output_name(c: Combination, output: int) -> str:
    """An output, with the value from which on it counts as positive."""
    if c.kind != "regression" or c.threshold is None:
        return c.outputs[output]
    return f"{c.outputs[output]} of at least {c.threshold:g} {c.unit}".strip()


def signed(value: float, decimals: int = 2) -> str:
    """A number with a minus sign that is not a hyphen."""
    return text.number(value, decimals).replace("-", "−")


def evenly(n: int) -> NDArray[np.int64]:
    """At most `MAX_POINTS` positions out of `n`, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, MAX_POINTS)).round().astype(np.int64))


def training(combinations: Sequence[Combination]) -> Iterator[Chart]:
    """Losses of all models; what two models share is drawn once."""
    shown = set()
    for c in combinations:
        for chart in losses(c.curves, model_name(c)):
            assert isinstance(chart.data, Losses)
            lines = chart.data.training, chart.data.held_out or ()
            content = (chart.title, *(a.tobytes() for line in lines for a in line))
            if content not in shown:
                shown.add(content)
                yield chart


def losses(curves: Sequence[Curve], model: str = "") -> Iterator[Chart]:
    """A chart per loss with two finite values; `x` and `validation_x` of a stage share one."""
    lines = {(c.stage, c.loss): c for c in curves if len(_finite(c)[0]) >= 2}
    for (stage, loss), curve in lines.items():
        if (stage, loss.removeprefix("validation_")) in lines and loss.startswith("validation_"):
            continue
        held_out = lines.get((stage, f"validation_{loss}"))
        steps, values = _finite(curve)
        facts = f"between {values.min():.3g} and {values.max():.3g}, {values[-1]:.3g} at the end"
        title = f"{stage}: {loss.replace('_', ' ')}"
        yield Chart(
            f"training {title}",
            title,
            model,
            f"{values[-1]:.3g} at the end" if held_out is None else gap(curve, held_out),
            f"{facts}, {steps[-1]:g} steps",
            Losses((steps, values), None if held_out is None else _finite(held_out)),
        )


def _finite(curve: Curve) -> tuple[Float, Float]:
    finite = np.isfinite(curve.step) & np.isfinite(curve.value)
    return curve.step[finite], curve.value[finite]


def gap(training: Curve, held_out: Curve) -> str:
    """Means over the last tenth of the logged steps, and how far they are apart."""
    tails = [c.value[-max(1, round(len(c.value) / 10)) :] for c in (training, held_out)]
    tails = [tail[np.isfinite(tail)] for tail in tails]
    if not all(len(tail) for tail in tails):
        return ""
    mean, unseen = (float(tail.mean()) for tail in tails)
    means = f"training {signed_short(mean)}, held out {signed_short(unseen)}"
    if mean == 0:
        return means
    share = signed(100 * (unseen - mean) / abs(mean), 1)
    return f"{means}: gap {'+' if unseen > mean and share != '0.0' else ''}{share} %"


def signed_short(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")
