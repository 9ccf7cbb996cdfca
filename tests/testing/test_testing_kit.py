"""The compliance kit notices each rule that is broken, and only that."""

from __future__ import annotations

import dataclasses
import random
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import gvr_bench.api as gvr
from gvr_bench.testing import (
    CheckResult,
    assert_passes,
    check_dataset,
    check_encoder,
    check_explainer,
    check_generator,
    check_head,
)
from gvr_bench.testing.datasets import CHECKS as DATASET_CHECKS
from gvr_bench.testing.explainers import CHECKS
from gvr_bench.testing.networks import CHECKS as NETWORK_CHECKS

Body = Callable[
    [gvr.Explainer, gvr.Model, torch.Tensor, gvr.ExplanationTarget, gvr.Context], object
]


def explaining(body: Body) -> type[gvr.Explainer]:
    """An explainer that does as the body says."""

    class Made(gvr.Explainer):
        role = "counterfactual" if body in COUNTERFACTUAL else "attribution"

        def explain(self, model, x, target, ctx):
            return body(self, model, x, target, ctx)

    return Made


def failed(results: list[CheckResult]) -> dict[str, CheckResult]:
    return {result.check: result for result in results if result.status == "failed"}


def violation(body: Body, check: str) -> str:
    """The text of the only check that an explainer fails."""
    results = check_explainer(explaining(body))
    assert [result.check for result in results] == list(CHECKS)
    assert set(failed(results)) == {check}
    assert failed(results)[check].fix
    return str(failed(results)[check])


def map_of(x: torch.Tensor) -> gvr.Explanation:
    return gvr.Explanation(attribution=x.sum(1))


def test_honest_explainer_passes_all_checks() -> None:
    results = check_explainer(explaining(lambda self, model, x, target, ctx: map_of(x)))
    assert {result.status for result in results} == {"passed"}
    assert_passes(results)


def test_noise_seeded_by_image_passes() -> None:
    def noise(self, model, x, target, ctx):
        attribution = [
            torch.randn(x.shape[2:], generator=ctx.rng(zlib.crc32(image.numpy().tobytes())))
            for image in x
        ]
        return gvr.Explanation(attribution=torch.stack(attribution))

    assert_passes(check_explainer(explaining(noise)))


def test_assert_passes_lists_all_failures() -> None:
    def rude(self, model, x, target, ctx):
        x.add_(1)
        model.head.train()
        return map_of(x)

    with pytest.raises(AssertionError) as caught:
        assert_passes(check_explainer(explaining(rude)))
    assert str(caught.value).splitlines() == [
        "2 failed:",
        "explainer Made, input: binary, 1 x 16 x 16: changed x in place (and 7 more); begin with "
        "x = x.detach().clone()",
        "explainer Made, mode: binary, 1 x 16 x 16: switched train or eval mode of head (and 7 "
        "more); leave networks in eval mode, or work on a copy, e.g. "
        "copy.deepcopy(model.encoder).train()",
    ]


def test_raised_error_fails_check() -> None:
    def raises(self, model, x, target, ctx):
        raise KeyError("cutoff")

    assert "raised KeyError: 'cutoff'" in violation(raises, "returns")


def test_own_error_keeps_its_fix() -> None:
    def too_wide(self, model, x, target, ctx):
        raise gvr.UsageError("window 99 is larger than the image; type window=4")

    results = check_explainer(explaining(too_wide))
    fault = failed(results)["returns"]
    assert fault.problem.endswith("window 99 is larger than the image (and 7 more)")
    assert fault.fix == "type window=4"


def test_later_checks_are_skipped() -> None:
    results = check_explainer(explaining(lambda self, model, x, target, ctx: None))
    rest = {r.check: r for r in results if r.check not in ("class", "returns")}
    assert {r.status for r in rest.values()} == {"n/a"}
    assert rest["batch"].problem == "skipped because 'returns' failed"


def test_unsupported_gives_na_with_reason() -> None:
    def colour_only(self, model, x, target, ctx):
        raise gvr.Unsupported("needs a printer")

    results = check_explainer(explaining(colour_only))
    assert_passes(results)
    rest = [result for result in results if result.check != "class"]
    assert {r.status for r in rest} == {"n/a"}
    assert {r.problem for r in rest} == {"binary, 1 x 16 x 16: needs a printer"}


def test_partly_supported_explainer_is_checked() -> None:
    def no_classes(self, model, x, target, ctx):
        if target.task.kind == "multiclass":
            raise gvr.Unsupported("knows no classes")
        return map_of(x)

    results = {r.check: r for r in check_explainer(explaining(no_classes))}
    assert results["batch"].status == "passed"
    assert "knows no classes" in results["returns"].problem


def test_unsupported_needs_a_reason() -> None:
    def mute(self, model, x, target, ctx):
        raise gvr.Unsupported

    assert "without a reason" in violation(mute, "returns")


def drawn_by_batch(self, model, x, target, ctx):
    return gvr.Explanation(attribution=torch.randn(x.sum(1).shape, generator=ctx.rng("noise")))


def draws_global(self, model, x, target, ctx):
    return gvr.Explanation(attribution=x.sum(1) + torch.rand(()))


def draws_numpy(self, model, x, target, ctx):
    return gvr.Explanation(attribution=x.sum(1) + float(np.random.rand()))


def seeds_python(self, model, x, target, ctx):
    random.seed(0)
    return map_of(x)


def has_dice(self, model, x, target, ctx):
    return gvr.Explanation(attribution=x.sum(1) + float(np.random.default_rng().random()))


def counts(self, model, x, target, ctx):
    self.asked = getattr(self, "asked", 0) + 1
    return gvr.Explanation(attribution=x.sum(1) * self.asked)


def remembers_on_the_model(self, model, x, target, ctx):
    if not hasattr(model.encoder, "first"):
        model.encoder.first = x.mean()
    return gvr.Explanation(attribution=x.sum(1) - model.encoder.first)


def normalises_the_batch(self, model, x, target, ctx):
    return gvr.Explanation(attribution=x.sum(1) / x.abs().max())


def follows_the_batch_size(self, model, x, target, ctx):
    return gvr.Explanation(attribution=x.sum(1) * min(ctx.batch_size, 2))


def changes_data(self, model, x, target, ctx):
    next(model.head.parameters()).data.add_(1)
    return map_of(x)


def changes_pixels(self, model, x, target, ctx):
    attribution = x.sum(1)
    x.data.mul_(2)
    return gvr.Explanation(attribution=attribution)


def changes_weights(self, model, x, target, ctx):
    next(model.head.parameters()).add_(1)
    return map_of(x)


def leaves_a_hook(self, model, x, target, ctx):
    model.encoder[0].register_forward_hook(lambda *_: None)
    return map_of(x)


def leaves_gradients(self, model, x, target, ctx):
    model.head.requires_grad_()
    return map_of(x)


def keeps_the_graph(self, model, x, target, ctx):
    return gvr.Explanation(attribution=x.detach().clone().requires_grad_().sum(1))


def leaves_the_range(self, model, x, target, ctx):
    return gvr.Explanation(attribution=x.sum(1), counterfactual=x * 3)


def decodes_to_something_else(self, model, x, target, ctx):
    with torch.no_grad():
        z = model.encoder(x)
    return gvr.Explanation(attribution=x.sum(1), counterfactual=x.clone(), latent=z)


def walks_backwards(self, model, x, target, ctx):
    with torch.no_grad():
        start = model.encoder(x)
        end = start + 0.5
        path = torch.stack([end, start], 1)
        return gvr.Explanation(x.sum(1), model.generator(end), latent=end, trajectory=path)


COUNTERFACTUAL = leaves_the_range, decodes_to_something_else, walks_backwards


@pytest.mark.parametrize("role", ["counterfactual", "explainer"])
def test_role_must_fit_the_result(role: str) -> None:
    made = explaining(lambda self, model, x, target, ctx: map_of(x))
    made.role = role
    (result,) = failed(check_explainer(made)).values()
    assert result.check == "role"
    assert "counterfactual" in result.fix


@pytest.mark.parametrize(
    ("body", "check", "text"),
    [
        (
            lambda s, m, x, q, c: gvr.Explanation(x),
            "shape",
            "attribution has shape (3, 1, 16, 16), not",
        ),
        (lambda s, m, x, q, c: gvr.Explanation(x.sum(1).half()), "dtype", "float16, not float32"),
        (lambda s, m, x, q, c: gvr.Explanation(x.sum(1) * torch.inf), "finite", "contains NaN or"),
        (
            lambda s, m, x, q, c: gvr.Explanation(x.sum(1).to("meta")),
            "device",
            "attribution is on meta",
        ),
        (
            lambda s, m, x, q, c: gvr.Explanation(x.sum(1), x),
            "role",
            "returns a counterfactual as attribution",
        ),
        (drawn_by_batch, "batch", "draw once for the batch, or per image from its own pixels"),
        (normalises_the_batch, "batch", "when images are explained one at a time"),
        (follows_the_batch_size, "batch", "at ctx.batch_size = 1"),
        (draws_global, "global rng", "global random numbers of torch"),
        (draws_numpy, "global rng", "global random numbers of numpy"),
        (seeds_python, "global rng", "global random numbers of random"),
        (has_dice, "repeatable", "of its largest value when called again"),
        (counts, "stateless", "after explaining other images"),
        (remembers_on_the_model, "stateless", "in self or on the model"),
        (changes_data, "weights", "changed the weights head.weight"),
        (changes_pixels, "input", "changed x in place"),
        (changes_weights, "weights", "changed the weights head.weight"),
        (leaves_a_hook, "hooks", "added a hook to encoder.0"),
        (leaves_gradients, "gradients", "switched its requires_grad"),
        (keeps_the_graph, "detached", "end with attribution.detach()"),
        (leaves_the_range, "range", "counterfactual reaches 2.99"),
        (decodes_to_something_else, "consistent", "latent does not decode to counterfactual"),
        (walks_backwards, "consistent", "trajectory does not lead from the image to latent"),
    ],
)
def test_violation_names_check_and_problem(body: Body, check: str, text: str) -> None:
    assert text in violation(body, check)


def test_invalid_settings_fail_class_check() -> None:
    class Needy(gvr.Explainer):
        class Settings(gvr.Settings):
            width: int

        def explain(self, model, x, target, ctx):
            return map_of(x)

    fault = failed(check_explainer(Needy))
    assert set(fault) == {"class"}
    assert "width: Field required" in str(fault["class"])
    assert_passes(check_explainer(Needy, width=3))
    assert_passes(check_explainer(Needy(Needy.Settings(width=3))))


def test_global_random_state_is_restored() -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    check_explainer(explaining(lambda self, model, x, target, ctx: map_of(x)))
    after = torch.rand(()), np.random.rand(), random.random()
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    assert after == (torch.rand(()), np.random.rand(), random.random())


class Line(gvr.Head):
    """A head of one layer; its subclasses do one thing wrong."""

    def build(self, latent_dim, task):
        return nn.Linear(latent_dim, len(task.outputs))

    def fit(self, net, train, validation, task, ctx):
        adam = torch.optim.Adam(net.parameters(), 0.1)
        for step in ctx.loop(3, {"net": net, "adam": adam}):
            index = torch.randint(len(train), (8,), generator=self.dice(ctx, step))
            loss = gvr.task_loss(net(train.z[index]), train.targets[index], task)
            adam.zero_grad()
            loss.backward()
            adam.step()

    def dice(self, ctx, step):
        return ctx.rng(step)


class Global(Line):
    def dice(self, ctx, step):
        return None


class Dice(Line):
    def dice(self, ctx, step):
        rng = torch.Generator()
        rng.seed()
        return rng


class Forgetful(Line):
    def fit(self, net, train, validation, task, ctx):
        adam = torch.optim.Adam(net.parameters(), 0.1)
        for _ in ctx.loop(3, {"net": net}):  # the optimiser is not in the state
            gvr.task_loss(net(train.z), train.targets, task).backward()
            adam.step()


class Narrow(Line):
    def build(self, latent_dim, task):
        return nn.Linear(latent_dim, len(task.outputs) + 1)


class Scaling(Line):
    def fit(self, net, train, validation, task, ctx):
        train.z.mul_(2)


class Explodes(Line):
    def fit(self, net, train, validation, task, ctx):
        nn.init.constant_(net.bias, torch.nan)


class Centring(Line):
    def build(self, latent_dim, task):
        class Centred(nn.Linear):
            def forward(self, z):
                return super().forward(z - z.mean(0))

        return Centred(latent_dim, len(task.outputs))


@pytest.mark.parametrize(
    ("head", "check"),
    [
        (Global, "global rng"),
        (Dice, "repeatable"),
        (Forgetful, "resumable"),
        (Narrow, "build"),
        (Scaling, "input"),
        (Explodes, "fit"),
        (Centring, "batch"),
    ],
)
def test_faulty_heads_fail_their_check(head: type[gvr.Head], check: str) -> None:
    results = check_head(head)
    assert [result.check for result in results] == list(NETWORK_CHECKS)
    assert check in failed(results)
    assert set(failed(results)) <= {check, "repeatable"}  # inputs that were changed stay so
    assert failed(check_head(Line)) == {}


def test_generator_needs_latent_dim() -> None:
    class Bare(gvr.Generator):
        def build(self, image):
            return nn.Sequential(
                nn.Linear(4, image.channels * image.size**2),
                nn.Unflatten(1, (image.channels, image.size, image.size)),
            )

        def fit(self, net, images, ctx): ...

    assert "its latent_dim is None" in str(failed(check_generator(Bare))["build"])


def test_encoder_must_not_train_generator() -> None:
    class Greedy(gvr.Encoder):
        def build(self, image, generator):
            return nn.Sequential(
                nn.Flatten(), nn.Linear(image.channels * image.size**2, generator.latent_dim)
            )

        def fit(self, net, generator, images, ctx):
            with torch.no_grad():
                generator.layers[0].weight.mul_(2)

    assert set(failed(check_encoder(Greedy))) == {"input"}


class Discs(gvr.Dataset):
    """Forty images of noise; `changes` spoil a split."""

    changes: Callable[[gvr.Split], gvr.Split] = staticmethod(lambda split: split)
    task = gvr.Task("binary", ("disc",))
    image = gvr.ImageSpec(1, 16)

    def fingerprint(self):
        return "discs"

    def split(self, name):
        first = {"train": 0, "validation": 20, "test": 30}[name]
        numbers = np.arange(first, first + 10)
        names = np.asarray([f"{i}" for i in numbers])
        split = gvr.Split(
            names,
            names,
            (numbers % 2)[:, None].astype(np.float32),
            lambda index: np.stack([picture(i) for i in numbers[index]]),
            lambda index, output: gvr.GroundTruth(mask=np.zeros((len(index), 16, 16), bool)),
        )
        return type(self).changes(split)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (1, 16, 16), np.uint8)


def without_top(index, **changes):
    """Structures of `Discs`: the upper half and the lower half, of which the upper is there."""
    n, images = len(index), np.stack([picture(i) for i in index])
    removed, mask = np.stack([images, images], axis=1), np.zeros((n, 2, 16, 16), bool)
    removed[:, 0, :, :8] //= 2
    mask[:, 0, :8] = True
    flags = np.tile([[True, False]], (n, 1))
    known = gvr.Structures(("top", "bottom"), flags, flags, ~flags, mask, removed)
    return gvr.GroundTruth(structures=dataclasses.replace(known, **changes))


STRUCTURE_FAULTS = [
    {},
    {"names": ("top", "top")},
    {"present": np.ones((6, 1), bool)},
    {"present": np.ones((6, 2), bool)},
    {"mask": np.zeros((6, 2, 16, 16), bool)},
    {"removed": np.zeros((6, 2, 16, 16), np.uint8)},
    {"distractor": np.ones((6, 2), bool)},
]


@pytest.mark.parametrize("changes", STRUCTURE_FAULTS, ids=lambda changes: "".join(changes))
def test_faulty_structures_fail_their_check(monkeypatch, changes) -> None:
    split = staticmethod(
        lambda split: dataclasses.replace(
            split, truth=lambda index, output: without_top(index, **changes)
        )
    )
    monkeypatch.setattr(Discs, "changes", split)
    assert set(failed(check_dataset(Discs))) == ({"structures"} if changes else set())


def by_place(index):
    return np.stack([picture(place) for place, _ in enumerate(index)])


DICE = np.random.default_rng()


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"targets": np.zeros(10, np.float32)}, "columns"),
        ({"sample_ids": np.asarray(["one"] * 10)}, "columns"),
        ({"patient_ids": np.asarray(["one"] * 10)}, "patients"),
        ({"images": lambda index: np.zeros((len(index), 16, 16), np.uint8)}, "images"),
        ({"images": by_place}, "repeatable"),
        (
            {"images": lambda index: DICE.integers(0, 9, (len(index), 1, 16, 16), np.uint8)},
            "repeatable",
        ),
        (
            {"truth": lambda index, output: gvr.GroundTruth(mask=np.zeros((1, 16, 16), bool))},
            "truth",
        ),
    ],
)
def test_faulty_datasets_fail_their_check(monkeypatch, changes, check: str) -> None:
    assert failed(check_dataset(Discs)) == {}
    spoil = staticmethod(lambda split: dataclasses.replace(split, **changes))
    monkeypatch.setattr(Discs, "changes", spoil)
    results = check_dataset(Discs)
    assert [result.check for result in results] == list(DATASET_CHECKS)
    assert set(failed(results)) == {check}
