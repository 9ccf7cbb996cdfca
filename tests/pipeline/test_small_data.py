"""Data sets of a user's own, which may have few images, are learned in fewer steps."""

from __future__ import annotations

import pytest
from gvr_datasets.phantom.dataset import Phantom
from tiny import plan_of

from gvr_bench.core.stage import Stage
from gvr_bench.registry.registry import Registry

VAE = {"encoder": "inference", "head": "conv"}


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Phantoms as a user's own data, for which no networks are shipped."""
    monkeypatch.setattr(Phantom, "has_networks", False)


def trained(registry: Registry, generator: str = "vae", profile: str = "quick") -> list[Stage]:
    plan = plan_of(registry, {"profile": profile}, generator=generator, **VAE)
    return [stage for stage in plan.stages if stage.kind in ("generator", "head")]


def limits(stages: list[Stage]) -> list[object]:
    return [stage.settings.get("epochs") for stage in stages]


@pytest.mark.usefixtures("own")
def test_own_data_limits_epochs(registry: Registry) -> None:
    generator, *heads = trained(registry)
    assert limits([generator]) == [150]
    assert set(limits(heads)) == {25}
    assert generator.settings["warm_start"] is True


@pytest.mark.usefixtures("own")
def test_typed_setting_comes_first(registry: Registry) -> None:
    generator, *_ = trained(registry, "vae:epochs=7,warm_start=false")
    assert generator.settings["epochs"] == 7
    assert "warm_start" not in generator.settings


@pytest.mark.usefixtures("own")
def test_paper_profile_has_no_limit(registry: Registry) -> None:
    assert set(limits(trained(registry, profile="paper"))) == {None}


def test_data_with_networks_has_no_limit(registry: Registry) -> None:
    assert set(limits(trained(registry))) == {None}


def test_default_of_newer_setting_leaves_keys(registry: Registry) -> None:
    plain, typed = trained(registry), trained(registry, "vae:warm_start=false")
    assert [stage.key for stage in plain] == [stage.key for stage in typed]
    assert trained(registry, "vae:warm_start=true")[0].key != plain[0].key
