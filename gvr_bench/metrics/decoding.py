"""How good the decoder is on the test split, and how good the oracle that judges with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from gvr_bench.metrics.base import ENDS, INFINITE, NO_SCORE, RESAMPLES, Declaration, Score, score
from gvr_bench.metrics.frechet import frechet_distance, frechet_distances
from gvr_bench.metrics.prediction import ONE_CLASS, PredictionScore

if TYPE_CHECKING:
    from torch import Tensor

RANGE = 2.0  # of images in [-1, 1]
WINDOW = 7  # pixels, scikit-image's default
CHUNK = 50  # resamples drawn at a time, of one side and then the other
AT_ONCE = 2**24  # numbers of resampled features at a time, to bound memory

DECODING = (
    Declaration(
        "reconstruction_l1",
        "decoding",
        "reconstruction L1",
        "down",
        0,
        RANGE,
        "mean absolute difference between an image and its reconstruction",
        "mean of |x - r| over pixels, r = G(E(x)), images in [-1, 1]",
        "Small findings: a decoder that leaves them out loses little. Blur is hardly punished.",
        "generative visual rationales (2018), section 2",
    ),
    Declaration(
        "reconstruction_ssim",
        "decoding",
        "reconstruction SSIM",
        "up",
        -1,
        1,
        "structural similarity of an image and its reconstruction",
        f"mean SSIM of x and r = G(E(x)) over windows of {WINDOW} x {WINDOW} pixels, averaged over "
        "channels",
        "Empty background, which is always alike: compare on one data set only.",
        "Wang et al. 2004; scikit-image, structural_similarity",
        f"images are smaller than {WINDOW} x {WINDOW} pixels",
    ),
    Declaration(
        "composition_10",
        "decoding",
        "composition",
        "down",
        0,
        RANGE,
        "drift when an image is encoded and decoded ten times and nothing is asked of it",
        "mean of |x - (G o E)^10(x)| over pixels, images in [-1, 1]",
        "A decoder that makes one average image of all: read it beside the reconstruction.",
        "Monteiro et al. 2023",
    ),
    Declaration(
        "sample_fid",
        "decoding",
        "sample FID",
        "down",
        0,
        INFINITE,
        "Frechet distance between draws of the generator and real test images",
        "|m - m'|^2 + tr(S + S' - 2 (S S')^1/2) of the oracle's penultimate features, "
        "as many draws as images, at most 1,000",
        "The oracle's features and the number of images, which both set its scale: compare on one "
        "data set only. What the oracle does not look at does not count.",
        "Heusel et al. 2017, with the oracle in place of Inception",
        "fewer than two test images",
    ),
)

ORACLE_PREDICTION = (
    Declaration(
        "oracle_auroc",
        "oracle",
        "AUROC of the oracle",
        "up",
        0,
        1,
        "area under the receiver operating curve of the oracle itself; 0.5 is chance",
        "as the model's AUROC, with o(x) in place of f(x)",
        "A judge no better than chance says nothing, whatever it is asked.",
        "scikit-learn, roc_auc_score",
        ONE_CLASS,
    ),
    Declaration(
        "oracle_accuracy",
        "oracle",
        "accuracy of the oracle",
        "up",
        0,
        1,
        "share of the oracle's own predictions that are right",
        "as the model's accuracy, with o(x) in place of f(x) and the oracle's own thresholds",
        "Rare findings: calling none is right most of the time.",
        "scikit-learn, accuracy_score",
    ),
    Declaration(
        "oracle_mae",
        "oracle",
        "MAE of the oracle",
        "down",
        0,
        INFINITE,
        "mean absolute error of the oracle's own prediction",
        "mean of |o(x) - y|, in the unit of the task",
        "Skewed targets: a few large values make most of it.",
        "scikit-learn, mean_absolute_error",
        unit="task",
    ),
)


def decoding_scores(
    image: Tensor, reconstruction: Tensor, composition: Tensor, features: Tensor, sampled: Tensor
) -> Iterator[PredictionScore]:
    """Score a decoder by what it makes of N images, and by its own draws.

    `image`, `reconstruction` and `composition`, the reconstruction of the reconstruction and so
    on, ten times, are (N, C, H, W) in [-1, 1]; `features` (N, F) and `sampled` (M, F) are the
    oracle's of the images and of the draws.
    """
    values = {
        "reconstruction_l1": l1(image, reconstruction),
        "reconstruction_ssim": ssim(image, reconstruction),
        "composition_10": l1(image, composition),
    }
    needs = {declaration.name: declaration.needs for declaration in DECODING}
    scores = {name: score(one.cpu().numpy()) for name, one in values.items()}
    for name, found in (scores | {"sample_fid": fid(sampled, features)}).items():
        yield PredictionScore(name, "all", found, "" if found.n else needs[name])


def l1(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of images (N, C, H, W): (N,)."""
    return (a - b).double().abs().flatten(1).mean(1)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of images (N, C, H, W) in [-1, 1]: (N,) in [-1, 1].

    The index multiplies means, so it is taken of brightness from 0 to 2: around 0 a negated image
    would seem alike. NaN where images are smaller than the window.
    """
    import torch
    from skimage.metrics import structural_similarity

    if min(a.shape[-2:]) < WINDOW:
        return torch.full((len(a),), torch.nan, dtype=torch.float64)
    pairs = zip(*((images.double() + 1).cpu().numpy() for images in (a, b)), strict=True)
    values = [
        structural_similarity(  # type: ignore[no-untyped-call]
            one, other, win_size=WINDOW, data_range=RANGE, channel_axis=0
        )
        for one, other in pairs
    ]
    return torch.tensor(values, dtype=torch.float64)


def fid(a: Tensor, b: Tensor) -> Score:
    """Frechet distance between features (N, F) and (M, F) with a bootstrap interval over both.

    Resampling with replacement raises all distances alike, so the resampled ones are moved until
    their median is the distance itself; the interval ends at 0.
    """
    import torch

    if min(len(a), len(b)) < 2:
        return NO_SCORE
    value = frechet_distance(a, b)
    rng = torch.Generator().manual_seed(0)
    count = max(1, AT_ONCE // max(a.numel(), b.numel()))
    drawn = []
    for _ in range(RESAMPLES // CHUNK):
        rows = [torch.randint(len(t), (CHUNK, len(t)), generator=rng) for t in (a, b)]
        for of_a, of_b in zip(*(torch.split(r, count) for r in rows), strict=True):
            drawn.append(frechet_distances(a[of_a], b[of_b]))
    low, middle, high = np.quantile(torch.cat(drawn).cpu(), [ENDS[0], 0.5, ENDS[1]])
    shift = value - middle
    return Score(value, max(0.0, float(low + shift)), float(high + shift), min(len(a), len(b)))
