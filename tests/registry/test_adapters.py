"""Captum's methods as explainers: their maps are captum's, and they keep our rules."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from pydantic import Field

import gvr_bench.api as gvr
from gvr_bench.registry.captum_adapter import CaptumExplainer, network_of
from gvr_bench.testing import assert_passes, check_explainer
from gvr_bench.testing.toy_models import Case, cases

attr = pytest.importorskip("captum.attr", reason="captum is not installed: pip install captum")


class InputXGradient(CaptumExplainer):
    attribution = "captum.attr:InputXGradient"


class DeepLift(CaptumExplainer):
    attribution = "captum.attr:DeepLift"

    class Settings(gvr.Settings):
        baselines: float = -1.0


class GradientShap(CaptumExplainer):
    attribution = "captum.attr:GradientShap"
    draws = True

    class Settings(gvr.Settings):
        n_samples: int = Field(4, ge=1)
        stdevs: float = 0.1

    def arguments(
        self, x: torch.Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> dict[str, Any]:
        return super().arguments(x, target, ctx) | {"baselines": torch.full_like(x[:1], -1.0)}


class LayerGradCam(CaptumExplainer):
    def method(self, network: torch.nn.Module) -> Any:
        return attr.LayerGradCam(network, network.encoder[2])

    def combine(self, attributions: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return attr.LayerAttribution.interpolate(attributions, tuple(x.shape[2:])).sum(1)


class Misspelt(CaptumExplainer):
    attribution = "captum.attr:DeepLit"


class Nameless(CaptumExplainer):
    pass


def explain(cls: type[CaptumExplainer], case: Case, seed: int = 0) -> torch.Tensor:
    explainer = cls(cls.Settings())
    ctx = gvr.Context(case.x.device, seed=seed)
    return explainer.explain(case.model, case.x, case.target, ctx).attribution


@pytest.mark.parametrize("cls", [Misspelt, Nameless])
def test_unknown_captum_method_is_named(cls: type[CaptumExplainer]) -> None:
    with pytest.raises(gvr.PluginError, match=rf"^{cls.__name__}: no attribution"):
        explain(cls, cases()[0])


@pytest.mark.parametrize("cls", [InputXGradient, DeepLift, GradientShap, LayerGradCam])
def test_adapted_methods_pass_all_checks(cls: type[CaptumExplainer]) -> None:
    assert_passes(check_explainer(cls))


def test_undeclared_random_numbers_fail_check() -> None:
    class Silent(GradientShap):
        draws = False

    with pytest.raises(AssertionError, match=r"global rng: .* global random numbers of torch"):
        assert_passes(check_explainer(Silent))


@pytest.mark.filterwarnings("ignore::UserWarning:captum")
@pytest.mark.parametrize("case", cases()[:4], ids=lambda case: case.label)
def test_map_equals_captum(case: Case) -> None:
    method = attr.DeepLift(network_of(case.model))
    theirs = method.attribute(case.x, baselines=-1.0, target=case.target.source_class)
    torch.testing.assert_close(explain(DeepLift, case), theirs.detach().sum(1))


def test_images_are_split_into_batches(monkeypatch) -> None:
    case = cases()[0]
    seen = []
    attribute = attr.InputXGradient.attribute

    def watch(self: Any, x: torch.Tensor, *args: Any, **more: Any) -> torch.Tensor:
        seen.append(len(x))
        return attribute(self, x, *args, **more)

    whole = explain(InputXGradient, case)
    monkeypatch.setattr(attr.InputXGradient, "attribute", watch)
    monkeypatch.setattr(InputXGradient, "batch_size", lambda self, x: 2)
    torch.testing.assert_close(explain(InputXGradient, case), whole)
    assert seen == [2, 1]


def test_random_numbers_depend_on_seed_only() -> None:
    case = cases()[0]
    first = explain(GradientShap, case, seed=1)
    torch.manual_seed(8)
    assert torch.equal(explain(GradientShap, case, seed=1), first)
    assert not torch.equal(explain(GradientShap, case, seed=2), first)


def test_captum_warnings_are_suppressed(recwarn) -> None:
    explain(DeepLift, cases()[0])
    assert [str(w.message) for w in recwarn if "captum" in w.filename] == []


def test_importing_adapter_loads_no_torch() -> None:
    code = "import gvr_bench.registry.captum_adapter, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
