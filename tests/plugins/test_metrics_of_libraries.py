"""Metrics of captum and Quantus give what these libraries give when called directly."""

from __future__ import annotations

import sys
from pathlib import Path

import captum.metrics
import numpy as np
import pytest
import torch
from tiny import command, records_of

import gvr_bench.api as gvr
from gvr_bench.core.metric import MetricInput
from gvr_bench.registry.registry import installed
from gvr_bench.testing import assert_passes, check_metric, metric_input
from gvr_bench.testing.toy_models import CHANNELS, TASKS, make_case

N, SIZE = 3, 16


def metric_of(name: str, **settings) -> gvr.Metric:
    cls, chosen = installed().settings("metric", name, "quick", settings)
    return cls(chosen)


def data_of(kind: str = "multiclass") -> MetricInput:
    case = make_case(TASKS[kind], CHANNELS[kind], torch.device("cpu"))
    maps = torch.randn(N, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(N, SIZE, SIZE, dtype=torch.bool)
    mask[:, 4:9, 5:11] = True
    return metric_input(
        maps, model=case.model, target=case.target, image=case.x, base=case.x, mask=mask,
        explain=lambda images, index: images.mean(1) * (1 + index)[:, None, None],
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_infidelity_is_that_of_captum(kind: str) -> None:
    data = data_of(kind)
    c = data.image.shape[1]
    rngs = list(data.rngs())

    def perturb(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        noise = [torch.empty(7, c, SIZE, SIZE).normal_(0, 0.1, generator=rng) for rng in rngs]
        return torch.cat(noise), images - torch.cat(noise)

    expected = captum.metrics.infidelity(
        data.model,
        perturb,
        data.image,
        (data.attribution / c)[:, None].expand_as(data.image),
        target=data.target.source_class,
        n_perturb_samples=7,
    )
    values = metric_of("captum", metric="infidelity", draws=7, noise=0.1).score(data)
    torch.testing.assert_close(values, expected)


def test_sensitivity_max_is_that_of_captum() -> None:
    data, rngs = data_of(), list(data_of().rngs())
    noise = torch.cat(
        [torch.empty(5, 1, SIZE, SIZE).uniform_(-0.1, 0.1, generator=r) for r in rngs]
    )
    expected = captum.metrics.sensitivity_max(
        lambda x: (x[0] if isinstance(x, tuple) else x,),
        data.image,
        lambda x: x + noise,
        n_perturb_samples=5,
    )
    values = metric_of("captum", metric="sensitivity_max", draws=5, noise=0.1).score(data)
    torch.testing.assert_close(values, expected)


@pytest.mark.parametrize("metric", ["infidelity", "sensitivity_max"])
def test_captum_passes_all_checks(metric: str) -> None:
    assert_passes(check_metric(metric_of("captum", metric=metric)))


def test_captum_metric_is_on_the_scoreboard(cli) -> None:
    names = ["captum:infidelity", "captum:sensitivity_max"]
    assert cli(*command("--out", "run", metrics=names)).code == 0
    rows = [row for row in records_of(Path("run")) if row["explainer"]]
    assert {row["metric"]: row["status"] for row in rows} == dict.fromkeys(names, "ok")


NAMES = {
    "Sparseness": {},
    "Complexity": {"normalise": False},
    "RelevanceRankAccuracy": {},
    "AUC": {},
    "FaithfulnessEstimate": {"features_in_step": 16},
    "FaithfulnessCorrelation": {"nr_runs": 5, "subset_size": 32},
    "RegionPerturbation": {"regions_evaluation": 4},
    "MaxSensitivity": {"nr_samples": 4},
}


@pytest.fixture
def quantus():
    return pytest.importorskip("quantus", reason="pip install 'gvr-bench[quantus]'")


@pytest.mark.parametrize("name", NAMES)
def test_value_is_that_of_quantus(quantus, name: str) -> None:
    data, settings = data_of(), NAMES[name]
    values = metric_of("quantus", metric=name, **settings).score(data)
    for i, rng in enumerate(data.rngs()):
        with gvr.seeded(rng.initial_seed()):
            (expected,) = getattr(quantus, name)(
                disable_warnings=True, display_progressbar=False, **settings
            )(
                model=torch.nn.Sequential(data.model.encoder, data.model.head).eval(),
                x_batch=data.image[i : i + 1].numpy(),
                y_batch=data.target.source_class[i : i + 1].numpy(),
                a_batch=data.attribution[i : i + 1, None].numpy(),
                s_batch=data.mask[i : i + 1, None].numpy().astype(int),
                explain_func=lambda inputs, i=i, **_: np.asarray(inputs) * (1 + i),
                device="cpu",
            )
        area = np.trapezoid(expected) if np.ndim(expected) else expected
        assert values[i].item() == pytest.approx(float(area), rel=1e-5)


@pytest.mark.parametrize("metric", ["Sparseness", "RelevanceMassAccuracy", "MaxSensitivity"])
def test_quantus_passes_all_checks(quantus, metric: str) -> None:
    few = {"nr_samples": 3} if metric == "MaxSensitivity" else {}
    assert_passes(check_metric(metric_of("quantus", metric=metric, **few)))


def test_quantus_declares_its_direction(quantus) -> None:
    assert metric_of("quantus", metric="sparseness").better == "up"
    assert metric_of("quantus", metric="MaxSensitivity").better == "down"


@pytest.mark.parametrize(
    ("typed", "fault"),
    [
        ("quantus:Sparsness", "metric=Sparsness: no metric of Quantus; did you mean 'Sparseness'?"),
        ("quantus:ROAD", "Quantus's ROAD cannot be used here: it gives one value for all images"),
        ("quantus:AUC,k=3", "Quantus's AUC takes no 'k'"),
    ],
)
def test_unusable_class_is_one_line(quantus, cli, typed: str, fault: str) -> None:
    assert fault.split(": ")[-1] in cli(*command(metrics=[typed])).fault


def test_quantus_metrics_stand_in_a_report(quantus, cli) -> None:
    names = ["quantus:Sparseness", "quantus:PointingGame"]
    assert cli(*command("--out", "run", metrics=names)).code == 0
    rows = [row for row in records_of(Path("run")) if row["explainer"]]
    assert {row["metric"]: row["status"] for row in rows} == dict.fromkeys(names, "ok")
    assert 'id="metric-quantus:Sparseness"' in Path("run/index.html").read_text("utf-8")


def test_missing_library_is_one_line(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "quantus", None)
    from gvr_metrics.of_quantus import categories

    categories.cache_clear()
    fault = cli(*command(metrics=["quantus:Sparseness"])).fault
    assert fault == "error: metric 'quantus' needs Quantus: pip install 'gvr-bench[quantus]'"
    assert cli("plugins", "info", "quantus").code == 0
