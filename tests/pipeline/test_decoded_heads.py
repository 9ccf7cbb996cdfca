"""A network of images is explained as it is, with a decoder for counterfactuals or without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_up_stages import BINARY, SIZE, THREE, TWO, Bank, Squares
from torch import Tensor, nn

import gvr_bench.api as gvr
from gvr_bench.cache.serialization import read_json
from gvr_bench.core.errors import PluginError, TrainingError, UsageError
from gvr_bench.core.stage import Stage
from gvr_bench.metrics import decoded_scores
from gvr_bench.pipeline.preflight import refuse_unfit
from gvr_bench.pipeline.stage_context import DECODED_BATCH, Absent, Decoded, load_model, model_of
from gvr_bench.pipeline.steps.heads import (
    compute_head,
    compute_latents,
    compute_prediction,
)
from gvr_bench.pipeline.steps.perturbed_explanations import randomised
from gvr_bench.pipeline.steps.train_networks import compute_encoder, compute_generator

IMAGE = gvr.ImageSpec(1, SIZE)


class Blocks(nn.Module):
    """Four numbers -> an image of four squares; its weight is 1 until it is drawn afresh."""

    latent_dim = 4

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1))

    def forward(self, z: Tensor) -> Tensor:
        return F.interpolate(self.weight * z.view(-1, 1, 2, 2), SIZE)


class Draws(gvr.Generator):
    def build(self, image: gvr.ImageSpec) -> nn.Module:
        return Blocks()

    def fit(self, net: nn.Module, images: gvr.Images, ctx: gvr.Context) -> None:
        nn.init.ones_(net.weight)


class Averages(gvr.Encoder):
    """The mean of each quarter: what is small is lost."""

    def build(self, image: gvr.ImageSpec, generator: nn.Module) -> nn.Module:
        return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())

    def fit(
        self, net: nn.Module, generator: nn.Module, images: gvr.Images, ctx: gvr.Context
    ) -> None:
        """There is nothing to learn."""


class Brightest(nn.Module):
    """The brightest pixel of the left half, times a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x[..., : SIZE // 2].flatten(1).amax(1, keepdim=True)


class Sees(gvr.Head):
    sees = "images"
    weight = 1.0

    def build(self, latent_dim: int, task: gvr.Task) -> nn.Module:
        return Brightest()

    def fit(self, net: nn.Module, *_: Any) -> None:
        nn.init.constant_(net.weight, self.weight)


class Reads(Sees):
    """The same of latents."""

    sees = "latents"

    def build(self, latent_dim: int, task: gvr.Task) -> nn.Module:
        return nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.Upsample(SIZE), Brightest())

    def fit(self, net: nn.Module, *_: Any) -> None:
        nn.init.ones_(net[2].weight)


class Small(Squares):
    def draw(self, i: int, rng: np.random.Generator) -> tuple[int, int]:
        return (2 * (i % 2), 2 * (i // 2 % 2))


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path)


@dataclass
class Fitted:
    """The stages of a model."""

    data: Stage
    latents: Stage
    head: Stage

    @property
    def encoder(self) -> Stage:
        return self.latents.inputs["encoder"]


def fitted(bank: Bank, head: gvr.Head, dataset: gvr.Dataset) -> Fitted:
    """The stages up to a fitted head; one of images depends on the data alone."""
    data = bank.data(dataset)
    generator = bank.stage("generator", data, component=Draws(gvr.Settings()))
    bank.compute(generator, compute_generator)
    encoder = bank.stage("encoder", generator, data, component=Averages(gvr.Settings()))
    bank.compute(encoder, compute_encoder)
    inputs = {"data": data, "encoder": encoder}
    latents = Stage("latents", "made up", "1", {"copies": 0, "shift": 0.0}, inputs, 0)
    bank.compute(latents, compute_latents)
    stage = bank.stage("head", data if head.sees == "images" else latents, component=head)
    bank.compute(stage, compute_head)
    return Fitted(data, latents, stage)


def scores_of(bank: Bank, model: Fitted, *, decoder: bool = True) -> dict[str, dict[str, Any]]:
    """The scores of a model over all findings."""
    stage = bank.stage("prediction", model.head, *([model.latents] if decoder else []))
    built = bank.compute(stage, compute_prediction)
    rows = read_json(built.out("scores.json"))
    return {row["metric"]: row["score"] for row in rows if row["output"] == "all"}


@pytest.mark.parametrize("n", [1, DECODED_BATCH, 2 * DECODED_BATCH + 1])
def test_image_head_predicts_decoded_latents(n: int) -> None:
    generator, net = Blocks(), Brightest()
    z = torch.randn(n, 4, requires_grad=True)
    outputs = model_of(Sees(gvr.Settings()), net, nn.Identity(), generator).head(z)
    assert torch.equal(outputs, net(generator(z)))
    outputs.sum().backward()
    assert z.grad is not None
    assert z.grad.abs().sum(1).min() > 0


def test_latent_head_is_not_wrapped() -> None:
    net = Brightest()
    model = model_of(Reads(gvr.Settings()), net, nn.Identity(), Blocks())
    assert (model.head, model.classifier) == (net, None)


def test_image_network_is_explained_as_is() -> None:
    net, generator = Brightest(), Blocks()
    model = model_of(Sees(gvr.Settings()), net, nn.AdaptiveAvgPool2d(2), generator)
    x = torch.rand(3, 1, SIZE, SIZE)
    assert torch.equal(model(x), net(x))
    assert not torch.equal(model(x), net(generator(model.encoder(x))))


def test_model_is_in_eval_mode(bank: Bank) -> None:
    model = fitted(bank, Sees(gvr.Settings()), Squares(BINARY))
    loaded = load_model(bank.stage_ctx(bank.stage("explanations", model.head, model.encoder)))
    assert isinstance(loaded.head, Decoded)
    assert not any(module.training for module in loaded.head.modules())


def test_undeclared_use_of_decoder_is_named(bank: Bank) -> None:
    model = load_model(bank.stage_ctx(fitted(bank, Sees(gvr.Settings()), Squares(BINARY)).head))
    assert (model.has_decoder, type(model.generator)) == (False, Absent)
    with pytest.raises(PluginError, match="needs_decoder = True"):
        model.encoder(torch.rand(1, 1, SIZE, SIZE))


def test_what_the_decoder_turns_is_counted(bank: Bank) -> None:
    """Behind the decoder the network sees the mean of a quarter.

    A small square raises that mean by less than the noise raises the brightest pixel, so that all
    decoded images lie below the threshold of the images themselves.
    """
    scores = scores_of(bank, fitted(bank, Sees(gvr.Settings()), Small(BINARY)))
    assert scores["auroc"]["value"] == 1.0
    assert 0.9 < scores["decoded_auroc"]["value"] <= 1
    assert 0.4 <= scores["decoded_agreement"]["value"] <= 0.6
    assert scores["decoded_agreement"]["n"] == 24


def test_latent_head_has_no_decoder_scores(bank: Bank) -> None:
    scores = scores_of(bank, fitted(bank, Reads(gvr.Settings()), Squares(BINARY)))
    assert scores.keys() == {"auroc", "average_precision", "accuracy"}


def test_no_decoder_means_no_decoder_scores(bank: Bank) -> None:
    model = fitted(bank, Sees(gvr.Settings()), Squares(BINARY))
    scores = scores_of(bank, model, decoder=False)
    assert scores.keys() == {"auroc", "average_precision", "accuracy"}
    assert scores["auroc"]["value"] == 1.0


def test_own_threshold_is_used(bank: Bank) -> None:
    class Strict(Sees):
        def threshold(self, task: gvr.Task) -> tuple[float, ...]:
            return (0.75,)

    stage = fitted(bank, Strict(gvr.Settings()), Squares(BINARY)).head
    decision = read_json(bank.stage_ctx(stage).file(stage, "decision.json"))
    assert decision["threshold"] == [0.75]
    assert decision["threshold_source"] == "setting of the head"


def test_other_threshold_is_of_validation_images(bank: Bank) -> None:
    stage = fitted(bank, Sees(gvr.Settings()), Squares(BINARY)).head
    decision = read_json(bank.stage_ctx(stage).file(stage, "decision.json"))
    assert "highest Youden index" in decision["threshold_source"]
    assert "validation images" in decision["threshold_source"]


def test_unlabelled_images_are_left_out(bank: Bank) -> None:
    def forget(name: str, targets: np.ndarray) -> None:
        if name == "test":
            targets[:5] = np.nan
            targets[10] = np.nan

    model = fitted(bank, Sees(gvr.Settings()), Squares(BINARY, change=forget))
    scores = scores_of(bank, model)
    assert scores["decoded_agreement"]["n"] == 18
    assert scores["auroc"]["value"] == 1.0  # of labels that belong to their images


def test_non_finite_outputs_are_counted(bank: Bank) -> None:
    class Dark(Brightest):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).sub(0.2).log()  # of less than nothing

    class Undefined(Sees):
        def build(self, latent_dim: int, task: gvr.Task) -> nn.Module:
            return Dark()

    stderr = "the head gives NaN or infinity for 12 of 24 images"
    with pytest.raises(TrainingError, match=stderr):
        fitted(bank, Undefined(gvr.Settings()), Squares(BINARY))


@pytest.mark.parametrize("part", ["head", "generator"])
def test_randomised_part_changes_image_head(bank: Bank, part: str) -> None:
    fit = fitted(bank, Sees(gvr.Settings()), Squares(BINARY))
    stage_ctx = bank.stage_ctx(bank.stage("explanations", fit.head, fit.encoder))
    model, z = load_model(stage_ctx), torch.ones(1, 4)
    fresh = randomised(model, part, stage_ctx)
    assert not torch.equal(fresh.head(z), model.head(z))
    assert isinstance(fresh.head, Decoded)
    assert fresh.head.generator is fresh.generator
    assert not any(module.training for module in fresh.head.modules())


class Answers(nn.Module):
    def __init__(self, answer: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(x)


@pytest.mark.parametrize(
    ("answer", "stderr"),
    [
        (lambda x: x.mean((2, 3)), r"gives outputs of shape \(3, 1\) for 3 images of 1 x 16 x 16, "
                                   r"not \(3, 2\)"),
        (lambda x: x[..., 0, :2].squeeze(), r"shape \(2,\) for 1 images"),
        (lambda x: F.dropout(x[..., 0, :2].flatten(1), 0.5), "something draws random numbers"),
        (lambda x: (x - x.mean(0))[..., 0, :2].flatten(1), "an image alone and among others"),
        (lambda x: x.transpose(2, 3).view(len(x), -1)[:, :2], "write reshape for view"),
        (lambda x: x[..., 0, :2].detach().flatten(1), "lets no gradient through to its images"),
        (lambda x: x.reshape(2, -1), r"cannot take 1 images of 1 x 16 x 16|shape \(2, 384\)"),
        (lambda x: 1 / 0, "cannot take 3 images of 1 x 16 x 16: ZeroDivisionError"),
    ],
)  # fmt: skip
def test_unusable_network_is_refused(answer: Any, stderr: str) -> None:
    with pytest.raises(UsageError, match=rf"head 'mine' .*({stderr})"):
        refuse_unfit(Answers(answer), "head 'mine'", IMAGE, TWO)


def test_random_answers_that_are_alike_once_are_refused() -> None:
    """Its second answer is the first by chance, those to single images are not."""
    calls: list[int] = []

    def answer(x: Tensor) -> Tensor:
        calls.append(len(x))
        drawn = torch.rand(len(x), 2)
        return x[..., 0, :2].flatten(1) + (drawn if len(calls) > 2 else 0)

    with pytest.raises(UsageError, match="something draws random numbers"):
        refuse_unfit(Answers(answer), "head 'mine'", IMAGE, TWO)
    assert calls == [3, 3, 1, 1, 1]


def test_counting_network_is_refused() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x[..., 0, :2].flatten(1) + self.calls

    with pytest.raises(UsageError, match="changes its own calls when it predicts"):
        refuse_unfit(Counting(), "head 'mine'", IMAGE, TWO)


def test_network_error_is_passed_on() -> None:
    def complain(x: Tensor) -> Tensor:
        raise UsageError("it has 18 outputs")

    with pytest.raises(UsageError, match=r"^it has 18 outputs$"):
        refuse_unfit(Answers(complain), "head 'mine'", IMAGE, TWO)


@pytest.mark.parametrize(
    ("task", "raw", "decoded", "expected"),
    [
        (BINARY, [[0.9], [0.2], [0.6]], [[0.6], [0.4], [0.4]], 2 / 3),
        (TWO, [[0.9, 0.9], [0.2, 0.1]], [[0.6, 0.1], [0.4, 0.1]], 3 / 4),
        (THREE, [[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], [[0.4, 0.3, 0.3], [0.5, 0.1, 0.4]], 1 / 2),
    ],
    ids=["binary", "multilabel", "multiclass"],
)
def test_agreement_is_share_of_equal_decisions(task, raw, decoded, expected) -> None:
    targets = np.zeros((len(raw), task.columns), np.float32)
    actual = {
        row.metric: row.score
        for row in decoded_scores(
            task,
            np.array(raw, np.float32),
            np.array(decoded, np.float32),
            targets,
            np.full(len(task.outputs), 0.5, np.float32),
        )
    }
    assert actual["decoded_agreement"].value == pytest.approx(expected)
