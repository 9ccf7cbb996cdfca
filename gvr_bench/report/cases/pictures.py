"""Arrays -> data URIs: images, attribution over an image, signed differences, contours.

PNG, or WebP where a `quality` (0 to 100) says how much detail may be lost.
"""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]

CRISP = 32
"""Images up to this size are shown pixel by pixel; larger ones are interpolated."""

MORE = np.array((148, 70, 250), dtype=np.float32)  # purple: density added
LESS = np.array((255, 138, 12), dtype=np.float32)  # orange: density removed
_CONTOUR = np.array((20, 214, 190), dtype=np.float32)
_OPACITY = 0.85  # of full colour over an image
_EXPONENT = 0.8  # below 1, weak values stay visible


def symmetric_scale(values: Float) -> float:
    """The 99.5th percentile of |values|, the value shown in full colour; 1 for an empty map."""
    finite = np.abs(values[np.isfinite(values)])
    top = float(np.percentile(finite, 99.5)) if finite.size else 0.0
    if top > 0:
        return top
    return float(finite.max()) if finite.size and finite.max() > 0 else 1.0


def plain(image: Bytes, edge: int, quality: int | None = None) -> str:
    """An image (C, H, W) as it is, `edge` pixels wide."""
    picture = _pillow(_channels_last(image))
    size = _shown(picture.width, edge)
    if size != picture.width:
        height = round(picture.height * size / picture.width)
        picture = picture.resize((size, height), Image.Resampling.LANCZOS)
    return _uri(picture, quality)


def overlay(
    image: Bytes, attribution: Float, scale: float, edge: int, quality: int | None = None
) -> str:
    """An attribution (H, W) over the grey image (C, H, W), more opaque where it is stronger."""
    size = _shown(image.shape[-1], edge)
    return _uri(_pillow(_overlaid(image, attribution, scale, size)), quality)


def outlined(
    image: Bytes,
    attribution: Float | None,
    mask: NDArray[np.bool_] | None,
    scale: float,
    edge: int,
    quality: int | None = None,
) -> str:
    """Like `overlay`, with the contour of a mask (H, W)."""
    size = _shown(image.shape[-1], edge)
    empty = np.zeros(image.shape[-2:], dtype=np.float32)
    picture = _overlaid(image, empty if attribution is None else attribution, scale, size)
    if mask is None or not mask.any():
        return _uri(_pillow(picture), quality)
    # Pixel by pixel or not, the line stays thinner than a pixel of a small image.
    fine = max(1, round(edge / size))
    picture = picture.repeat(fine, axis=0).repeat(fine, axis=1)
    smooth = Image.Resampling.NEAREST if is_crisp(image.shape[-1]) else Image.Resampling.BICUBIC
    large = np.asarray(_pillow(mask.astype(np.uint8) * 255).resize(picture.shape[1::-1], smooth))
    picture[_contour(large > 127, max(1, edge // 96))] = _CONTOUR
    return _uri(_pillow(picture), quality)


def difference(change: Float, scale: float, edge: int, quality: int | None = None) -> str:
    """A signed change (H, W) alone, transparent where nothing changed."""
    signed = _resized(_unit(change, scale), _shown(change.shape[-1], edge))[..., None]
    colour = np.where(signed >= 0, MORE, LESS)
    return _uri(_pillow(np.dstack([colour, 255 * np.abs(signed) ** _EXPONENT])), quality)


def is_crisp(size: int) -> bool:
    """Whether images of that size are shown pixel by pixel."""
    return size <= CRISP


def _overlaid(image: Bytes, attribution: Float, scale: float, size: int) -> Float:
    grey = _resized(_channels_last(image).reshape(*image.shape[-2:], -1).mean(2), size)[..., None]
    signed = _resized(_unit(attribution, scale), size)[..., None]
    opacity = _OPACITY * np.abs(signed) ** _EXPONENT
    colour = np.where(signed >= 0, MORE, LESS)
    blended: Float = (grey * (1 - opacity) + colour * opacity).astype(np.float32)
    return blended


def _unit(attribution: Float, scale: float) -> Float:
    signed: Float = np.clip(np.nan_to_num(attribution) / scale, -1, 1).astype(np.float32)
    return signed


def _contour(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """The outermost `width` pixels of a mask."""
    inner = np.pad(mask, width)
    for _ in range(width):
        padded = np.pad(inner, 1)
        inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner[width:-width, width:-width]


def _channels_last(image: Bytes) -> Bytes:
    """(C, H, W) -> (H, W, 3) for colour, else (H, W) of the first channel."""
    return np.moveaxis(image, 0, 2) if image.shape[0] == 3 else image[0]


def _shown(size: int, edge: int) -> int:
    """Small images are enlarged by the browser, pixel by pixel; large ones are made to fit."""
    return size if is_crisp(size) else edge


def _resized(plane: NDArray[np.floating], size: int) -> Float:
    """(H, W) -> a plane `size` wide, without the overshoot that sharper filters add."""
    h, w = plane.shape
    if w == size:
        return plane.astype(np.float32)
    image = Image.fromarray(plane.astype(np.float32), "F")
    large = np.asarray(image.resize((size, round(h * size / w)), Image.Resampling.BICUBIC))
    calm: Float = np.clip(large, plane.min(), plane.max()).astype(np.float32)
    return calm


def _pillow(pixels: NDArray[np.float32] | Bytes) -> Image.Image:
    return Image.fromarray(np.clip(np.round(pixels), 0, 255).astype(np.uint8))


def _uri(image: Image.Image, quality: int | None = None) -> str:
    buffer = io.BytesIO()
    if quality is None:
        image.save(buffer, "PNG", compress_level=6)
    else:
        image.save(buffer, "WEBP", quality=quality, alpha_quality=quality, method=2)
    kind = "png" if quality is None else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
