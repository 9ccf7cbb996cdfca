"""RISE, feature ablation and Kernel SHAP against their definitions."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from gvr_explainers import batching
from gvr_explainers.lime import segment_means, superpixels
from gvr_explainers.pieces import FeatureAblation, KernelShap
from gvr_explainers.rise import Rise
from networks_of_images import SIZE, TASK, model_of, pictures
from small_parts import context, frozen
from test_explainers import make_query
from torch import Tensor, nn

import gvr_bench.api as gvr


def explain(kind: type[gvr.Explainer], model: gvr.Model, x: Tensor, **settings: object) -> Tensor:
    target = make_query(model, x, TASK)
    return kind(kind.Settings(**settings)).explain(model, x, target, context()).attribution


def one_pixel(row: int, column: int, weight: float = 1.0) -> gvr.Model:
    """The output is a pixel of the image."""
    head = nn.Linear(SIZE**2, 2)
    with torch.no_grad():
        head.weight.zero_()[:, row * SIZE + column] = weight
    return gvr.Model(frozen(nn.Flatten()), frozen(nn.Identity()), frozen(head))


def test_rise_is_the_output_where_shown() -> None:
    """Masks are read back from the one that a model of one pixel sees."""
    model, x = model_of("latents"), pictures(2)
    settings = Rise.Settings(samples=40, cells=4)
    explainer, ctx = Rise(settings), context()
    masks = torch.cat([explainer.mask(SIZE, SIZE, ctx.rng(i)) for i in range(40)])  # (40, 1, H, W)
    with torch.no_grad():
        outputs = torch.stack([model(image * masks)[:, 0] for image in x])  # (2, 40)
    expected = torch.einsum("nm,mhw->nhw", outputs, masks[:, 0]) / masks[:, 0].sum(0)
    expected -= outputs.mean(1)[:, None, None]
    made = explainer.explain(model, x, make_query(model, x, TASK), ctx).attribution
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-5)


def test_rise_finds_the_pixel_that_counts() -> None:
    x = torch.full((1, 1, SIZE, SIZE), 1.0)
    made = explain(Rise, one_pixel(20, 9), x, samples=1500)[0]
    top, left = divmod(int(made.argmax()), SIZE)
    assert abs(top - 20) <= 2
    assert abs(left - 9) <= 2
    assert made[20, 9] > 10 * made[:5].abs().mean()


def test_rise_masks_are_those_of_the_paper() -> None:
    masks = [Rise(Rise.Settings()).mask(SIZE, SIZE, context().rng(i)) for i in range(300)]
    stacked = torch.cat(masks)
    assert stacked.shape == (300, 1, SIZE, SIZE)
    assert stacked.min() >= 0
    assert stacked.max() <= 1
    assert abs(stacked.mean().item() - 0.5) < 0.02
    assert (stacked.mean(0) - 0.5).abs().max() < 0.15  # no place is shown more than others


def test_batch_size_changes_only_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = model_of("latents"), pictures(2)
    whole = explain(Rise, model, x, samples=20)
    monkeypatch.setattr(batching, "CPU_BUDGET", 3 * 4 * SIZE**2 * batching.FACTOR)
    assert batching.max_batch_size(x) == 3
    torch.testing.assert_close(explain(Rise, model, x, samples=20), whole, rtol=0, atol=1e-5)


def removed_outputs(model: gvr.Model, image: Tensor, count: int) -> tuple[Tensor, dict]:
    """The superpixels of an image (1, 1, H, W), and the output for each set that is shown."""
    segments = superpixels(image, count, 0.1, 1.0)
    means, labels = segment_means(image, segments), range(int(segments.max()) + 1)
    outputs = {}
    for shown in itertools.chain.from_iterable(
        itertools.combinations(labels, size) for size in range(len(labels) + 1)
    ):
        keep = torch.isin(segments, torch.tensor(shown, dtype=segments.dtype))[:, None]
        outputs[frozenset(shown)] = model(torch.where(keep, image, means))[0, 0].item()
    return segments[0], outputs


def test_ablation_is_the_fall_without_a_superpixel() -> None:
    model, x = model_of("latents"), pictures(2)
    made = explain(FeatureAblation, model, x, segments=6)
    for image, map_ in zip(x, made, strict=True):
        segments, outputs = removed_outputs(model, image[None], 6)
        every = max(outputs, key=len)
        for label in every:
            fall = outputs[every] - outputs[every - {label}]
            expected = torch.full(((segments == label).sum(),), fall)
            torch.testing.assert_close(map_[segments == label], expected, rtol=1e-3, atol=1e-5)


def test_kernel_shap_nears_the_shapley_values() -> None:
    model, x = model_of("latents"), pictures(1)
    made = explain(KernelShap, model, x, segments=6, samples=4000)[0]
    segments, outputs = removed_outputs(model, x, 6)
    every = max(outputs, key=len)
    n, exact = len(every), torch.zeros(SIZE, SIZE)
    for label in every:
        for shown in outputs:
            if label in shown:
                continue
            share = math.factorial(len(shown)) * math.factorial(n - len(shown) - 1)
            gain = outputs[shown | {label}] - outputs[shown]
            exact[segments == label] += share / math.factorial(n) * gain
    assert exact.abs().max() > 0.1
    torch.testing.assert_close(made, exact, rtol=0, atol=0.05 * exact.abs().max().item())


def test_small_batches_give_the_same_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = model_of("latents"), pictures(2)
    few: dict[type[gvr.Explainer], dict[str, int]] = {
        FeatureAblation: {},
        KernelShap: {"samples": 60},
    }
    whole = {kind: explain(kind, model, x, segments=6, **more) for kind, more in few.items()}
    monkeypatch.setattr("gvr_explainers.pieces.max_batch_size", lambda x: 2)
    for kind, more in few.items():
        made = explain(kind, model, x, segments=6, **more)
        torch.testing.assert_close(made, whole[kind], rtol=1e-3, atol=1e-4)
