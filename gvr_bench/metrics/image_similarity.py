"""How alike images are, and how alike maps are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

RANGE = 2.0  # of images in [-1, 1]
WINDOW = 7  # pixels, scikit-image's default


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
            image, other, win_size=WINDOW, data_range=RANGE, channel_axis=0
        )
        for image, other in pairs
    ]
    return torch.tensor(values, dtype=torch.float64)


def map_similarity(attribution: Tensor, other: Tensor) -> Tensor:
    """Structural similarity of maps, each divided by its largest |attribution|: (N, H, W) -> (N,).

    Two maps of 0 have 1.
    """

    def scaled(maps: Tensor) -> Tensor:
        largest = maps.double().abs().amax(dim=(1, 2), keepdim=True)
        return (maps / largest.where(largest > 0, 1))[:, None]

    return ssim(scaled(attribution), scaled(other))
