from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_run import missing, record, write_whole_run

from gvr_bench.report.cases.reading import Curve, read_cases
from gvr_bench.report.folder import load
from gvr_bench.report.scores.cautions import cautions
from gvr_bench.report.scores.tables import model_tables, scoreboards
from gvr_bench.results.case_scores import RunValues, Whose
from gvr_bench.results.records import Record

Told = Callable[[list[Record]], list[str]]


@pytest.fixture
def told(make_run: Callable[..., Path]) -> Told:
    """What a run with these records is warned about, its stages aside."""

    def lines(records: list[Record]) -> list[str]:
        run = load(make_run(records=records, n=1, size=8))
        found = cautions(run, model_tables([run]), scoreboards([run]))
        return [line for line in found if not line.startswith("explainer lime failed")]

    return lines


def area(low: float, high: float, metric: str = "auroc") -> Record:
    middle = (low + high) / 2
    return record(explainer=None, metric=metric, value=middle, low=low, high=high)


@pytest.mark.parametrize(
    ("low", "high", "warning"),
    [
        (0.45, 0.7, "includes chance (0.5): what is explained may be noise."),
        (0.5, 0.7, "includes chance (0.5): what is explained may be noise."),
        (0.2, 0.4, "is below chance (0.5): the model has it the wrong way round."),
        (0.6, 0.7, "is poor (below 0.7): an explanation of it explains little."),
        (0.75, 0.85, ""),
    ],
)
def test_a_model_near_chance_is_called_that(
    told: Told, low: float, high: float, warning: str
) -> None:
    line = f"The AUROC of all, {low:.2f} to {high:.2f}, {warning}"
    assert told([area(low, high)]) == ([line] if warning else [])


@pytest.mark.parametrize(
    ("low", "high", "warning"),
    [
        (0.7, 0.78, "is weak (below 0.8): what convinces it proves little."),
        (0.82, 0.88, "is below the model's own, 0.90 to 0.94: it judges what knows more than it "
                     "does."),
        (0.82, 0.91, ""),
    ],
)  # fmt: skip
def test_a_weak_oracle_is_called_that(told: Told, low: float, high: float, warning: str) -> None:
    line = f"The oracle's AUROC of all, {low:.2f} to {high:.2f}, {warning}"
    found = told([area(0.9, 0.94), area(low, high, "oracle_auroc")])
    assert found == ([line] if warning else [])


@pytest.mark.parametrize(("value", "warned"), [(0.55, True), (0.7, False)])
def test_a_poor_reconstruction_is_called_that(told: Told, value: float, warned: bool) -> None:
    lines = told([area(value, value, "reconstruction_ssim")])
    assert [line.split(",")[0] for line in lines] == (
        ["Reconstructions are poor (SSIM 0.55 to 0.55"] if warned else []
    )


@pytest.mark.parametrize(("drift", "warned"), [(0.25, True), (0.2, False)])
def test_a_decoder_under_which_images_drift_is_called_under_trained(
    told: Told, drift: float, warned: bool
) -> None:
    line = (
        "Encoded and decoded ten times, images end 2.5 times as far off as after one: the decoder "
        "may be under-trained."
    )
    found = told([area(0.1, 0.1, "reconstruction_l1"), area(drift, drift, "composition_10")])
    assert found == ([line] if warned else [])


def falling(values: Sequence[float] | np.ndarray) -> Curve:
    return Curve("encoder", "mse", np.arange(len(values)) * 10.0, np.asarray(values))


NOISE = np.random.default_rng(0).normal(0, 1, 200)


@pytest.mark.parametrize(
    ("curve", "warned"),
    [
        (falling(np.exp(-np.arange(200) / 50)), True),
        (falling(1 + 0.01 * NOISE), False),  # settled
        (falling(1 + np.abs(5 * NOISE)), False),  # by chance alone
        (falling(-np.arange(200.0)), False),  # no distance from a perfect fit
        (falling([3.0, 1.0]), False),  # too short to tell
        (falling([np.nan] * 200), False),
    ],
)
def test_a_loss_that_still_falls_when_training_ends_is_told_once(
    run: Path, curve: Curve, warned: bool
) -> None:
    two = [replace(c, curves=(curve,)) for c in read_cases(run, 3) * 2]
    lines = [line for line in cautions(load(run), [], [], two) if "still fell" in line]
    assert [line.split(" within")[0] for line in lines] == (
        ["The mse of the encoder still fell by 33%"] if warned else []
    )


@pytest.mark.parametrize(
    ("n", "warning"),
    [
        (1, "1 case per score: too few for the ranks to tell any two of 3 explainers apart."),
        (6, "6 cases per score: too few for the ranks to tell any two of 3 explainers apart."),
        (7, "7 cases per score: a share of them is known to within 37 points at best."),
        (29, "29 cases per score: a share of them is known to within 18 points at best."),
        (30, ""),
    ],
)
def test_few_cases_are_told_with_what_they_cannot_show(told: Told, n: int, warning: str) -> None:
    strong = [record(explainer=name, n=n, value=0.9, low=0.8, high=1.0) for name in ("a", "b")]
    edge = record(explainer="edge", n=n, value=0.1, low=0.0, high=0.2)
    assert told([*strong, edge]) == ([f"Only {warning}"] if warning else [])


@pytest.mark.parametrize(("share", "warned"), [(0.3, True), (0.2, False)])
def test_findings_that_the_reconstruction_has_lost_are_told(
    told: Told, share: float, warned: bool
) -> None:
    base = record(metric="oracle_base_rate", better="-", value=share, low=share, high=share)
    lines = told([base, record(explainer="edge", metric="other", value=0.3)])
    assert [line.split(" in the")[0] for line in lines] == (
        ["The oracle no longer sees 30% of the findings"] if warned else []
    )


def test_scores_that_failed_are_told_unless_a_stage_has_said_so(told: Told) -> None:
    """That the explainer lime failed is among the stages already."""
    failed = [missing("failed", "out of memory", explainer=name) for name in ("gvr", "cam", "lime")]
    edge = record(explainer="edge", metric="other", value=0.3)
    assert told([*failed, edge]) == ["Scores of cam, gvr failed: out of memory"]


def test_an_explainer_is_held_against_the_best_control(told: Told) -> None:
    scores = {"clear": (0.7, 0.8), "level": (0.35, 0.6), "edge": (0.3, 0.5), "random": (0.1, 0.2)}
    lines = told(
        [
            record(explainer=name, value=(low + high) / 2, low=low, high=high)
            for name, (low, high) in scores.items()
        ]
    )
    assert lines == ["level does not clearly beat the controls on any score against ground truth."]


def test_the_paired_test_decides_where_values_are_known(ranked: Path) -> None:
    """Intervals alone would say more than they can."""
    run = load(ranked)
    assert [line for line in cautions(run, [], scoreboards([run])) if "beat" in line] == [
        "integrated-gradients, lime, cam do not clearly beat the controls on any score against "
        "ground truth."
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
    board = (records, RunValues(values), {"stages": {}, "protocols": {}})
    run = load(write_whole_run(tmp_path / "run", board))
    assert not [line for line in cautions(run, [], scoreboards([run])) if "beat" in line]


def test_a_run_without_controls_is_told_so(told: Told) -> None:
    assert told([record()]) == ["No control explainer was run, so there is nothing to beat."]


@pytest.mark.parametrize(("high", "warned"), [(0.4, True), (0.95, False)])
def test_a_latent_that_flips_without_its_image_is_called_that(
    told: Told, high: float, warned: bool
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


@pytest.mark.parametrize(
    ("metric", "line"),
    [
        ("validity", "gvr flips the model in only 26% of the cases: most of what it shows is no "
         "counterfactual."),
        ("oracle_validity", "gvr convinces the oracle in only 26% of the cases: it seldom changes "
         "what a judge looks at."),
    ],
)  # fmt: skip
def test_an_explainer_that_seldom_succeeds_is_called_that(
    told: Told, metric: str, line: str
) -> None:
    assert line in told([record(metric=metric, value=0.26)])
    assert line not in told([record(metric=metric, value=0.6)])


def test_what_models_share_with_their_decoder_is_told_once(told: Told) -> None:
    def drifting(head: str, ratio: float) -> list[Record]:
        model = {"explainer": None, "head": head, "better": "down"}
        return [
            record(metric="reconstruction_l1", value=0.1, **model),
            record(metric="composition_10", value=0.1 * ratio, **model),
        ]

    (line,) = told([*drifting("linear", 3), *drifting("mlp", 3)])
    assert line.startswith("Encoded and decoded ten times")
    (line,) = told([*drifting("linear", 3), *drifting("mlp", 1)])
    assert line.startswith("wgan_gp · conv · linear: Encoded")
