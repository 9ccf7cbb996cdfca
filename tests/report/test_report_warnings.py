from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_run import missing, record

from gvr_bench.report.cases.cases_file import Curve, read_cases
from gvr_bench.report.data import load_report
from gvr_bench.report.warnings import warnings
from gvr_bench.results.records import Record

Warnings = Callable[[list[Record]], list[str]]


@pytest.fixture
def warned(make_run: Callable[..., Path]) -> Warnings:
    """The warnings of a run with these records, without those of its stages and curves."""

    def lines(records: list[Record]) -> list[str]:
        data = load_report([make_run(records=records, n=1, size=8)])
        results = warnings(data.runs, data.models, data.boards)
        return [line for line in results if not line.startswith("explainer lime failed")]

    return lines


def scored(metric: str, **values: float) -> list[Record]:
    """Each explainer's value, known to within 0.05."""
    better = "down" if metric == "deletion_auc" else "up"
    return [
        record(explainer=name, metric=metric, better=better, value=value, low=value - 0.05,
               high=value + 0.05)
        for name, value in values.items()
    ]  # fmt: skip


def area(low: float, high: float, metric: str = "auroc") -> Record:
    middle = (low + high) / 2
    return record(explainer=None, metric=metric, value=middle, low=low, high=high)


@pytest.mark.parametrize(
    ("metric", "low", "high", "limit"),
    [
        ("auroc", 0.45, 0.7, 0.7), ("auroc", 0.75, 0.85, None),
        ("oracle_auroc", 0.7, 0.78, 0.8), ("oracle_auroc", 0.82, 0.88, None),
        ("reconstruction_ssim", 0.55, 0.56, 0.7), ("reconstruction_ssim", 0.7, 0.7, None),
        ("decoded_agreement", 0.83, 0.84, 0.9), ("decoded_agreement", 0.9, 0.9, None),
    ],
)  # fmt: skip
def test_low_model_scores_are_warned_about(
    warned: Warnings, metric: str, low: float, high: float, limit: float | None
) -> None:
    lines = warned([area(low, high, metric)])
    assert len(lines) == (limit is not None)
    assert all(f" of all is {low:.2f} to {high:.2f}, below {limit}: " in line for line in lines)


def test_opposite_predictions_are_warned_about(warned: Warnings) -> None:
    (line,) = warned([area(0.0, 0.1)])
    assert "is 0.00 to 0.10, below 0.7: its outputs may be swapped, or stand for " in line


def test_an_oracle_below_its_model(warned: Warnings) -> None:
    (line,) = warned([area(0.9, 0.94), area(0.82, 0.88, "oracle_auroc")])
    assert "0.82 to 0.88, below its AUROC of 0.90 to 0.94" in line


@pytest.mark.parametrize(("drift", "expected"), [(0.25, True), (0.2, False)])
def test_drift_over_encode_decode_rounds(warned: Warnings, drift: float, expected: bool) -> None:
    lines = warned([area(0.1, 0.1, "reconstruction_l1"), area(drift, drift, "composition_10")])
    assert len(lines) == expected
    assert all("of all is 2.5 times that of one round" in line for line in lines)


def test_models_with_one_decoder_share_warnings(warned: Warnings) -> None:
    records = [
        record(explainer=None, head=head, metric="reconstruction_ssim", value=0.5, low=None,
               high=None)
        for head in ("linear", "mlp")
    ]  # fmt: skip
    (line,) = warned(records)
    assert "conv · linear all, wgan_gp · conv · mlp all is 0.50" in line


def test_success_below_half_is_warned_about(warned: Warnings) -> None:
    edge = record(explainer="edge", metric="other", value=0.3)
    for metric in ("validity", "oracle_validity"):
        (line,) = warned([record(metric=metric, value=0.26, low=0.2, high=0.3), edge])
        assert "gvr is 0.20 to 0.30, below 0.5" in line
        assert warned([record(metric=metric, value=0.6), edge]) == []


def test_latents_that_flip_without_images(warned: Warnings) -> None:
    records = [
        record(metric="validity", value=0.96, low=0.9, high=1.0),
        record(metric="reencoded_validity", value=0.3, low=0.2, high=0.4),
        record(explainer="edge", metric="other", value=0.3),
    ]
    (line,) = warned(records)
    assert "gvr is 0.20 to 0.40, below its validity of 0.90 to 1.00" in line
    records[1] = replace(records[1], high=0.95)
    assert warned(records) == []


@pytest.mark.parametrize(
    ("n", "start"),
    [(6, "Only 6 cases: too few to rank 3 explainers"), (7, "Only 7 cases: proportions are "
     "uncertain by up to ±37"), (29, "Only 29 cases: proportions are uncertain by up to ±18"),
     (30, "")],
)  # fmt: skip
def test_few_cases_are_warned_about(warned: Warnings, n: int, start: str) -> None:
    strong = [record(explainer=name, n=n, value=0.9, low=0.8, high=1.0) for name in ("a", "b")]
    lines = warned([*strong, record(explainer="edge", n=n, value=0.1, low=0.0, high=0.2)])
    assert len(lines) == bool(start)
    assert all(line.startswith(start) for line in lines)


@pytest.mark.parametrize(("share", "expected"), [(0.3, True), (0.2, False)])
def test_findings_lost_in_the_reconstruction(
    warned: Warnings, share: float, expected: bool
) -> None:
    base = record(metric="oracle_base_rate", better="-", value=share, low=share, high=share)
    lines = warned([base, record(explainer="edge", metric="other", value=0.3)])
    assert [line[:19] for line in lines] == ["In 30 % of the case"] * expected


def test_failed_scores_unless_the_stage_failed(warned: Warnings) -> None:
    """The failure of lime is listed as a stage already."""
    failed = [missing("failed", "out of memory", explainer=name) for name in ("gvr", "cam", "lime")]
    edge = record(explainer="edge", metric="other", value=0.3)
    assert warned([*failed, edge]) == ["Scores of cam, gvr failed: out of memory"]


def test_caveats_of_verdicts_are_not_repeated(make_run: Callable[..., Path]) -> None:
    records = [area(0.45, 0.7), *scored("pixel_ap", gvr=0.9, edge=0.5)]
    data = load_report([make_run(records=records, n=1, size=8)])
    assert "The model is at chance" in data.verdicts[0].text
    assert not [line for line in data.warnings if "AUROC" in line]
    everything = warnings(data.runs, data.models, data.boards)
    assert [line for line in everything if line.startswith("AUROC of all is 0.45 to 0.70")]


NOISE = np.random.default_rng(0).normal(0, 1, 200)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.exp(-np.arange(200) / 50), True),
        (1 + 0.01 * NOISE, False),  # settled
        (1 + np.abs(5 * NOISE), False),  # by chance alone
        (-np.arange(200.0), False),  # no distance from a perfect fit
        ([3.0, 1.0], False),  # too short
        ([np.nan] * 200, False),
    ],
)
def test_losses_that_still_fall(
    run: Path, values: Sequence[float] | np.ndarray, expected: bool
) -> None:
    curve = Curve("encoder", "mse", np.arange(len(values)) * 10.0, np.asarray(values))
    shared = [replace(c, curves=(curve,)) for c in read_cases(run) * 2]
    lines = warnings([], [], [], shared)
    assert [line[:41] for line in lines] == ["The mse of the encoder fell by 33 % in th"] * expected
