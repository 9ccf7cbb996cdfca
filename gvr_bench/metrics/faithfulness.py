"""Does the map follow the model's own output?"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gvr_bench.metrics.base import INFINITE, NO_COUNTERFACTUAL, CaseInput, Group, Source
from gvr_bench.metrics.model_queries import (
    BETWEEN,
    STEPS,
    activated,
    area,
    decoded,
    exchange,
    growing,
    normals,
    outputs,
    presence,
    ranks,
    repeated,
)

if TYPE_CHECKING:
    from torch import Tensor

    from gvr_bench.core.explainer import CompletenessBaseline
    from gvr_bench.core.types import ExplanationTarget, Model

# Black has no density, so that a pixel can only lose what its attribution speaks for. Blurring does
# not delete: it made the phantom's model predict more of the finding, not less.
BLACK = -1.0
DRAWS = 32  # noisy copies of each image
SPREAD = 0.2  # of the noise, on the [-1, 1] scale
# The noise is smooth: the model hardly reacts to white noise, and then no map predicts anything
# (on the phantom even the map of the true change failed to predict 80 %, against 62 %).
GRID = 8
SILENT = 1e-5  # a change of the output that rounding may have made
ROUNDS = 3  # of encoding and decoding an image whose hot pixels are missing
REDRAWN_STEPS = 10  # in which all pixels are redrawn, fewer because each takes several passes
NO_DECODER = "the explained network has no decoder"
CURVES = "deletion", "insertion"
CLAIMS_NOTHING = "does not claim that its maps sum up to a difference of outputs"


@dataclass(frozen=True)
class FaithfulnessInput(CaseInput):
    """The model, images and counterfactuals (N, C, H, W), and signed maps (N, H, W).

    `baseline` is what the maps claim to explain the difference to, see `Explainer`. `response`
    (N, DRAWS) is `response_to_noise` of the images, where it is known.
    """

    model: Model
    target: ExplanationTarget
    image: Tensor
    attribution: Tensor
    counterfactual: Tensor | None
    baseline: CompletenessBaseline = None
    response: Tensor | None = None

    @classmethod
    def build(cls, source: Source) -> Self:
        """Read it."""
        return cls(
            source.model,
            source.target,
            source.image,
            attribution=source.read("explanations", "attribution"),
            counterfactual=source.read_optional("explanations", "counterfactual"),
            baseline=source.completeness_baseline,
            response=source.read("noise_response", "response"),
        )

    @functools.cached_property
    def order(self) -> Tensor:
        """Ranks of pixels, the hottest at 0: (N, H, W)."""
        return ranks(self.attribution, self.image)

    @functools.cached_property
    def deletion(self) -> Tensor:
        """How much of the finding is predicted as the hottest pixels turn black: (S, N)."""
        return self.curve(self.image, black(self.image))

    @functools.cached_property
    def insertion(self) -> Tensor:
        """How much of it is predicted as the hottest pixels appear on black: (S, N)."""
        return self.curve(black(self.image), self.image)

    def columns(self) -> Mapping[str, Tensor]:
        """Those curves that a metric has taken: (N, S)."""
        return {name: vars(self)[name].T for name in CURVES if name in vars(self)}

    def curve(self, start: Tensor, end: Tensor) -> Tensor:
        """Return the same as pixels of one image (N, C, H, W) replace those of another."""
        steps = exchange(self.model, self.target.task, start, end, self.order)
        return presence(self.target, steps, steps[0] if start is self.image else steps[-1])


GROUP = Group(
    "faithfulness",
    "Faithfulness",
    "does the map agree with how the model reacts to changes?",
    stages=("noise_response",),
    case_input=FaithfulnessInput,
    cost="about 65 passes of each image, 33 of the decoder, and 33 once for all explainers",
    criticism="Images with deleted pixels are unlike any that the model was trained on "
    "(Hooker et al. 2019, arXiv 1806.10758); rankings depend on what replaces a pixel "
    "(Bluecher et al. 2024, arXiv 2401.06654), and scores can be unreliable for single maps "
    "(Tomsett et al. 2020, arXiv 1912.01451).",
)


def black(image: Tensor) -> Tensor:
    """Return as many black images."""
    return image.new_full((), BLACK).expand_as(image)


@GROUP.metric(
    "deletion AUC",
    better="down",
    formula="area under f as pixels turn black, largest a first, in "
    f"{STEPS} equal steps; {BETWEEN}",
    fooled_by="A map of the brightest pixels, which lose most. Where missing density speaks for "
    "the output (negative attribution) there is nothing to delete.",
    source="Petsiuk et al. 2018 (deletion)",
    version="2",
)
def deletion_auc(data: FaithfulnessInput) -> Tensor:
    """How much of the finding the model still predicts as the hottest pixels turn black."""
    return area(data.deletion)


@GROUP.metric(
    "symmetric relevance gain",
    lowest=-0.5,
    highest=0.5,
    formula="half of: insertion AUC minus deletion AUC, because black pixels that appear largest a "
    "first are those that turn black smallest a first, in reverse",
    fooled_by="A map of the brightest pixels, as deletion AUC. Its ranking of methods agrees "
    "across replacements (arXiv 2401.06654); the level does not.",
    source="Bluecher et al. 2024 (arXiv 2401.06654)",
    version="2",
)
def symmetric_relevance_gain(data: FaithfulnessInput) -> Tensor:
    """How much longer the model predicts the finding as the coldest pixels turn black first.

    A random map gets 0 in the mean.
    """
    return (area(data.insertion) - area(data.deletion)) / 2


@GROUP.metric(
    "deletion in distribution",
    better="down",
    formula="area under f as pixels are replaced, largest a first, by those of G(E(x_k)), x_k the "
    f"image with them black, repeated {ROUNDS} times with x_k the result; {REDRAWN_STEPS} equal "
    f"steps; {BETWEEN}",
    fooled_by="A decoder that draws the finding again from what surrounds it, or that never draws "
    "it: it is then gone after a few pixels, whatever the map.",
    source="after Zheng et al. 2025 (F-Fidelity), with the model's decoder; Rezende et al. 2014 "
    "(imputation)",
    version="2",
    needs=NO_DECODER,
)
def deletion_in_distribution(data: FaithfulnessInput) -> Tensor | None:
    """How much of the finding the model predicts as the decoder redraws the hottest pixels.

    Black pixels are unlike any image that the model was trained on; what a decoder draws is not.
    """
    import torch

    target, image = data.target, data.image
    if not data.model.has_decoder:
        return None
    steps = torch.stack([
        activated(data.model, target.task, redrawn(data.model, image, hot))
        for hot in growing(data.order, REDRAWN_STEPS)
    ])  # fmt: skip
    return area(presence(target, steps, steps[0]))


def redrawn(model: Model, image: Tensor, hot: Tensor) -> Tensor:
    """Let the decoder draw the `hot` pixels (N, 1, H, W) of images (N, C, H, W) from the rest."""
    if not hot.any():
        return image
    drawn = black(image).where(hot, image)
    for _ in range(ROUNDS):
        drawn = decoded(model, drawn).where(hot, image)
    return drawn


@GROUP.metric(
    "insertion AUC",
    formula=f"area under f as pixels appear on black, largest a first, in {STEPS} equal steps; "
    f"{BETWEEN}",
    fooled_by="A map of the brightest pixels, as deletion AUC; a few pixels on black are unlike "
    "any image the model was trained on.",
    source="Petsiuk et al. 2018 (insertion), on black instead of a blurred image",
    version="2",
)
def insertion_auc(data: FaithfulnessInput) -> Tensor:
    """How soon the model predicts the finding as the hottest pixels appear on black."""
    return area(data.insertion)


@GROUP.metric(
    "infidelity",
    better="down",
    formula="min over b >= 0 of E (b I.a - (f(x) - f(x - I)))^2 / E (f(x) - f(x - I))^2; "
    f"{DRAWS} draws of grey noise I: N(0, {SPREAD}^2) on {GRID} x {GRID} points, enlarged "
    "bilinearly",
    fooled_by="Slopes: the changes are small, and a gradient predicts small changes best. "
    f"Detail finer than 1/{GRID} of the image is not seen.",
    source="Yeh et al. 2019 as captum computes it with normalize=True, divided by the mean "
    "squared change",
    version="2",
)
def infidelity(data: FaithfulnessInput) -> Tensor:
    """Share of the variance in the model's response to noise that the map fails to predict.

    NaN where the output does not change. A share, so that neither a saturated probability nor the
    unit of a regression matters; b >= 0, so that a negated map predicts nothing.
    """
    import torch

    response = data.response
    if response is None:
        response = response_to_noise(data.model, data.target, data.image)
    predicted = [  # one at a time: the noise of all cases would be as large as DRAWS images of each
        torch.einsum("hw,dhw->d", pixels.double(), smooth_noise(image[None])[0].double())
        for pixels, image in zip(data.attribution, data.image, strict=True)
    ]
    return unexplained(torch.stack(predicted), response.double())


def smooth_noise(images: Tensor) -> Tensor:
    """Draw smooth grey noise: images (N, C, H, W) -> (N, DRAWS, H, W)."""
    import torch.nn.functional as F

    noise = SPREAD * normals(images, (DRAWS, GRID, GRID))
    return F.interpolate(noise, size=images.shape[2:], mode="bilinear")


def response_to_noise(model: Model, target: ExplanationTarget, images: Tensor) -> Tensor:
    """Compute how far the output falls without each noise: images (N, C, H, W) -> (N, DRAWS).

    It depends on no map, and is computed once for all explainers.
    """
    unchanged = target.source_output(activated(model, target.task, images))
    change = images.new_empty(len(images), DRAWS)
    for cases, again in repeated(len(images), DRAWS):
        moved = images[again] - smooth_noise(images[cases]).flatten(0, 1)[:, None]
        after = target[again].source_output(activated(model, target.task, moved))
        change[cases] = unchanged[cases, None] - after.view(-1, DRAWS)
    return change


def unexplained(predicted: Tensor, change: Tensor) -> Tensor:
    """Share of the squared changes that the best multiple of `predicted` misses: (N, P) -> (N,)."""
    import torch

    length = predicted.norm(dim=1, keepdim=True)
    cosine = torch.cosine_similarity(predicted / length.where(length > 0, 1), change, dim=1)
    share = 1 - cosine.clamp(0, 1).square()
    return torch.where(change.square().mean(1).sqrt() > SILENT, share, torch.nan)


@GROUP.metric(
    "COUT",
    lowest=-1,
    formula="area under f of the target side minus area under f of the source side as pixels of x' "
    f"replace those of x, largest |x' - x| first, in {STEPS} equal steps; the target side is 1 - f "
    f"without classes; f is {BETWEEN}",
    fooled_by="Adversarial pixels: a few that flip the model score best. A weak decoder is blamed "
    "too, for x' differs from x also where it decodes badly.",
    source="Khorram and Fuxin 2022",
    version="2",
    needs=NO_COUNTERFACTUAL,
)
def cout(data: FaithfulnessInput) -> Tensor | None:
    """How soon the model reaches the target side as the most changed pixels are swapped in."""
    target, image, end = data.target, data.image, data.counterfactual
    if end is None:
        return None
    order = ranks((end - image).abs().mean(dim=1), image)
    steps = exchange(data.model, target.task, image, end, order)
    source = area(presence(target, steps, steps[0]))
    if target.task.kind != "multiclass":
        return 1 - 2 * source
    index = target.target_class[None, :, None].expand(len(steps), -1, 1)
    return area(steps.gather(2, index).squeeze(2)) - source


@GROUP.metric(
    "completeness gap",
    better="down",
    highest=INFINITE,
    formula="|sum of a - (g(x) - g(b))| / |g(x) - g(b)|, g the explained output before it is "
    "activated, b the baseline that the explainer names",
    fooled_by="A map that spreads the right sum anywhere: it is complete and says nothing about "
    "where. Baselines at which the model predicts what it does for x divide by little.",
    source="Sundararajan et al. 2017 (axiom of completeness)",
    needs=CLAIMS_NOTHING,
)
def completeness_gap(data: FaithfulnessInput) -> Tensor | None:
    """How far the sum of the map is from the difference of outputs that it claims to explain.

    NaN where the output does not differ.
    """
    import torch

    baseline = data.baseline
    if baseline is None:
        return None
    if baseline == "counterfactual":
        if data.counterfactual is None:
            return None
        empty = data.counterfactual
    else:
        empty = data.image.new_full((), baseline).expand_as(data.image)
    here, there = (
        data.target.source_output(outputs(data.model, x)).double() for x in (data.image, empty)
    )
    gap = (data.attribution.double().flatten(1).sum(1) - (here - there)).abs()
    return torch.where((here - there).abs() > SILENT, gap / (here - there).abs(), torch.nan)
