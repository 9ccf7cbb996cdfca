from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import h5py
import numpy as np
import pytest

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.hdf5 import write_arrays
from gvr_bench.core.errors import CacheError
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.case_scores import (
    EXPLANATIONS,
    RunValues,
    Whose,
    facts,
    read_protocols,
    read_values,
    save_values,
    write_protocols,
    write_values,
)
from gvr_bench.pipeline.collect import Outcome, protocol
from gvr_bench.pipeline.plan import Combination, Plan
from gvr_bench.results.records import Record

GVR = "gvr:objective=logit/clean"  # a label with the sign that nests groups


def combination(seed: int = 0, steps: int = 300, max_cases: int = 4) -> Combination:
    """A model with one explainer, scored in two groups."""
    data = Stage("data", "phantom", "1", {"size": 32}, fingerprint="abc")
    asked = {"max_cases": max_cases, "case_settings": {"findings": ["BNP"], "cut": 0.5}}
    cases = Stage("cases", "phantom", "1", asked, {"data": data})
    generator = Stage("generator", "wgan-gp", "1", {}, {"images": data}, seed)
    encoder = Stage("encoder", "conv", "1", {}, {"generator": generator, "images": data}, seed)
    head = Stage("head", "linear", "1", {}, {"encoder": encoder}, seed)
    made = Stage("explanations", "gvr", "1", {"steps": steps}, {"head": head, "cases": cases}, seed)
    inputs = {"explanations": made, "cases": cases}
    scores = {
        group: Stage("scores", "gvr", "1", {"group": group}, inputs)
        for group in ("truth", "validity")
    }
    judging = (Stage("prediction", "linear", "1", {}, {"head": head}),)
    return Combination(
        "phantom", "wgan-gp", "conv", "linear", seed, cases, generator, encoder, head, judging,
        {GVR: made}, {GVR: scores},
    )  # fmt: skip


def plan_of(*combinations: Combination) -> Plan:
    stages = {
        stage.key: stage
        for c in combinations
        for stage in (c.cases, *c.judging, *c.explanations.values(), *c.scores[GVR].values())
    }
    return Plan(cast(Any, SimpleNamespace()), combinations, tuple(stages.values()))


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path / "cache")


def written(tmp_path: Path, cache: ArtifactCache, plan: Plan, failed: str = "") -> RunValues:
    """What a run folder keeps after two groups were scored, one of them perhaps in vain."""
    outcomes = {}
    for stage in plan.stages:
        ended = "failed" if stage.settings.get("group") == failed else "done"
        outcomes[stage.key] = Outcome(cast(Any, ended), 0.0)
        if stage.kind == "scores":
            names = {"truth": ("pixel_ap", "iou_otsu"), "validity": ("steps",)}
            values = np.array([0.25, np.nan, 1.0, len(stage.key) / 7])
            arrays = dict.fromkeys(names[stage.settings["group"]], values)
            write_arrays(cache.folder(stage) / "values.h5", arrays)
    write_values(tmp_path / "values.h5", plan, cache, outcomes)
    return read_values(tmp_path / "values.h5")


def record(stage: Stage, **changes: Any) -> Record:
    about = {"metric": "pixel_ap", "metric_version": "2", "output": "all"} | changes
    made = protocol(stage, about["metric"], about["metric_version"], about["output"])
    return Record(
        dataset="phantom", generator="wgan-gp", encoder="conv", head="linear", explainer=GVR,
        better="up", value=0.5, low=0.4, high=0.6, n=4, seed=0, seconds=1.0, device="cpu",
        protocol=made, keys=(), **about,
    )  # fmt: skip


def test_a_damaged_file_is_one_line_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "values.h5").write_bytes(b"not HDF5")
    (tmp_path / "protocols.json").write_text('{"protocols": [1]}')
    with pytest.raises(CacheError, match=r"cannot read .*values\.h5"):
        read_values(tmp_path / "values.h5")
    with pytest.raises(CacheError, match=r"protocols\.json: it is not a list of protocols"):
        read_protocols(tmp_path / "protocols.json")


def test_values_of_an_unlike_number_of_cases_are_one_line(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "values.h5", "w") as file:
        part = file.create_group("0/gvr")
        file["0"].attrs.update(dataset="d", generator="g", encoder="e", head="h", seed=0)
        part["metrics"], part["values"] = ["a", "b"], np.zeros((3, 4))
    with pytest.raises(CacheError, match=r"cannot read .*values\.h5"):
        read_values(tmp_path / "values.h5")


def test_each_value_comes_back_under_its_explainer_and_metric(
    tmp_path: Path, cache: ArtifactCache
) -> None:
    found = written(tmp_path, cache, plan_of(combination()))
    whose = Whose("phantom", "wgan-gp", "conv", "linear", 0, GVR)
    assert set(found.values) == {(whose, name) for name in ("pixel_ap", "iou_otsu", "steps")}
    np.testing.assert_array_equal(
        found.values[whose, "steps"], np.array([0.25, np.nan, 1, 64 / 7], np.float32)
    )


def test_a_group_that_failed_leaves_the_values_of_the_others(
    tmp_path: Path, cache: ArtifactCache
) -> None:
    found = written(tmp_path, cache, plan_of(combination()), failed="truth")
    assert {metric for _, metric in found.values} == {"steps"}


def test_seeds_are_kept_apart_and_share_their_recipes(tmp_path: Path, cache: ArtifactCache) -> None:
    found = written(tmp_path, cache, plan_of(combination(0), combination(1)))
    assert {whose.seed for whose, _ in found.values} == {0, 1}
    for group in (EXPLANATIONS, "truth", "validity"):
        assert len({r for (_, name), r in found.recipes.items() if name == group}) == 1
    models = {r for (w, name), r in found.recipes.items() if w.explainer is None}
    assert len(models) == 1


@pytest.mark.parametrize("changed", [{"steps": 301}, {"max_cases": 5}])
def test_any_other_setting_is_another_recipe(changed: dict[str, int]) -> None:
    ours, theirs = combination(), combination(**changed)
    assert ours.explanations[GVR].recipe != theirs.explanations[GVR].recipe
    assert ours.judging[0].recipe == theirs.judging[0].recipe


def test_a_scoreboard_of_a_thousand_cases_takes_less_than_two_bytes_more_than_its_numbers(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    values = {
        (Whose("d", "g", "e", "h", 0, f"e{i}"), f"m{j}"): rng.normal(size=1000)
        for i in range(4)
        for j in range(20)
    }
    save_values(tmp_path / "values.h5", RunValues(values))
    assert (tmp_path / "values.h5").stat().st_size < 6 * 80 * 1000


def test_a_protocol_says_what_it_consists_of(tmp_path: Path) -> None:
    c = combination()
    of_cases, of_model = record(c.cases), record(c.data, metric="auroc", output="BNP")
    write_protocols(tmp_path / "protocols.json", plan_of(c), [of_cases, of_model, of_cases])
    found = read_protocols(tmp_path / "protocols.json")
    dataset = {"dataset": "phantom", "dataset.version": "1", "dataset.size": 32}
    assert found[of_cases.protocol] == dataset | {
        "dataset.fingerprint": "abc", "max_cases": 4, "case_settings.findings": '["BNP"]', "case_settings.cut": 0.5,
        "metric": "pixel_ap", "metric version": "2", "output": "all",
    }  # fmt: skip
    assert found[of_model.protocol] == dataset | {
        "dataset.fingerprint": "abc", "metric": "auroc", "metric version": "2", "output": "BNP",
    }  # fmt: skip


def test_two_protocols_differ_in_what_was_asked(tmp_path: Path) -> None:
    ours, theirs = facts(combination().cases), facts(combination(max_cases=9).cases)
    assert {name for name in ours if ours[name] != theirs[name]} == {"max_cases"}


def test_a_protocol_of_nothing_in_the_plan_still_says_what_is_scored(tmp_path: Path) -> None:
    c = combination()
    strange = dataclasses.replace(record(c.cases), protocol="0123")
    write_protocols(tmp_path / "protocols.json", plan_of(c), [strange])
    assert read_protocols(tmp_path / "protocols.json") == {
        "0123": {"metric": "pixel_ap", "metric version": "2", "output": "all"}
    }
    assert json.loads((tmp_path / "protocols.json").read_text())["asked"]
