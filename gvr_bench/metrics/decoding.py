"""How good the decoder is on the test split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gvr_bench.metrics.base import INFINITE, Group
from gvr_bench.metrics.frechet import fid
from gvr_bench.metrics.image_similarity import RANGE, WINDOW, l1, ssim
from gvr_bench.metrics.prediction import PredictionScore
from gvr_bench.metrics.statistics import score

if TYPE_CHECKING:
    from torch import Tensor

GROUP = Group(
    "decoding",
    "Decoder",
    "how good its decoder is, on the test split",
    cost="each test image through encoder and decoder ten times",
    criticism="FID depends on the number of images, by another amount for each generator "
    "(Chong and Forsyth 2020, arXiv 1911.07023).",
)

GROUP.declare(
    "reconstruction_l1",
    "reconstruction L1",
    "mean absolute difference between an image and its reconstruction",
    better="down",
    highest=RANGE,
    formula="mean of |x - r| over pixels, r = G(E(x)), images in [-1, 1]",
    fooled_by="Small findings: a decoder that leaves them out loses little. Blur is hardly "
    "punished.",
    source="generative visual rationales (2018), section 2",
)
GROUP.declare(
    "reconstruction_ssim",
    "reconstruction SSIM",
    "structural similarity of an image and its reconstruction",
    lowest=-1,
    formula=f"mean SSIM of x and r = G(E(x)) over windows of {WINDOW} x {WINDOW} pixels, "
    "averaged over channels",
    fooled_by="Empty background, which is always alike: compare on one data set only.",
    source="Wang et al. 2004; scikit-image, structural_similarity",
    needs=f"images are smaller than {WINDOW} x {WINDOW} pixels",
)
GROUP.declare(
    "composition_10",
    "composition",
    "change of an image after ten rounds of encoding and decoding",
    better="down",
    highest=RANGE,
    formula="mean of |x - (G o E)^10(x)| over pixels, images in [-1, 1]",
    fooled_by="A decoder that turns all images into one average: read it beside the "
    "reconstruction.",
    source="Monteiro et al. 2023",
)
GROUP.declare(
    "sample_fid",
    "sample FID",
    "Frechet distance between samples of the generator and real test images",
    better="down",
    highest=INFINITE,
    formula="|m - m'|^2 + tr(S + S' - 2 (S S')^1/2) of the oracle's penultimate features, "
    "as many samples as images, at most 1,000",
    fooled_by="The oracle's features and the number of images, which both set its scale: compare "
    "on one data set only. What the oracle ignores does not count.",
    source="Heusel et al. 2017, with the oracle in place of Inception",
    needs="fewer than two test images",
)


def decoding_scores(
    image: Tensor, reconstruction: Tensor, change: Tensor, features: Tensor, sampled: Tensor
) -> Iterator[PredictionScore]:
    """Score a decoder by its reconstructions of N images, and by its own samples.

    `image` and `reconstruction` are (N, C, H, W) in [-1, 1]; `change` (K,) is the mean absolute
    difference between some images and the reconstruction of their reconstruction and so on, ten
    times; `features` (N, F) and `sampled` (M, F) are the oracle's of the images and of the samples.
    """
    values = {
        "reconstruction_l1": l1(image, reconstruction),
        "reconstruction_ssim": ssim(image, reconstruction),
        "composition_10": change,
    }
    needs = {declaration.name: declaration.needs for declaration in GROUP.declarations}
    scores = {name: score(column.cpu().numpy()) for name, column in values.items()}
    for name, result in (scores | {"sample_fid": fid(sampled, features)}).items():
        yield PredictionScore(name, "all", result, "" if result.n else needs[name])
