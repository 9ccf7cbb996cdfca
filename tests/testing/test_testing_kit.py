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
from gvr_bench.testing.datasets import RULES as DATASET_RULES
from gvr_bench.testing.explainers import RULES
from gvr_bench.testing.training_checks import RULES as TRAINED_RULES

Body = Callable[
    [gvr.Explainer, gvr.Model, torch.Tensor, gvr.ExplanationTarget, gvr.Context], object
]


def explaining(body: Body) -> type[gvr.Explainer]:
    """An explainer that does as the body says."""

    class Made(gvr.Explainer):
        def explain(self, model, x, target, ctx):
            return body(self, model, x, target, ctx)

    return Made


def broken(verdicts: list[CheckResult]) -> dict[str, CheckResult]:
    return {verdict.rule: verdict for verdict in verdicts if verdict.status == "broken"}


def told(body: Body, rule: str) -> str:
    """What is said of an explainer that breaks one rule; it must keep the others."""
    verdicts = check_explainer(explaining(body))
    assert [verdict.rule for verdict in verdicts] == list(RULES)
    assert set(broken(verdicts)) == {rule}
    assert broken(verdicts)[rule].mend
    return str(broken(verdicts)[rule])


def map_of(x: torch.Tensor) -> gvr.Explanation:
    return gvr.Explanation(attribution=x.sum(1))


def test_an_honest_explainer_keeps_every_rule() -> None:
    verdicts = check_explainer(explaining(lambda self, model, x, target, ctx: map_of(x)))
    assert {verdict.status for verdict in verdicts} == {"kept"}
    assert_passes(verdicts)


def test_noise_from_the_image_itself_is_honest() -> None:
    def noise(self, model, x, target, ctx):
        attribution = [
            torch.randn(x.shape[2:], generator=ctx.rng(zlib.crc32(image.numpy().tobytes())))
            for image in x
        ]
        return gvr.Explanation(attribution=torch.stack(attribution))

    assert_passes(check_explainer(explaining(noise)))


def test_what_is_broken_is_raised_with_every_line() -> None:
    def rude(self, model, x, target, ctx):
        x.add_(1)
        model.head.train()
        return map_of(x)

    with pytest.raises(AssertionError) as caught:
        assert_passes(check_explainer(explaining(rude)))
    assert str(caught.value).splitlines() == [
        "2 broken:",
        "explainer Made, input: binary, 1 x 16 x 16: changed x in place (and 7 more); begin with "
        "x = x.detach().clone()",
        "explainer Made, mode: binary, 1 x 16 x 16: switched train or eval mode of head (and 7 "
        "more); networks come in eval mode and stay so; work on a copy, e.g. "
        "copy.deepcopy(model.encoder).train()",
    ]


def test_raising_is_no_answer() -> None:
    def raises(self, model, x, target, ctx):
        raise KeyError("cutoff")

    assert "raised KeyError: 'cutoff'" in told(raises, "answer")


def test_an_error_that_says_what_to_type_keeps_its_words() -> None:
    def too_wide(self, model, x, target, ctx):
        raise gvr.UsageError("window 99 is larger than the image; type window=4")

    verdicts = check_explainer(explaining(too_wide))
    fault = broken(verdicts)["answer"]
    assert fault.what.endswith("window 99 is larger than the image (and 7 more)")
    assert fault.mend == "type window=4"


def test_nothing_is_kept_that_was_not_tried() -> None:
    verdicts = check_explainer(explaining(lambda self, model, x, target, ctx: None))
    rest = {v.rule: v for v in verdicts if v.rule not in ("class", "answer")}
    assert {v.status for v in rest.values()} == {"n/a"}
    assert rest["batch"].what == "not tried, for 'answer' is broken"


def test_what_does_not_apply_says_why_and_breaks_nothing() -> None:
    def colour_only(self, model, x, target, ctx):
        raise gvr.Unsupported("needs a printer")

    verdicts = check_explainer(explaining(colour_only))
    assert_passes(verdicts)
    rest = [verdict for verdict in verdicts if verdict.rule != "class"]
    assert {v.status for v in rest} == {"n/a"}
    assert {v.what for v in rest} == {"binary, 1 x 16 x 16: needs a printer"}


def test_what_applies_to_some_is_judged_by_those() -> None:
    def no_classes(self, model, x, target, ctx):
        if target.task.kind == "multiclass":
            raise gvr.Unsupported("knows no classes")
        return map_of(x)

    verdicts = {v.rule: v for v in check_explainer(explaining(no_classes))}
    assert verdicts["batch"].status == "kept"
    assert "knows no classes" in verdicts["answer"].what


def test_an_unsupported_without_a_reason_is_no_answer() -> None:
    def mute(self, model, x, target, ctx):
        raise gvr.Unsupported

    assert "without a reason" in told(mute, "answer")


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


@pytest.mark.parametrize(
    ("body", "rule", "said"),
    [
        (
            lambda s, m, x, q, c: gvr.Explanation(x),
            "shape",
            "attribution has shape (3, 1, 16, 16), not",
        ),
        (lambda s, m, x, q, c: gvr.Explanation(x.sum(1).half()), "dtype", "float16, not float32"),
        (lambda s, m, x, q, c: gvr.Explanation(x.sum(1) * torch.inf), "finite", "holds NaN or"),
        (
            lambda s, m, x, q, c: gvr.Explanation(x.sum(1).to("meta")),
            "device",
            "attribution is on meta",
        ),
        (drawn_by_batch, "batch", "draw once for the batch, or per image from its own pixels"),
        (normalises_the_batch, "batch", "when images are explained one at a time"),
        (follows_the_batch_size, "batch", "at ctx.batch_size = 1"),
        (draws_global, "own draws", "the global random numbers of torch"),
        (draws_numpy, "own draws", "the global random numbers of numpy"),
        (seeds_python, "own draws", "the global random numbers of random"),
        (has_dice, "repeatable", "of its largest value when asked again"),
        (counts, "no memory", "after other images were explained"),
        (remembers_on_the_model, "no memory", "nor on the model"),
        (changes_data, "weights", "changed the weights head.weight"),
        (changes_pixels, "input", "changed x in place"),
        (changes_weights, "weights", "changed the weights head.weight"),
        (leaves_a_hook, "hooks", "left a hook on encoder.0"),
        (leaves_gradients, "gradients", "switched its requires_grad"),
        (keeps_the_graph, "detached", "end with attribution.detach()"),
        (leaves_the_range, "range", "counterfactual reaches 2.99"),
        (decodes_to_something_else, "consistent", "latent does not decode to counterfactual"),
        (walks_backwards, "consistent", "path does not lead from the image to latent"),
    ],
)
def test_a_broken_rule_is_named_with_what_was_done(body: Body, rule: str, said: str) -> None:
    assert said in told(body, rule)


def test_a_class_that_cannot_be_made_is_the_only_thing_told() -> None:
    class Needy(gvr.Explainer):
        class Settings(gvr.Settings):
            width: int

        def explain(self, model, x, target, ctx):
            return map_of(x)

    fault = broken(check_explainer(Needy))
    assert set(fault) == {"class"}
    assert "width: Field required" in str(fault["class"])
    assert_passes(check_explainer(Needy, width=3))
    assert_passes(check_explainer(Needy(Needy.Settings(width=3))))


def test_the_global_random_numbers_stay_where_they_were() -> None:
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
    ("head", "rule"),
    [
        (Global, "own draws"),
        (Dice, "repeatable"),
        (Forgetful, "resumable"),
        (Narrow, "build"),
        (Scaling, "input"),
        (Explodes, "fit"),
        (Centring, "batch"),
    ],
)
def test_a_head_that_breaks_a_rule_is_told_so(head: type[gvr.Head], rule: str) -> None:
    verdicts = check_head(head)
    assert [verdict.rule for verdict in verdicts] == list(TRAINED_RULES)
    assert rule in broken(verdicts)
    assert set(broken(verdicts)) <= {rule, "repeatable"}  # inputs that were changed stay so
    assert broken(check_head(Line)) == {}


def test_a_generator_without_a_latent_dim_is_told_so() -> None:
    class Bare(gvr.Generator):
        def build(self, image):
            return nn.Sequential(
                nn.Linear(4, image.channels * image.size**2),
                nn.Unflatten(1, (image.channels, image.size, image.size)),
            )

        def fit(self, net, images, ctx): ...

    assert "its latent_dim is None" in str(broken(check_generator(Bare))["build"])


def test_an_encoder_that_trains_the_generator_is_told_so() -> None:
    class Greedy(gvr.Encoder):
        def build(self, image, generator):
            return nn.Sequential(
                nn.Flatten(), nn.Linear(image.channels * image.size**2, generator.latent_dim)
            )

        def fit(self, net, generator, images, ctx):
            with torch.no_grad():
                generator.layers[0].weight.mul_(2)

    assert set(broken(check_encoder(Greedy))) == {"input"}


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


def by_place(index):
    return np.stack([picture(place) for place, _ in enumerate(index)])


DICE = np.random.default_rng()


@pytest.mark.parametrize(
    ("changes", "rule"),
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
def test_a_data_set_that_breaks_a_rule_is_told_so(monkeypatch, changes, rule: str) -> None:
    assert broken(check_dataset(Discs)) == {}
    spoil = staticmethod(lambda split: dataclasses.replace(split, **changes))
    monkeypatch.setattr(Discs, "changes", spoil)
    verdicts = check_dataset(Discs)
    assert [verdict.rule for verdict in verdicts] == list(DATASET_RULES)
    assert set(broken(verdicts)) == {rule}
