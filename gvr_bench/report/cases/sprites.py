"""The pictures of a case as one sheet of grey layers, small enough for hundreds of cases."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gvr_bench.report.cases.pictures import Float
from gvr_bench.report.cases.reading import Combination, Explained
from gvr_bench.report.cases.views import change_scale, heat_scale, shown

Bytes = NDArray[np.uint8]

PER_CASE = 80_000
"""Characters that the pictures of one case may take on average; of 500 cases 40 million."""

_FEWEST, _MOST = 100, 500  # a page of fewer cases has more for each, one of more has less
_LARGEST = 512  # wider layers than any screen shows beside each other
_SAMPLED = 4  # cases of each combination, from which the size of all is estimated
_MARGIN = 1.1
_BLOCK = 16  # pixels that lossy compression treats as one


@dataclass(frozen=True)
class Encoding:
    """How sheets are written: lossless, or WebP of a `quality`; each side `shrink` times less."""

    quality: int | None = None
    shrink: int = 1

    @property
    def exact(self) -> bool:
        """Whether the bytes of a layer come back as they were."""
        return self.quality is None

    @property
    def type(self) -> str:
        """The media type of a sheet."""
        return "image/png" if self.exact else "image/webp"


LADDER = tuple(
    Encoding(quality, shrink) for shrink in (1, 2, 4, 8) for quality in (None, 95, 90, 80, 65, 50)
)
"""From the best to the smallest."""


@dataclass(frozen=True)
class Layers:
    """All that is drawn of k cases as grey layers (k, n, H, W), `arrays` one after the other.

    `places` says at which layer a picture begins. The layers `moved` lie on the way to a
    counterfactual and are kept as what the reconstruction, at the layers `base`, has more, which
    is nowhere more than `reach`.
    """

    arrays: tuple[Bytes, ...]
    places: dict[str, int]
    moved: NDArray[np.int64]
    base: NDArray[np.int64]
    reach: int

    def __len__(self) -> int:
        return len(self.arrays[0])

    def case(self, i: int) -> Bytes:
        """The layers (n, H, W) of one case."""
        return np.concatenate([array[i] for array in self.arrays])


class _Stack:
    """Layers as they are put on each other."""

    def __init__(self) -> None:
        self.arrays: list[Bytes] = []
        self.places: dict[str, int] = {}
        self.height = 0

    def add(self, name: str, *arrays: Bytes) -> NDArray[np.int64]:
        """Put arrays (k, n, H, W) on top and return at which layers they lie."""
        first = self.places[name] = self.height
        self.arrays += arrays
        self.height += sum(array.shape[1] for array in arrays)
        return np.arange(first, self.height)


@dataclass(frozen=True)
class CheckReport:
    """One picture with all layers of a case, row by row of `columns`; each `width` x `height`.

    A layer lies in the upper left of a cell of `cell` pixels each way.
    """

    data: bytes
    columns: int
    width: int
    height: int
    cell: tuple[int, int]

    @property
    def text(self) -> str:
        """The file as base64."""
        return base64.b64encode(self.data).decode("ascii")


def signed_bytes(values: Float, scale: float) -> Bytes:
    """Values as bytes: 128 is 0, 255 is `scale` or more and 1 the same of the other sign."""
    unit = np.clip(np.nan_to_num(values) / scale, -1, 1)
    return np.asarray(np.round(unit * 127) + 128, dtype=np.uint8)


def layers_of(c: Combination) -> Layers:
    """The layers of all cases, on the scales that all maps share."""
    scale = change_scale(c)
    stack = _Stack()
    stack.add("input", c.input)
    moved = base = start = np.zeros(0, np.int64)
    reach = 1
    if c.reconstruction is not None:
        start = stack.add("reconstruction", c.reconstruction)
    if c.true_change is not None:
        stack.add("change", signed_bytes(c.true_change, scale)[:, None])
    if c.mask is not None:
        stack.add("mask", c.mask[:, None].astype(np.uint8) * 255)
    for number, e in enumerate(shown(c)):
        assert e.attribution is not None
        stack.add(
            f"attribution {number}", signed_bytes(e.attribution, heat_scale(e, scale))[:, None]
        )
        if e.counterfactual is not None:
            reach = max(reach, _reach(c, e))
            way = stack.add(f"frames {number}", *_frames(e))
            moved, base = np.append(moved, way), np.append(base, np.resize(start, len(way)))
    return Layers(tuple(stack.arrays), stack.places, moved, base, reach)


def frames(e: Explained) -> int:
    """How many pictures of a way are kept: all but the reconstruction, which many ways share."""
    return 1 if e.path is None else e.path.shape[1] - 1


def _frames(e: Explained) -> tuple[Bytes, ...]:
    """The pictures of a way in turn, (k, n, H, W) each."""
    assert e.counterfactual is not None
    if e.path is None:
        return (e.counterfactual,)
    k, _, _, h, w = e.path.shape
    return e.path[:, 1:-1].reshape(k, -1, h, w), e.counterfactual


def _reach(c: Combination, e: Explained) -> int:
    """How far any pixel is moved on any way."""
    assert c.reconstruction is not None
    assert e.counterfactual is not None
    pixels = e.counterfactual[:, None] if e.path is None else e.path
    highest, lowest = pixels.max(axis=1).astype(np.int16), pixels.min(axis=1).astype(np.int16)
    start = c.reconstruction.astype(np.int16)
    return int(max((highest - start).max(), (start - lowest).max(), 1))


def sheet_of(layers: Layers, i: int, encoding: Encoding) -> CheckReport:
    """Draw all layers of case `i` on one sheet."""
    planes = _smaller(layers.case(i), encoding.shrink)
    n, h, w = planes.shape
    before, after = planes[layers.base].astype(np.int16), planes[layers.moved].astype(np.int16)
    # Without loss a difference wraps around and comes back whole; else it takes what room it has.
    change = before - after
    if encoding.exact:
        planes[layers.moved] = change.astype(np.uint8)
    else:
        planes[layers.moved] = signed_bytes(change.astype(np.float32), layers.reach)
    if not encoding.exact:
        planes = np.pad(planes, ((0, 0), (0, -h % _BLOCK), (0, -w % _BLOCK)), mode="edge")
    columns = math.ceil(math.sqrt(n))
    _, tall, wide = planes.shape
    rows = math.ceil(n / columns)
    grid = np.zeros((rows * columns, tall, wide), np.uint8)
    grid[:n] = planes
    whole = grid.reshape(rows, columns, tall, wide).swapaxes(1, 2).reshape(rows * tall, -1)
    return CheckReport(_written(whole, encoding), columns, w, h, (wide, tall))


def _smaller(planes: Bytes, times: int) -> Bytes:
    """Each plane with the mean of `times` x `times` pixels for one."""
    if times == 1:
        return planes
    return np.stack([np.asarray(Image.fromarray(plane).reduce(times)) for plane in planes])


def _written(picture: Bytes, encoding: Encoding) -> bytes:
    buffer = io.BytesIO()
    if encoding.quality is None:
        Image.fromarray(picture).save(buffer, "PNG", compress_level=6)
    else:
        Image.fromarray(picture).save(buffer, "WEBP", quality=encoding.quality, method=2)
    return buffer.getvalue()


def budget(cases: int) -> int:
    """How many characters the sheets of a page with so many cases may take together."""
    return PER_CASE * max(_FEWEST, min(_MOST, cases))


def choose(every: Sequence[Layers], first: int = 0) -> int:
    """The first place on the ladder, from `first` on, at which all sheets are likely to fit."""
    room = budget(sum(map(len, every)))
    widest = max((layers.arrays[0].shape[-1] for layers in every if len(layers)), default=1)
    for place in range(first, len(LADDER) - 1):
        encoding = LADDER[place]
        if math.ceil(widest / encoding.shrink) > _LARGEST:
            continue
        if sum(_estimate(layers, encoding) for layers in every) * _MARGIN <= room:
            return place
    return len(LADDER) - 1


def _estimate(layers: Layers, encoding: Encoding) -> float:
    """About how many characters the sheets of all cases will take."""
    k = len(layers)
    some = sorted({round(at) for at in np.linspace(0, k - 1, min(k, _SAMPLED))})
    sizes = [len(sheet_of(layers, i, encoding).data) for i in some]
    return k * float(np.mean(sizes)) * 4 / 3 if sizes else 0.0


def sheets(every: Sequence[Layers]) -> tuple[Encoding, list[list[CheckReport]]]:
    """The sheets of all cases, and how they are written: as well as the budget allows."""
    room = budget(sum(map(len, every)))
    place = choose(every)
    while True:
        drawn = [list(_drawn(layers, LADDER[place])) for layers in every]
        taken = sum(len(sheet.data) for group in drawn for sheet in group) * 4 / 3
        if taken <= room or place == len(LADDER) - 1:
            return LADDER[place], drawn
        place = choose(every, place + 1)


def _drawn(layers: Layers, encoding: Encoding) -> Iterator[CheckReport]:
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(lambda i: sheet_of(layers, i, encoding), range(len(layers)))
