"""Arrays -> pictures: images, attribution over an image, signed differences, contours."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]

MORE = np.array((148, 70, 250), dtype=np.float32)  # purple: density added
LESS = np.array((255, 138, 12), dtype=np.float32)  # orange: density removed
_CONTOUR = np.array((20, 214, 190), dtype=np.float32)
EDGE = 128  # pixels of a picture on a page
_OPACITY = 0.85  # of full colour over an image
_EXPONENT = 0.8  # below 1, weak values stay visible
_QUALITY = 75  # of WebP


def symmetric_scale(values: Float) -> float:
    """The 99.5th percentile of |values|, the value shown in full colour; 1 for an empty map."""
    finite = np.abs(values[np.isfinite(values)])
    top = float(np.percentile(finite, 99.5)) if finite.size else 0.0
    if top > 0:
        return top
    return float(finite.max()) if finite.size and finite.max() > 0 else 1.0


def plain(image: Bytes, edge: int = EDGE) -> Image.Image:
    """An image (C, H, W) as it is, at most `edge` pixels wide."""
    picture = _pillow(_channels_last(image))
    size = min(picture.width, edge)
    height = round(picture.height * size / picture.width)
    return picture.resize((size, height), Image.Resampling.LANCZOS)


def overlay(image: Bytes, attribution: Float, scale: float, edge: int = EDGE) -> Image.Image:
    """An attribution (H, W) over the grey image (C, H, W), more opaque where it is stronger."""
    size = min(image.shape[-1], edge)
    grey = _resized(_channels_last(image).reshape(*image.shape[-2:], -1).mean(2), size)[..., None]
    signed = _resized(_unit(attribution, scale), size)[..., None]
    opacity = _OPACITY * np.abs(signed) ** _EXPONENT
    blended = grey * (1 - opacity) + np.where(signed >= 0, MORE, LESS) * opacity
    return _pillow(blended)


def difference(change: Float, scale: float, edge: int) -> Image.Image:
    """A signed change (H, W) alone, transparent where nothing changed."""
    signed = _resized(_unit(change, scale), min(change.shape[-1], edge))[..., None]
    colour = np.where(signed >= 0, MORE, LESS)
    return _pillow(np.dstack([colour, 255 * np.abs(signed) ** _EXPONENT]))


def contour(mask: NDArray[np.bool_], edge: int) -> Image.Image:
    """The outline of a mask (H, W) on a transparent picture that is `edge` pixels wide."""
    from scipy.ndimage import binary_erosion

    large = _resized(mask.astype(np.float32), edge) > 0.5
    line = large & ~binary_erosion(large, iterations=max(1, edge // 96))
    return _pillow(np.dstack([np.broadcast_to(_CONTOUR, (*line.shape, 3)), 255.0 * line]))


def uri(picture: Image.Image) -> str:
    """A picture as a data URI: PNG where it is transparent, else WebP."""
    buffer = io.BytesIO()
    kind = "png" if picture.mode == "RGBA" else "webp"
    options = {"compress_level": 6} if kind == "png" else {"quality": _QUALITY, "method": 2}
    picture.save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _unit(attribution: Float, scale: float) -> Float:
    signed: Float = np.clip(np.nan_to_num(attribution) / scale, -1, 1).astype(np.float32)
    return signed


def _channels_last(image: Bytes) -> Bytes:
    """(C, H, W) -> (H, W, 3) for colour, else (H, W) of the first channel."""
    return np.moveaxis(image, 0, 2) if image.shape[0] == 3 else image[0]


def _resized(plane: NDArray[np.floating], size: int) -> Float:
    """(H, W) -> a plane `size` wide, without the overshoot that sharper filters add."""
    h, w = plane.shape
    image = Image.fromarray(plane.astype(np.float32), "F")
    large = np.asarray(image.resize((size, round(h * size / w)), Image.Resampling.BICUBIC))
    calm: Float = np.clip(large, plane.min(), plane.max()).astype(np.float32)
    return calm


def _pillow(pixels: NDArray[np.floating] | Bytes) -> Image.Image:
    return Image.fromarray(np.clip(np.round(pixels), 0, 255).astype(np.uint8))
