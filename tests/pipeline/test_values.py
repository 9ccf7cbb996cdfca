from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import h5py
import numpy as np
import pytest

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.hdf5 import write_arrays
from gvr_bench.cache.serialization import write_json
from gvr_bench.config.metric_choice import MetricChoice
from gvr_bench.core.errors import CacheError
from gvr_bench.core.stage import Stage
from gvr_bench.metrics import GROUPS, ground_truth, validity
from gvr_bench.metrics.base import versions
from gvr_bench.pipeline.collect import Outcome, Results, collect, facts
from gvr_bench.pipeline.plan import Combination, Plan
from gvr_bench.results.case_scores import (
    EXPLANATIONS,
    RunValues,
    Whose,
    read_values,
    write_values,
)
from gvr_bench.results.records import read_protocols, write_protocols

METRICS = {"truth": ("pixel_ap", "iou_otsu"), "validity": ("optimizer_steps",)}
GVR = "gvr:objective=logit/clean"  # a label with the sign that nests groups


def combination(seed: int = 0, steps: int = 300, max_cases: int = 4) -> Combination:
    """A model with one explainer, scored in two groups."""
    data = Stage("data", "phantom", "1", {"size": 32}, fingerprint="abc")
    asked = {"max_cases": max_cases, "case_settings": {"findings": ["BNP"], "cut": 0.5}}
    cases = Stage("cases", "phantom", "1", asked, {"data": data})
    generator = Stage("generator", "wgan-gp", "1", {}, {"images": data}, seed)
    encoder = Stage("encoder", "conv", "1", {}, {"generator": generator, "images": data}, seed)
    latents = Stage("latents", "conv", "1", {}, {"data": data, "encoder": encoder}, seed)
    head = Stage("head", "linear", "1", {}, {"latents": latents}, seed)
    made = Stage("explanations", "gvr", "1", {"steps": steps}, {"head": head, "cases": cases}, seed)
    inputs = {"explanations": made, "cases": cases}
    scores = {
        group.name: Stage(
            "scores", "gvr", "1", {"group": group.name, "metrics": versions(group.metrics)}, inputs
        )
        for group in (ground_truth.GROUP, validity.GROUP)
    }
    judging = (Stage("prediction", "linear", "1", {}, {"head": head}),)
    return Combination(
        "phantom", "wgan-gp", "conv", "linear", seed, cases, latents, head, judging,
        {GVR: made}, {GVR: scores},
    )  # fmt: skip


EVERY = MetricChoice(frozenset(group.name for group in GROUPS), frozenset(), ())


def plan_of(*combinations: Combination) -> Plan:
    stages = {
        stage.key: stage
        for c in combinations
        for stage in (c.cases, *c.judging, *c.explanations.values(), *c.scores[GVR].values())
    }
    return Plan(cast(Any, SimpleNamespace()), combinations, tuple(stages.values()), EVERY)


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path / "cache")


def collected(cache: ArtifactCache, plan: Plan, failed: str = "") -> Results:
    """What is collected after two groups were scored, one of which may have failed."""
    outcomes = {}
    for stage in plan.stages:
        ended = "failed" if stage.settings.get("group") == failed else "done"
        outcomes[stage.key] = Outcome(cast(Any, ended), 0.0)
        if stage.kind == "prediction":
            score = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 4}
            rows = [{"metric": "auroc", "output": "BNP", "score": score}]
            write_json(cache.folder(stage) / "scores.json", rows)
        if stage.kind == "scores":
            names = METRICS[stage.settings["group"]]
            values = np.array([0.25, np.nan, 1.0, len(stage.key) / 7])
            write_arrays(cache.folder(stage) / "values.h5", dict.fromkeys(names, values))
            rows = [{"metric": name, "output": "all", "value": 0.5, "n": 4} for name in names]
            write_json(cache.folder(stage) / "scores.json", rows)
    return collect(plan, cache, outcomes, "cpu")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "values.h5").write_bytes(b"not HDF5")
    (tmp_path / "protocols.json").write_text('{"protocols": [1]}')
    with pytest.raises(CacheError, match=r"cannot read .*values\.h5"):
        read_values(tmp_path / "values.h5")
    with pytest.raises(CacheError, match=r"protocols\.json: it is not a list of protocols"):
        read_protocols(tmp_path / "protocols.json")


def test_unequal_numbers_of_cases_are_damage(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "values.h5", "w") as file:
        part = file.create_group("0/gvr")
        file["0"].attrs.update(dataset="d", generator="g", encoder="e", head="h", seed=0)
        part["metrics"], part["values"] = ["a", "b"], np.zeros((3, 4))
    with pytest.raises(CacheError, match=r"cannot read .*values\.h5"):
        read_values(tmp_path / "values.h5")


def test_values_belong_to_explainer_and_metric(tmp_path: Path, cache: ArtifactCache) -> None:
    write_values(tmp_path / "values.h5", collected(cache, plan_of(combination())).values)
    values = read_values(tmp_path / "values.h5").values
    whose = Whose("phantom", "wgan-gp", "conv", "linear", 0, GVR)
    assert set(values) == {(whose, name) for names in METRICS.values() for name in names}
    np.testing.assert_array_equal(
        values[whose, "optimizer_steps"], np.array([0.25, np.nan, 1, 64 / 7], np.float32)
    )


def test_a_failed_group_leaves_the_others(cache: ArtifactCache) -> None:
    results = collected(cache, plan_of(combination()), failed="truth")
    assert {metric for _, metric in results.values.values} == {"optimizer_steps"}
    failed = {r.metric for r in results.records if r.status == "failed"}
    assert failed == {metric.name for metric in ground_truth.GROUP.metrics}


def test_inapplicable_model_has_no_failed_scores(cache: ArtifactCache) -> None:
    plan = plan_of(combination())
    outcome = Outcome("skipped", 0.0, "needs colour", not_applicable=True)
    records = collect(plan, cache, {stage.key: outcome for stage in plan.stages}, "cpu").records
    assert {record.explainer for record in records} == {None, GVR}
    assert {(r.status, r.value, r.reason) for r in records} == {("n/a", None, "needs colour")}


def test_seeds_share_their_recipes(cache: ArtifactCache) -> None:
    values = collected(cache, plan_of(combination(0), combination(1))).values
    assert {whose.seed for whose, _ in values.values} == {0, 1}
    for group in (EXPLANATIONS, "truth", "validity"):
        assert len({r for (_, name), r in values.recipes.items() if name == group}) == 1
    assert len({r for (w, _), r in values.recipes.items() if w.explainer is None}) == 1


@pytest.mark.parametrize("changed", [{"steps": 301}, {"max_cases": 5}])
def test_another_setting_is_another_recipe(changed: dict[str, int]) -> None:
    ours, theirs = combination(), combination(**changed)
    assert ours.explanations[GVR].recipe != theirs.explanations[GVR].recipe
    assert ours.judging[0].recipe == theirs.judging[0].recipe


def test_values_of_many_cases_stay_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = {
        (Whose("d", "g", "e", "h", 0, f"e{i}"), f"m{j}"): rng.normal(size=1000)
        for i in range(4)
        for j in range(20)
    }
    write_values(tmp_path / "values.h5", RunValues(values))
    assert (tmp_path / "values.h5").stat().st_size < 6 * 80 * 1000


def test_protocols_say_what_is_compared(tmp_path: Path, cache: ArtifactCache) -> None:
    results = collected(cache, plan_of(combination()))
    write_protocols(tmp_path / "protocols.json", results.protocols)
    protocols = read_protocols(tmp_path / "protocols.json")
    by_metric = {record.metric: protocols[record.protocol] for record in results.records}
    dataset = {
        "dataset": "phantom", "dataset.version": "1", "dataset.size": 32,
        "dataset.fingerprint": "abc",
    }  # fmt: skip
    assert by_metric["auroc"] == dataset
    assert by_metric["pixel_ap"] == dataset | {
        "max_cases": 4, "case_settings.findings": '["BNP"]', "case_settings.cut": 0.5,
    }  # fmt: skip


def test_protocols_differ_in_their_cases() -> None:
    ours, theirs = facts(combination().cases), facts(combination(max_cases=9).cases)
    assert {name for name in ours if ours[name] != theirs[name]} == {"max_cases"}
