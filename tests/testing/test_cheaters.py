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
from gvr_bench.report.data import load_report
from gvr_bench.report.tables import Table, beats

pytestmark = pytest.mark.slow
Value = Callable[[str, str], float]
TRUTH = [m for m in METRICS if m.group == "truth"]
ALL = (
    "insider", "edgemap", "adversary", "borrowed", "constant", "nothing", "average", "ownmean",
    "copy", "raises",
)  # fmt: skip
SAME_FOR_ALL = ("cheat-average", "cheat-ownmean", "cheat-constant", "template")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all cheaters beside an honest explainer and the controls."""
    folder = tmp_path_factory.mktemp("cheaters")
    points = [*entry_points(group=GROUP), EntryPoint("cheaters", "cheaters", GROUP)]
    names = ["gvr", "saliency", *(f"cheat-{name}" for name in ALL)]
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


@pytest.fixture(scope="module")
def board(run: Path) -> Table:
    """The scoreboard of the run."""
    (table,) = load_report([run]).boards
    return table


def beats_controls(board: Table, explainer: str, metric: str) -> bool | None:
    """Whether the scoreboard says that an explainer is better than every control."""
    (row,) = [row for row in board.rows if row.names == (explainer,)]
    (index,) = [i for i, column in enumerate(board.columns) if column.metric == metric]
    return beats(board, row, index)


@pytest.mark.skipif(
    "case_identification" not in {metric.name for metric in METRICS},
    reason="no score is particular to each case",
)
@pytest.mark.parametrize("explainer", SAME_FOR_ALL)
def test_same_map_for_all_says_nothing_of_a_case(value: Value, explainer: str):
    assert value(explainer, "case_specific_correlation") == pytest.approx(0, abs=1e-4)
    assert value(explainer, "case_identification") == pytest.approx(0.5, abs=0.05)


def test_template_is_no_better_than_the_control(value: Value, board: Table):
    """Without the control it would lead."""
    assert value("cheat-average", "pixel_ap") > value("gvr", "pixel_ap")
    assert not any(beats_controls(board, "cheat-average", metric.name) for metric in TRUTH)


def test_copied_image_is_no_better_than_the_control(value: Value, board: Table):
    assert value("cheat-copy", "validity") == 1
    assert value("cheat-copy", "oracle_validity") > 0.8
    for metric in ("validity", "oracle_validity", "rationale_l1", "true_change_correlation"):
        assert beats_controls(board, "cheat-copy", metric) is False, metric
    assert value("cheat-copy", "rationale_l1") > 2 * value("gvr", "rationale_l1")


def test_adversarial_noise_is_no_better_than_the_control(board: Table):
    for metric in ("validity", "reencoded_validity", "rationale_l1", "cout"):
        assert beats_controls(board, "cheat-adversary", metric) is False, metric


@pytest.mark.parametrize("name", ["average", "ownmean", "copy", "borrowed"])
def test_no_cheat_beats_controls_on_truth(board: Table, name: str):
    truth = [column.metric for column in board.columns if column.group == "truth"]
    assert not any(beats_controls(board, f"cheat-{name}", metric) for metric in truth)
    assert any(beats_controls(board, "cheat-insider", metric) for metric in truth)


def test_warning_names_the_adversary(run: Path):
    lines = [line for line in load_report([run]).warnings if "do not convince the oracle" in line]
    assert any("cheat-adversary" in line for line in lines)


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
    # Another chest correlates with what disease adds on average, but it differs all over.
    assert value("cheat-borrowed", "true_change_mae") > 1.5 * value("gvr", "true_change_mae")
    correlations = [value(name, "true_change_correlation") for name in ("cheat-borrowed", "gvr")]
    assert correlations == sorted(correlations)


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
