"""Keys: a change travels exactly as far as it must."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import Packages, plan_of

from gvr_bench.core.errors import DataError, PluginError, UsageError
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.plan import Plan
from gvr_bench.pipeline.steps import STEPS
from gvr_bench.registry.registry import Registry

EXPLAINED = {"explanations", "perturbed_explanations", "scores"}
AFTER_LATENTS = {"head", "prediction", "structure_effects", "noise_response", *EXPLAINED}
AFTER_DATA = {"generator", "encoder", "decoding", "latents", *AFTER_LATENTS}
OF_DATA = {"data", "cases", "oracle"}
DIGITS = "digits:size=16"


def keys(plan: Plan) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for stage in plan.stages:
        found.setdefault((stage.kind, stage.name), set()).add(stage.key)
    return found


def changed(before: Plan, after: Plan) -> set[str]:
    """Kinds of the stages whose key is another; the stages themselves must be the same."""
    first, second = keys(before), keys(after)
    assert first.keys() == second.keys()
    return {kind for (kind, name), key in first.items() if second[kind, name] != key}


@pytest.mark.parametrize(
    ("choices", "kinds"),
    [
        ({"explainer": "saliency:absolute=false"}, EXPLAINED),
        ({"head": "linear:steps=21"}, AFTER_LATENTS),
        ({"encoder": "conv:steps=4,width=4"}, AFTER_DATA - {"generator"}),
        ({"generator": "wgan-gp:iterations=4,width=4,batch=8"}, AFTER_DATA),
        ({"dataset": "phantom:size=32,train=65,test=32"}, AFTER_DATA | OF_DATA),
        ({"explainer": "saliency:absolute=true"}, set()),
    ],
)  # fmt: skip
def test_setting_changes_its_dependents(
    registry: Registry, choices: dict[str, str], kinds: set[str]
) -> None:
    assert changed(plan_of(registry), plan_of(registry, **choices)) == kinds


def test_explainer_setting_changes_one_explainer(registry: Registry) -> None:
    before = keys(plan_of(registry, explainer=["saliency", "edge", "gvr:steps=1"]))
    after = keys(plan_of(registry, explainer=["saliency", "edge", "gvr:steps=2"]))
    moved = {name for name, key in before.items() if after[name] != key}
    assert moved == {(kind, "gvr") for kind in EXPLAINED}


@pytest.mark.parametrize("explainers", [["saliency", "edge"], ["edge", "saliency"], ["all"]])
def test_another_explainer_changes_no_key(registry: Registry, explainers: list[str]) -> None:
    before = keys(plan_of(registry))
    after = keys(plan_of(registry, explainer=explainers))
    assert all(before[name] <= after[name] for name in before)
    assert len(after) > len(before)


def test_another_head_changes_no_key(registry: Registry) -> None:
    before = plan_of(registry)
    after = plan_of(registry, head=["mlp:steps=20", "linear:steps=20"])
    assert {s.key for s in before.stages} < {s.key for s in after.stages}


@pytest.mark.parametrize(
    ("flags", "kinds"),
    [
        ({"seeds": [1]}, AFTER_DATA | {"oracle"}),
        ({"max_cases": 5}, {"cases", "structure_effects", "noise_response", *EXPLAINED}),
        ({"data_root": "/another/folder"}, set()),
        ({"latents": {"copies": 2}}, {"latents", *AFTER_LATENTS}),
        ({"profile": "paper"}, AFTER_DATA),  # the data's settings are all given
    ],
)
def test_flag_changes_its_dependents(
    registry: Registry, flags: dict[str, object], kinds: set[str]
) -> None:
    data = "phantom:size=32,train=64,validation=16,test=32"
    assert changed(plan_of(registry, dataset=data), plan_of(registry, flags, dataset=data)) == kinds


@pytest.mark.parametrize("asked", ["source=3", "target=7", "source=1,target=0"])
def test_asking_for_other_digits_retrains_nothing(registry: Registry, asked: str) -> None:
    before = plan_of(registry, dataset=DIGITS)
    after = plan_of(registry, dataset=f"{DIGITS},{asked}")
    assert changed(before, after) == {
        "cases",
        "structure_effects",
        "noise_response",
        *EXPLAINED,
    }


def test_each_source_has_its_own_cases(registry: Registry) -> None:
    plan = plan_of(registry, dataset=[f"{DIGITS},source=3", f"{DIGITS},source=5"])
    first, second = (c.cases.component.task.source for c in plan.combinations)
    assert (first, second) == (3, 5)
    assert plan.combinations[0].data is plan.combinations[1].data
    assert plan.combinations[0].head_stage is plan.combinations[1].head_stage


def test_data_is_in_the_key(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    before = plan_of(registry)
    phantom = registry.component("dataset", "phantom")
    monkeypatch.setattr(phantom, "fingerprint", lambda self: "other pictures")
    assert changed(before, plan_of(registry)) == AFTER_DATA | OF_DATA


def test_new_version_changes_the_key(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    before = plan_of(registry)
    monkeypatch.setattr(registry.component("encoder", "conv"), "version", "next")
    assert changed(before, plan_of(registry)) == AFTER_DATA - {"generator"}


@pytest.mark.parametrize("hash_seed", ["0", "4321"])
def test_another_process_finds_the_same_keys(
    registry: Registry, tmp_path: Path, hash_seed: str
) -> None:
    code = (
        "import json\nfrom tiny import plan_of\nfrom gvr_bench.registry.registry import installed\n"
        "plan = plan_of(installed(), explainer=['all'])\n"
        "print(json.dumps([s.key for s in plan.stages]))"
    )
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "PYTHONPATH": str(Path(__file__).parent.parent / "helpers"),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, cwd=tmp_path, env=environment,
    )  # fmt: skip
    here = [s.key for s in plan_of(registry, explainer=["all"]).stages]
    assert json.loads(done.stdout) == here
    assert len(set(here)) == len(here)


def test_inputs_come_before_what_needs_them(registry: Registry) -> None:
    seen: set[str] = set()
    for stage in plan_of(registry, {"seeds": [0, 1]}, explainer=["all"]).stages:
        assert {needed.key for needed in stage.inputs.values()} <= seen
        seen.add(stage.key)


def test_stages_have_the_declared_inputs(registry: Registry) -> None:
    stages = plan_of(registry, {"metrics": ["all"]}, explainer="latent-shift").stages
    assert {stage.kind for stage in stages} == STEPS.keys()
    for stage in stages:
        assert set(STEPS[stage.kind].inputs) <= stage.inputs.keys(), stage


def test_only_chosen_groups_are_planned(registry: Registry) -> None:
    few = plan_of(registry, {"metrics": ["truth", "cost"]})
    assert {s.kind for s in few.stages} == AFTER_DATA - {
        "perturbed_explanations",
        "decoding",
        "structure_effects",
        "noise_response",
    } | {
        "data",
        "cases",
    }
    assert [set(groups) for c in few.combinations for groups in c.scores.values()] == [
        {"truth", "cost"}
    ]


def test_expensive_groups_are_opt_in(registry: Registry) -> None:
    (usual,) = plan_of(registry).combinations
    (every,) = plan_of(registry, {"metrics": ["all"]}).combinations
    more = set(every.scores["saliency"]) - set(usual.scores["saliency"])
    assert more == {"cascade", "repeatability", "simulatability"}


def test_other_seed_is_the_next_one(registry: Registry) -> None:
    plan = plan_of(registry, {"metrics": ["repeatability"], "seeds": [3, 5]})
    assert {s.seed for s in plan.stages if s.kind == "generator"} == {3, 5}
    alone = plan_of(registry, {"metrics": ["repeatability"], "seeds": [3]})
    assert {s.seed for s in alone.stages if s.kind == "generator"} == {3, 4}


def test_contaminated_head_has_no_second_one(registry: Registry) -> None:
    flags = {"metrics": ["contamination"]}
    clean, spoilt = (
        [s for s in plan_of(registry, flags, head=head).stages if s.kind == "head"]
        for head in ("linear:steps=20", "linear:steps=20,contaminated=true")
    )
    assert (len(clean), len(spoilt)) == (2, 1)


def test_unknown_group_is_named(registry: Registry) -> None:
    with pytest.raises(UsageError, match=r"--metrics thruth: .*; did you mean 'truth'"):
        plan_of(registry, {"metrics": ["thruth"]})


def test_choices_multiply_out(registry: Registry) -> None:
    plan = plan_of(
        registry,
        {"seeds": [0, 1]},
        head=["linear:steps=20", "linear:steps=21", "mlp:steps=20"],
        explainer=["saliency", "edge"],
    )
    found = {(c.head, c.seed) for c in plan.combinations}
    heads = ("linear:steps=20", "linear:steps=21", "mlp")  # as short as tells them apart
    assert found == {(head, seed) for head in heads for seed in (0, 1)}
    assert all(list(c.scores) == ["saliency", "edge"] for c in plan.combinations)
    assert sum(stage.kind == "generator" for stage in plan.stages) == 2


def test_all_keeps_given_settings(registry: Registry) -> None:
    plan = plan_of(registry, explainer=["all", "gvr:steps=3"])
    (combination,) = plan.combinations
    assert set(combination.explanations) == set(registry.names("explainer")) - {"captum"}
    assert combination.explanations["gvr"].settings["steps"] == 3


def test_data_set_brings_its_head(registry: Registry) -> None:
    plan = plan_of(registry, dataset="phantom:task=findings,train=64,test=32", head=[])
    assert [c.head for c in plan.combinations] == ["residual"]


def test_missing_data_is_said_while_planning(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent"):
        plan_of(registry, {"data_root": str(tmp_path / "absent")}, dataset="chestxray8")


def test_broken_explainer_is_a_row(packages: Packages) -> None:
    packages.explainer("needy", "needs", "pass", needs="('no_such_library',)")
    found = packages.registry()
    (combination,) = plan_of(found, explainer=["all"]).combinations
    assert "needs no_such_library" in combination.explanations["needs"].problem
    assert combination.explanations["saliency"].problem == ""
    with pytest.raises(PluginError, match="needs no_such_library"):
        plan_of(found, explainer=["needs"])


def test_raising_constructor_is_named(packages: Packages) -> None:
    packages.explainer("sick", "sick", "pass\n    def __init__(self, settings): 1 / 0")
    with pytest.raises(PluginError, match="explainer 'sick': ZeroDivisionError"):
        plan_of(packages.registry(), explainer=["sick"])


def test_wrong_setting_is_refused_while_planning(registry: Registry) -> None:
    with pytest.raises(UsageError, match="'linear' has no setting 'step'; did you mean 'steps'"):
        plan_of(registry, head="linear:step=3")


def test_every_stage_field_is_keyed(registry: Registry) -> None:
    stage = next(s for s in plan_of(registry).stages if s.kind == "encoder")
    others = {"kind": "head", "name": "x", "version": "x", "settings": {}, "seed": 9,
              "fingerprint": "x", "inputs": {}}  # fmt: skip
    for field, value in others.items():
        assert dataclasses.replace(stage, **{field: value}).key != stage.key, field
    same = {"component": None, "problem": "x"}
    assert dataclasses.replace(stage, **same).key == stage.key


def test_part_tells_stages_apart() -> None:
    scores = Stage("scores", "gvr", "1", {"group": "truth"})
    assert (scores.part, str(scores)) == ("truth", "scores gvr, truth")
    changed = Stage("perturbed_explanations", "gvr", "1", {"changed": "noise"})
    assert str(changed) == "perturbed_explanations gvr, noise"
    assert str(Stage("explanations", "shap", "1", {"group": 4})) == "explanations shap"
