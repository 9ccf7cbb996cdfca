"""What the model's output loses without each structure, computed once for all explainers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import command, outcomes_of, records_of
from typer.testing import CliRunner

from gvr_bench.cache.hdf5 import read_arrays
from gvr_bench.cli.main import app
from gvr_bench.metrics.intervention import NO_STRUCTURES

INTERVENTION = {"intervention_agreement", "intervention_sign_agreement", "distractor_effect"}


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, **choices: str | list[str]) -> Path:
    monkeypatch.setenv("GVR_BENCH_CACHE", str(folder / "cache"))
    typed = command("--out", str(folder / "run"), metrics=["intervention"], **choices)
    result = CliRunner().invoke(app, typed)
    assert result.exit_code == 0, result.output
    return folder / "run"


def test_effects_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(tmp_path, monkeypatch, explainer=["saliency", "edge"])
    stages = outcomes_of(done)["done"]
    assert stages.count("structure_effects linear") == 1
    (cases,) = (tmp_path / "cache").rglob("cases.h5")
    stored = read_arrays(cases)
    (effects,) = (tmp_path / "cache").rglob("structure_effects.h5")
    effect = read_arrays(effects)["effect"]
    present = stored["structure_present"]
    assert present.shape == effect.shape == stored["structure_name"].shape
    assert present.sum() >= 8
    np.testing.assert_array_equal(np.isnan(effect), ~present)
    assert (np.abs(effect[present]) > 0).all()
    assert stored["structure_removed"].shape == (4, effect.shape[1], 1, 32, 32)
    assert not stored["structure_removed"][~present].any()


def test_data_without_structures_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(tmp_path, monkeypatch, dataset="digits:size=16")
    rows = {r["metric"]: r for r in records_of(done) if r["metric"] in INTERVENTION}
    assert rows.keys() == INTERVENTION
    for row in rows.values():
        assert row["value"] is None
        assert row["status"] == "n/a"
        assert NO_STRUCTURES in row["reason"]
