"""Names as users type them: aliases, any spelling, and words for several explainers."""

from __future__ import annotations

import pytest
from tiny import Packages, plan_of

from gvr_bench.core.errors import UsageError
from gvr_bench.registry.names import canonical, collectives, plain
from gvr_bench.registry.registry import Registry


def explainers(registry: Registry, *typed: str, controls: bool = False) -> list[str]:
    plan = plan_of(registry, {"controls": controls}, explainer=list(typed))
    return list(plan.combinations[0].explanations)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gradcam", "grad-cam"),
        ("grad_cam", "grad-cam"),
        ("Grad-CAM", "grad-cam"),
        ("GradCAM++", "grad-cam-plus-plus"),
        ("IG", "integrated-gradients"),
        ("IntegratedGradients", "integrated-gradients"),
        ("gradientshap", "expected-gradients"),
        ("shap", "kernel-shap"),
        ("GuidedBackprop", "guided-backprop"),
        ("DeepLIFT", "deep-lift"),
        ("smooth_grad", "smoothgrad"),
        ("SALIENCY", "saliency"),
    ],
)
def test_other_spellings_lead_to_ours(registry: Registry, typed: str, meant: str) -> None:
    assert registry.canonical("explainer", typed) == meant
    assert registry.component("explainer", typed) is registry.component("explainer", meant)
    assert explainers(registry, typed) == [meant]


def test_alias_and_name_share_their_stages(registry: Registry) -> None:
    keys = [
        [stage.key for stage in plan_of(registry, explainer=[typed]).stages]
        for typed in ("ig:steps=3", "integrated-gradients:steps=3")
    ]
    assert keys[0] == keys[1]


def test_other_kinds_have_spellings_too(registry: Registry) -> None:
    assert registry.canonical("generator", "WGAN_GP") == "wgan-gp"
    plan = plan_of(registry, generator="WganGP:iterations=3,width=4,batch=8")
    assert plan.combinations[0].generator == "wgan-gp"


def test_exact_name_comes_before_alias(packages: Packages) -> None:
    packages.explainer("other", "ig", "pass")
    assert packages.registry().canonical("explainer", "ig") == "ig"
    assert packages.registry().canonical("explainer", "IG") == "ig"


def test_two_meanings_are_refused(packages: Packages) -> None:
    packages.explainer("one", "fast-map", "pass")
    packages.explainer("two", "fastmap", "pass")
    with pytest.raises(UsageError, match="'FastMap' may be fast-map or fastmap; type one"):
        packages.registry().component("explainer", "FastMap")


def test_family_names_its_members(registry: Registry) -> None:
    assert explainers(registry, "cam") == [
        "grad-cam", "grad-cam-plus-plus", "hires-cam", "layer-cam", "score-cam", "eigen-cam",
        "counterfactual-cam",
    ]  # fmt: skip
    assert explainers(registry, "propagation") == ["deep-lift", "guided-backprop", "lrp"]


def test_settings_of_a_family_go_to_all(registry: Registry) -> None:
    plan = plan_of(registry, explainer=["cam:layer=maps.0", "grad-cam"])
    stages = plan.combinations[0].explanations
    assert {name: stage.settings["layer"] for name, stage in stages.items()} == {
        name: "" if name == "grad-cam" else "maps.0" for name in stages
    }
    assert len(stages) == 7
    with pytest.raises(UsageError, match="has no setting 'layer'"):
        explainers(registry, "gradient:layer=maps.0")


def test_roles_name_their_explainers(registry: Registry) -> None:
    assert {"gvr", "gvr-robust", "latent-shift"} <= set(explainers(registry, "counterfactual"))
    maps = explainers(registry, "Attribution")
    assert {"saliency", "rise", "grad-cam"} <= set(maps)
    assert not {"gvr", "random", "captum"} & set(maps)
    assert "template" in explainers(registry, "control")


def test_default_spans_the_families(registry: Registry) -> None:
    plugins = {plugin.name: plugin for plugin in registry.plugins("explainer")}
    chosen = explainers(registry, "default")
    assert {plugins[name].family for name in chosen} >= {
        "gradient", "propagation", "perturbation", "cam", "",
    }  # fmt: skip
    assert set(chosen) < set(explainers(registry, "all"))
    assert len(chosen) <= 14


def test_third_party_explainer_is_in_the_default(packages: Packages) -> None:
    packages.explainer("other", "made", "pass")
    assert "made" in explainers(packages.registry(), "default")


def test_names_are_compared_without_separators() -> None:
    assert plain("Grad-CAM ++") == plain("grad_cam_plus_plus") == "gradcamplusplus"
    assert canonical("nothing", []) == "nothing"
    assert list(collectives([])) == ["default", "all", "attribution", "counterfactual", "control"]
