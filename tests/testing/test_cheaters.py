"""Planted cheaters are caught by the scoreboard of a real, if small, model."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
from cheaters import DATASET
from tiny import records_of
from typer.testing import CliRunner

from gvr_bench.cli.main import app
from gvr_bench.metrics import METRICS
from gvr_bench.registry.registry import GROUP, Registry

pytestmark = pytest.mark.slow
Value = Callable[[str, str], float]
TRUTH = [m for m in METRICS if m.group == "truth"]
ALL = ("insider", "edgemap", "adversary", "borrowed", "constant", "nothing", "raises")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all cheaters beside an honest explainer and the controls."""
    folder = tmp_path_factory.mktemp("cheaters")
    points = [*entry_points(group=GROUP), EntryPoint("cheaters", "cheaters", GROUP)]
    names = ["gvr", "saliency", "random", "edge", "intensity", *(f"cheat-{name}" for name in ALL)]
    typed = [f"--explainer={name}" for name in names]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GVR_BENCH_CACHE", str(folder / "cache"))
        patch.setattr("gvr_bench.registry.registry.installed", lambda: Registry(points))
        result = CliRunner().invoke(
            app,
            ["run", "--dataset", DATASET, "--generator", "vae:steps=500", "--encoder",
             "conv:steps=200", "--max-cases", "40", "--device", "cpu", "--out", str(folder / "run"),
             *typed],
        )  # fmt: skip
    assert result.exit_code == 1, result.output  # one of them raises
    return folder / "run"


@pytest.fixture(scope="module")
def value(run: Path) -> Value:
    """The score of an explainer."""
    scores = {
        (r["explainer"], r["metric"]): r["value"]
        for r in records_of(run)
        if r["output"] == "all" and r["explainer"]
    }
    return lambda explainer, metric: scores[explainer, metric]


def test_edge_map_equals_edge_control(value: Value):
    for metric in ("pixel_ap", "pointing_hit", "mass_accuracy", "true_change_correlation"):
        assert value("cheat-edgemap", metric) == pytest.approx(value("edge", metric), abs=1e-5)


def test_adversarial_noise_fails_oracle(value: Value):
    base = value("cheat-nothing", "oracle_validity")
    assert value("cheat-adversary", "validity") >= 0.95
    assert value("cheat-adversary", "oracle_validity") <= base + 0.15
    assert value("gvr", "oracle_validity") > value("cheat-adversary", "oracle_validity") + 0.2


def test_borrowed_image_fails_proximity(value: Value):
    assert value("cheat-borrowed", "validity") == 1
    assert value("cheat-borrowed", "rationale_l1") > 2 * value("gvr", "rationale_l1")
    gap = value("gvr", "true_change_correlation") - 0.2
    assert value("cheat-borrowed", "true_change_correlation") < gap


def test_constant_map_fails_sanity_checks(value: Value):
    for part in ("head", "encoder"):
        assert value("cheat-constant", f"randomised_{part}") == pytest.approx(1)
    assert value("cheat-constant", "max_sensitivity") == 0
    assert value("gvr", "randomised_encoder") < 0.9


@pytest.mark.parametrize("metric", [m for m in TRUTH if m.better != "-"], ids=lambda m: m.name)
def test_insider_leads_ground_truth_metrics(value: Value, metric):
    insider = value("cheat-insider", metric.name)
    others = ["gvr", "saliency", "random", "edge", *(f"cheat-{n}" for n in ALL[1:-1])]
    scores = [value(name, metric.name) for name in others]
    sign = 1 if metric.better == "up" else -1
    assert all(score is None or sign * insider >= sign * score for score in scores)


def test_raising_explainer_is_failed_row(run: Path):
    rows = [r for r in records_of(run) if r["explainer"] == "cheat-raises"]
    assert len({r["metric"] for r in rows}) > 20
    assert {r["status"] for r in rows} == {"failed"}
    assert all("no idea" in r["reason"] for r in rows)
