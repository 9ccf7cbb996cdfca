"""Occlusion (Zeiler & Fergus 2013): how far the output falls if a part is hidden."""

from __future__ import annotations

import math

import torch
from pydantic import Field, model_validator
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.batching import predict_variants


class Occlusion(gvr.Explainer):
    """The fall of the output under a grey square, averaged over the squares that hide a pixel.

    The same map as captum's `Occlusion`, in fewer forward passes.
    """

    class Settings(gvr.Settings):
        """The window is that of the papers; the stride is half of it."""

        window: int = Field(8, ge=1, description="side of the square in pixels")
        stride: int = Field(4, ge=1, description="pixels from one square to the next")
        replacement: float = Field(0.0, ge=-1, le=1, description="-1 black, 0 grey, 1 white")

        @model_validator(mode="after")
        def _cover(self) -> Occlusion.Settings:
            if self.stride > self.window:
                raise ValueError(
                    f"stride {self.stride} is larger than window {self.window} and would "
                    f"skip pixels"
                )
            return self

    settings: Settings

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Hide every window of every image once.

        Raises `UsageError` where the window is larger than the image.
        """
        s = self.settings
        n, _, h, w = x.shape
        rows, columns = (spans(side, s.window, s.stride).to(x.device) for side in (h, w))

        def hide(image: Tensor, place: Tensor) -> Tensor:
            across = columns[place % len(columns)][:, None, None, :]
            hidden = rows[place // len(columns)][:, None, :, None] & across  # (B, 1, H, W)
            return x[image].masked_fill(hidden, s.replacement)

        original = predict_variants(model, x, target, 1, lambda image, _: x[image])
        places = len(rows) * len(columns)
        falls = original - predict_variants(model, x, target, places, hide)  # (N, places)
        falls = falls.view(n, len(rows), len(columns))
        covers = rows.sum(0)[:, None] * columns.sum(0)  # (H, W)
        return gvr.Explanation(attribution=rows.T.float() @ falls @ columns.float() / covers)


def spans(side: int, window: int, stride: int) -> Tensor:
    """Return which pixels of a side each position of the window hides: (positions, side) bool.

    The last position reaches the border and is cut off there if the stride does not fit.
    Raises `UsageError` where the window is larger than the side.
    """
    if window > side:
        raise gvr.UsageError(
            f"explainer 'occlusion': window {window} is larger than the image, {side} pixels; "
            f"type e.g. --explainer occlusion:window={max(1, side // 4)}"
            f",stride={max(1, side // 8)}"
        )
    starts = torch.arange(math.ceil((side - window) / stride) + 1)[:, None] * stride
    pixels = torch.arange(side)
    return (pixels >= starts) & (pixels < starts + window)
