"""Sanity and robustness explain a sample of the cases again."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from tiny import command, records_of

from gvr_bench.config.spec import build_spec
from gvr_bench.metrics.cascade import DEPTHS
from gvr_bench.pipeline.plan import make_plan
from gvr_bench.pipeline.steps.perturbed_explanations import tell_no_change
from gvr_bench.registry.registry import Registry


def maps(cache: Path, kind: str) -> dict[str, np.ndarray]:
    """Return maps of the explainer, by what was changed."""
    folders = [path.parent for path in cache.rglob("meta.json") if path.parent.parent.name == kind]
    settings = [json.loads((f / "meta.json").read_text())["settings"] for f in folders]
    return {
        of.get("changed", ""): h5py.File(folder / f"{kind}.h5")["attribution"][:]
        for of, folder in zip(settings, folders, strict=True)
    }


def test_costly_explainers_get_a_smaller_sample(registry: Registry) -> None:
    choices = {"dataset": ["digits"], "explainer": ["gvr", "saliency"], "generator": ["vae"]}
    for flags, expected in (
        ({}, {"gvr": 10, "saliency": 20}),
        ({"perturbed_cases": 5}, {"gvr": 5, "saliency": 5}),
        ({"perturbed_costly_cases": 40}, {"gvr": 20, "saliency": 20}),
    ):
        plan = make_plan(build_spec(None, {**flags, "controls": False}, choices), registry)
        again = [s for s in plan.stages if s.kind == "perturbed_explanations"]
        assert {stage.name: stage.settings["cases"] for stage in again} == expected


def test_some_predicted_cases_are_explained_again(cli, tmp_path: Path) -> None:
    Path("spec.toml").write_text("perturbed_cases = 2\n")
    for cache, spec in (("all", []), ("some", ["spec.toml"])):
        typed = command(*spec, "--out", cache + "-run", "--cache-dir", tmp_path / cache,
                        "--max-cases", 12, metrics=["sanity", "cascade", "robustness"])  # fmt: skip
        assert cli(*typed).code == 0
    complete, sample = (maps(tmp_path / c, "perturbed_explanations") for c in ("all", "some"))
    assert set(sample) == {
        "randomised_head", "randomised_encoder", "randomised_generator", "perturbed", *DEPTHS,
    }  # fmt: skip
    with h5py.File("all-run/cases.h5") as file:
        predicted = np.flatnonzero(file["0/predicts_source"][:])
    assert 2 < len(predicted) < 12
    chosen = predicted[[0, len(predicted) // 2]]
    for changed, rows in sample.items():
        known = ~np.isnan(rows).reshape(len(rows), -1).any(1)
        assert np.flatnonzero(known).tolist() == chosen.tolist()
        np.testing.assert_allclose(rows[known], complete[changed][known], rtol=1e-4, atol=1e-7)
        is_known = ~np.isnan(complete[changed]).reshape(len(rows), -1).any(1)
        assert np.flatnonzero(is_known).tolist() == predicted.tolist()
    assert sample["randomised_head"][chosen[0]].any()  # though the linear head starts from zeros
    rows = [row for row in records_of(Path("some-run")) if row["metric"] == "max_sensitivity"]
    assert [row["n"] for row in rows if row["explainer"] == "saliency"] in ([0], [1], [2])


@pytest.mark.parametrize(
    ("before", "change", "expected"),
    [
        ([1.0, 2.0], [0.0, 0.0], True),
        ([1.0, 2.0], [1e-5, 0.0], True),
        ([1.0, 2.0], [0.0, 0.1], False),
        ([0.0, 2.0], [0.0, 0.0], False),  # a search that fails either way tells nothing
    ],
)
def test_change_of_maps(before: list[float], change: list[float], expected: bool) -> None:
    maps = np.ones((2, 4, 4), np.float32) * np.float32(before)[:, None, None]
    after = maps + np.float32(change)[:, None, None]
    assert tell_no_change(maps, after) is expected
