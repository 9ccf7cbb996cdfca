from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from gvr_bench.core.errors import DataError
from gvr_bench.report.cases.reading import Curve, read_cases
from gvr_bench.report.figure_data import MAX_POINTS, Chart, latent_space, losses
from gvr_bench.report.html import render

Make = Callable[..., Path]


def change(folder: Path, **arrays: np.ndarray) -> Path:
    """Replace arrays of a run, by their path with `__` for `/`."""
    with h5py.File(folder / "cases.h5", "a") as file:
        for name, array in arrays.items():
            path = "0/" + name.replace("__", "/")
            if path in file:
                del file[path]
            file[path] = array
    return folder


def latents_of(folder: Path) -> Chart:
    (combination,) = read_cases(folder)
    chart = latent_space(combination)
    assert chart is not None
    return chart


def test_latents_without_labels_are_damage(make_run: Make) -> None:
    folder = change(make_run(n=1, size=8), space__positive=np.zeros((3, 1), bool))
    with pytest.raises(DataError, match="latents of shape"):
        render(folder)


@pytest.mark.parametrize("value", [np.nan, 1.0], ids=["not finite", "all in one place"])
def test_degenerate_latents_are_not_drawn(make_run: Make, value: float) -> None:
    folder = change(make_run(n=1, size=8), space__points=np.full((150, 2), value, np.float32))
    assert "Latent space" not in render(folder)


def test_old_run_has_no_latents(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        del file["0/space"]
    assert "Latent space" not in render(folder)


def test_latents_are_counted_by_class(make_run: Make) -> None:
    chart = latents_of(make_run(n=6, size=8))
    assert chart.data.shares == pytest.approx((0.41, 0.13))
    assert "54 % of the variance" in chart.note
    assert [(c.name, c.n) for c in chart.data.clusters] == [
        ("without", 75), ("BNP of at least 100 ng/L", 75),
    ]  # fmt: skip


def test_moves_lead_to_counterfactuals(make_run: Make) -> None:
    start, end = np.array([[0, 0], [1, 1]]), np.array([[0, 1], [1, 2]])
    folder = change(
        make_run(n=2, size=8),
        space__start=start.astype(np.float32),
        explainers__gvr__end=end.astype(np.float32),
        explainers__gvr__success=np.array([True, False]),
    )
    (moves,) = latents_of(folder).data.moves
    assert moves.explainer == "gvr"
    assert (moves.start == start).all()
    assert (moves.end == end).all()
    assert moves.success.tolist() == [True, False]


def test_failed_counterfactuals_have_no_move(make_run: Make) -> None:
    end = np.full((3, 2), np.nan, np.float32)
    end[0] = 0
    (moves,) = latents_of(change(make_run(n=3, size=8), explainers__gvr__end=end)).data.moves
    assert moves.end.tolist() == [[0, 0]]


def many_classes(make_run: Make, k: int, images: int = 240) -> Path:
    folder = make_run(records=[], n=2, size=8, kind="multiclass", unit="", threshold=np.nan,
                      outputs=json.dumps([f"class {i}" for i in range(k)]))  # fmt: skip
    label = np.arange(images) % k
    return change(
        folder,
        source_class=np.array([1, 1]), target_class=np.array([0, 0]),
        label=np.ones(2, np.float32), prediction=np.full(2, 0.9, np.float32),
        space__points=np.random.default_rng(0).normal(0, 1, (images, 2)).astype(np.float32),
        space__positive=label[:, None] == np.arange(k),
    )  # fmt: skip


def test_classes_without_cases_are_aside(make_run: Make) -> None:
    clusters = latents_of(many_classes(make_run, 10)).data.clusters
    assert [c.name for c in clusters if not c.aside] == ["class 0", "class 1"]
    assert len({c.style for c in clusters}) == 10


def test_eleventh_class_joins_the_rest(make_run: Make) -> None:
    other, *named = latents_of(many_classes(make_run, 12)).data.clusters
    assert (other.name, other.style, other.n) == ("other classes", "rest", 40)
    assert len(named) == 10


def test_thousands_of_latents_are_thinned(make_run: Make) -> None:
    clusters = latents_of(many_classes(make_run, 2, images=20_000)).data.clusters
    assert sum(len(c.points) for c in clusters) == MAX_POINTS
    assert sum(c.n for c in clusters) == 20_000


def curve(loss: str, *values: float, stage: str = "head") -> Curve:
    return Curve(stage, loss, np.arange(len(values), dtype=float), np.array(values))


def only(*curves: Curve) -> Chart:
    (chart,) = losses(curves)
    return chart


def test_loss_needs_two_finite_values() -> None:
    assert list(losses([curve("loss", 1.0, np.nan, np.inf)])) == []


@pytest.mark.parametrize(
    "other",
    [
        curve("validation_mse", 1, 2),
        curve("validation_loss", 1, 2, stage="encoder"),
        curve("mse", 1, 2),
    ],
    ids=["another loss", "another stage", "no held-out images"],
)
def test_unrelated_losses_stay_apart(other: Curve) -> None:
    charts = list(losses([curve("loss", 3, 4), other]))
    assert [chart.title for chart in charts] == [
        "head: loss",
        f"{other.stage}: {other.loss.replace('_', ' ')}",
    ]
    assert all(chart.data.held_out is None for chart in charts)


@pytest.mark.parametrize("step", [1, -1])
def test_held_out_loss_joins_training(step: int) -> None:
    pair = [curve("loss", 0, np.nan, 2), curve("validation_loss", 1, 4)]
    chart = only(*pair[::step])
    assert [line.tolist() for line in chart.data.training] == [[0, 2], [0, 2]]
    assert [line.tolist() for line in chart.data.held_out] == [[0, 1], [1, 4]]


def test_held_out_loss_may_stand_alone() -> None:
    chart = only(curve("loss", np.nan, np.nan), curve("validation_loss", 1, 2))
    assert chart.title == "head: validation loss"
    assert chart.data.held_out is None


def test_gap_compares_the_last_tenth() -> None:
    training = curve("loss", *[9.0] * 18, 0.130, 0.134)
    held_out = curve("validation_loss", *[1.0] * 18, 0.124, 0.128)
    assert only(training, held_out).caption == "training 0.132, held out 0.126: gap −4.5 %"


@pytest.mark.parametrize(
    ("training", "held_out", "caption"),
    [
        (0.1, 0.15, "training 0.1, held out 0.15: gap +50.0 %"),
        (-2.0, -1.0, "training −2, held out −1: gap +50.0 %"),
        (1.0, 0.9999, "training 1, held out 1: gap 0.0 %"),
        (0.0, 0.2, "training 0, held out 0.2"),
        (np.nan, 0.2, ""),
    ],
    ids=["worse", "negative losses", "alike", "training loss of 0", "training diverged"],
)
def test_gap_of_difficult_losses(training: float, held_out: float, caption: str) -> None:
    pair = curve("loss", 3, 3, training), curve("validation_loss", 3, 3, held_out)
    assert only(*pair).caption == caption
