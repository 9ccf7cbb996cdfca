"""The metrics of Quantus, by the names of their classes."""

from __future__ import annotations

import functools
import inspect
import json
from typing import Any, cast

import numpy as np
import pydantic
import torch
from pydantic import Field
from torch import Tensor, nn

import gvr_bench.api as gvr

REFUSED = {
    "Consistency": "it compares images with one another, and ours are scored one at a time",
    "EfficientMPRT": "it explains a network with random weights; see --metrics sanity",
    "Focus": "it needs mosaics of images of several classes",
    "InputInvariance": "it explains another network",
    "MPRT": "it explains a network with random weights; see --metrics sanity",
    "ROAD": "it gives one value for all images together",
    "RandomLogit": "it explains another output; see --metrics sanity",
    "SensitivityN": "it gives one value for all images together",
    "SmoothMPRT": "it explains a network with random weights; see --metrics sanity",
}
FOOLED_BY = {
    "Faithfulness": "A map of the brightest pixels; images with replaced pixels are unlike any "
    "that the model was trained on.",
    "Localisation": "One picture for all cases, of where findings usually are.",
    "Complexity": "A single pixel anywhere.",
    "Robustness": "A constant map.",
    "Axiomatic": "A map with the right sum, wherever it lies.",
}
QUIET = {"disable_warnings": True, "display_progressbar": False}
BETTER: dict[str, gvr.Better] = {"HIGHER": "up", "LOWER": "down"}


def library() -> Any:
    """Import Quantus, which takes seconds. Raises `PluginError` where it is not installed."""
    try:
        import quantus
    except ModuleNotFoundError as error:
        raise gvr.PluginError(
            "metric 'quantus' needs Quantus: pip install 'gvr-bench[quantus]'"
        ) from error
    return quantus


@functools.cache
def categories() -> dict[str, str]:
    """Return the category of each class of Quantus that is applied to images."""
    known = library().AVAILABLE_METRICS.items()
    return {cls.__name__: category for category, classes in known for cls in classes.values()}


def arguments_of(name: str) -> set[str]:
    """Return the arguments of a class that can be typed: no functions, nothing on output."""
    names = inspect.signature(getattr(library(), name)).parameters
    left_out = ("func", "kwargs", "display", "warnings", "return_", "aggregate")
    return {n for n in names if not any(part in n for part in left_out)}


def parsed(value: Any) -> Any:
    """Return a typed value as a number or a truth value, else as a word."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


class QuantusMetric(gvr.Metric):
    """A metric of Quantus by the name of its class, `quantus:Sparseness`.

    Images are scored one at a time, with random numbers drawn from their pixels. A curve per image
    becomes the area below it.
    """

    argument = "metric"
    better: gvr.Better = "-"
    lowest, highest = -float("inf"), float("inf")
    fooled_by = "What fools metrics of its category."

    class Settings(gvr.Settings):
        """Beside `metric`, arguments of the class that are numbers, truth values or words."""

        model_config = pydantic.ConfigDict(extra="allow")

        metric: str = Field("Sparseness", description="class of quantus.metrics")

        @pydantic.model_validator(mode="before")
        @classmethod
        def _known(cls, values: dict[str, Any]) -> dict[str, Any]:
            typed = str(values.get("metric", "Sparseness"))
            names = {name.lower(): name for name in categories()}
            name = names.get(typed.lower().replace("-", ""))
            if name is None:
                raise ValueError(f"no metric of Quantus{gvr.did_you_mean(typed, names.values())}")
            if name in REFUSED:
                raise ValueError(f"Quantus's {name} cannot be used here: {REFUSED[name]}")
            allowed = arguments_of(name)
            for key in sorted(values.keys() - {"metric"} - allowed):
                hint = gvr.did_you_mean(key, allowed)
                raise ValueError(f"Quantus's {name} takes no '{key}'{hint}")
            return {key: parsed(value) for key, value in values.items()} | {"metric": name}

    settings: Settings

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        name, chosen = settings.metric, settings.model_extra or {}
        cls = getattr(library(), name)
        self.__doc__ = (inspect.getdoc(cls) or "").split("References")[0]
        self.better = BETTER.get(cls.score_direction.name, "-")
        typed = ", ".join(f"{key}={value!r}" for key, value in chosen.items())
        self.formula = f"quantus.{name}({typed}), for each image"
        self.fooled_by = FOOLED_BY[categories()[name]]
        self.source = f"Quantus {library().__version__} (Hedstroem et al. 2023, arXiv 2202.06861)"

    def score(self, data: gvr.MetricInput) -> Tensor:
        needs_mask = categories()[self.settings.metric] == "Localisation"
        if needs_mask and data.mask is None:
            raise gvr.Unsupported("no masks of findings")
        values = []
        for i, rng in enumerate(data.rngs()):
            no_mask = needs_mask and data.mask is not None and not data.mask[i].any()
            constant = data.attribution[i].min() == data.attribution[i].max()
            if no_mask or constant:  # Quantus refuses them
                values.append(float("nan"))
                continue
            with gvr.seeded(rng.initial_seed()):
                values.append(self.value(data, i))
        return torch.tensor(values, dtype=torch.float64)

    def value(self, data: gvr.MetricInput, i: int) -> float:
        """Return what Quantus gives for one image. Raises `Unsupported` with its reason."""
        x, task = data.image[i : i + 1], data.target.task
        network = gvr.network_of(data.model)
        plain: dict[str, Any] = {}
        if task.kind != "multiclass":  # a softmax of one output is always 1
            network = nn.Sequential(network, nn.Sigmoid()) if task.kind != "regression" else network
            plain = {"softmax": False}

        def explain(*, inputs: Any, **_: Any) -> Any:
            if data.explain is None:
                raise gvr.Unsupported("the explainer cannot be asked again")
            images = torch.as_tensor(np.asarray(inputs), dtype=x.dtype, device=x.device)
            images = images.view(-1, *x.shape[1:])
            maps = data.explain(images, torch.full((len(images),), i, device=x.device))
            return maps[:, None].cpu().numpy()

        mask = None if data.mask is None else data.mask[i : i + 1, None].cpu().numpy().astype(int)
        name, chosen = self.settings.metric, self.settings.model_extra or {}
        try:
            metric = getattr(library(), name)(**chosen, **QUIET)
            (value,) = metric(
                model=network.eval(),
                x_batch=x.cpu().numpy(),
                y_batch=data.target.source_class[i : i + 1].cpu().numpy(),
                a_batch=data.attribution[i : i + 1, None].cpu().numpy(),
                s_batch=mask,
                explain_func=explain,
                device=str(x.device),
                **plain,
            )
        except (ArithmeticError, AssertionError, AttributeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise gvr.Unsupported(f"Quantus's {name}: {reason}") from error
        curve = np.asarray(value, np.float64)
        return float(curve) if curve.ndim == 0 else float(np.trapezoid(cast(Any, curve)))
