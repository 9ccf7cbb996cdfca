from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_up_run import record, write_whole_run

from gvr_bench.records import Record
from gvr_bench.report.findings import cautions, headlines
from gvr_bench.report.folder import load
from gvr_bench.report.tables import model_tables, scoreboards
from gvr_bench.values import RunValues, Whose


@pytest.fixture
def told(make_run: Callable[..., Path]) -> Callable[[list[Record]], list[str]]:
    """What a run with these records is warned about, its stages aside."""

    def lines(records: list[Record]) -> list[str]:
        run = load(make_run(records=records, n=1, size=8))
        found = cautions(run, model_tables([run]), scoreboards([run]))
        return [line for line in found if not line.startswith("explainer lime failed")]

    return lines


def auroc(low: float, high: float) -> Record:
    return record(explainer=None, metric="auroc", value=(low + high) / 2, low=low, high=high)


@pytest.mark.parametrize(
    ("low", "high", "warned"), [(0.45, 0.7, True), (0.5, 0.7, True), (0.51, 0.7, False)]
)
def test_a_model_near_chance_is_called_that(
    told: Callable[..., list[str]], low: float, high: float, warned: bool
) -> None:
    lines = told([auroc(low, high)])
    assert [line.startswith("The AUROC of all, ") for line in lines] == [True] * warned


def test_an_explainer_is_held_against_the_best_control(told: Callable[..., list[str]]) -> None:
    scores = {"clear": (0.7, 0.8), "level": (0.35, 0.6), "edge": (0.3, 0.5), "random": (0.1, 0.2)}
    lines = told(
        [
            record(explainer=name, value=(low + high) / 2, low=low, high=high)
            for name, (low, high) in scores.items()
        ]
    )
    assert lines == ["level does not clearly beat the controls on pixel AP."]


def test_scores_on_which_the_same_explainers_fail_are_told_in_one_line(ranked: Path) -> None:
    """By the paired test where values are known: intervals alone would say more than they can."""
    run = load(ranked)
    weak = "integrated-gradients, lime, cam do not clearly beat the controls on"
    assert [line for line in cautions(run, [], scoreboards([run])) if "beat" in line] == [
        f"{weak} pixel AP, true-change correlation.",
        "gvr, latent-shift, gifsplanation, counterfactual-cam and 5 more do not clearly beat the "
        "controls on rank accuracy.",
    ]


def test_a_small_gain_in_every_image_beats_a_control_whose_interval_it_shares(
    tmp_path: Path,
) -> None:
    records = [record(explainer=name, value=0.5, low=0.1, high=0.9) for name in ("gvr", "edge")]
    noise = np.random.default_rng(0).uniform(0, 1, 100)
    values = {
        (Whose("phantom", "wgan_gp", "conv", "linear", 0, name), "pixel_ap"): noise + gain
        for name, gain in (("gvr", 0.01), ("edge", 0.0))
    }
    board = (records, RunValues(values), {"asked": {}, "protocols": {}})
    run = load(write_whole_run(tmp_path / "run", board))
    assert not [line for line in cautions(run, [], scoreboards([run])) if "beat" in line]


def test_a_run_without_controls_is_told_so(told: Callable[..., list[str]]) -> None:
    assert told([record()]) == ["No control explainer was run, so there is nothing to beat."]


@pytest.mark.parametrize(("high", "warned"), [(0.4, True), (0.95, False)])
def test_a_latent_that_flips_without_its_image_is_called_that(
    told: Callable[..., list[str]], high: float, warned: bool
) -> None:
    lines = told(
        [
            record(metric="validity", value=0.96, low=0.9, high=1.0),
            record(metric="reencoded_validity", value=0.3, low=0.2, high=high),
            record(explainer="edge", metric="other", value=0.3),
        ]
    )
    assert (
        lines
        == [
            "gvr flips 96% of latents but only 30% of the decoded images. "
            "It may move the latent where the picture does not follow."
        ]
        * warned
    )


def test_the_headlines_are_the_model_then_ground_truth_then_the_rest(run: Path) -> None:
    loaded = load(run)
    found = headlines(model_tables([loaded]), scoreboards([loaded]))
    assert [(item.title, item.value, item.about) for item in found] == [
        ("AUROC", "0.962", "the model"),
        ("pixel AP", "0.884", "gvr"),
        ("true-change correlation", "0.921", "gvr"),
        ("re-encoded validity", "0.910", "gvr"),
        ("validity", "0.970", "gvr"),
    ]


def test_the_headlines_are_of_several_groups_where_one_has_many_scores(ranked: Path) -> None:
    run = load(ranked)
    assert [item.title for item in headlines([], scoreboards([run]))] == [
        "pixel AP", "true-change correlation", "oracle validity", "re-encoded validity",
        "rationale L1",
    ]  # fmt: skip
