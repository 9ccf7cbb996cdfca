"""The latent space in two dimensions: findings, cases, and where counterfactuals went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gvr_bench.report.cases.reading import Combination, Explained, Space
from gvr_bench.report.charts.axis import Axis, Frame, framed
from gvr_bench.report.charts.naming import finding_of, whose
from gvr_bench.report.charts.shapes import DOT, RING, SHAPES, Shape, evenly, path_of

WIDTH, HEIGHT = 300.0, 300.0

_ARROWS = 40
_HEAD = 4.5  # length of an arrow's head
_ROOM = 0.04  # around the outermost points, as a share of the frame
_FAR = 0.5  # counterfactuals widen the frame by this share of it to each side, at most
_LETTER, _ROW, _BENEATH, _KEY = 6.6, 19.0, 62.0, 14.0  # of the legend

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class Group:
    """Test images of one class as an SVG path; `style` gives the colour.

    `aside` are classes that no case comes from or goes to.
    """

    name: str
    style: str
    shape: Shape
    n: int
    points: str
    aside: bool = False


@dataclass(frozen=True)
class Journey:
    """From cases to one explainer's counterfactuals, as SVG paths: flipped, and not."""

    explainer: str
    flipped: str
    missed: str
    note: str


@dataclass(frozen=True)
class Entry:
    """What a mark means, beneath the chart: `key` is an SVG path, `x` and `y` those of the name."""

    name: str
    style: str
    key: str
    x: float
    y: float


@dataclass(frozen=True)
class SpaceChart:
    """Latents of one model; `beneath` is the height of the legend."""

    title: str
    caption: str
    note: str
    description: str
    frame: Frame
    groups: tuple[Group, ...]
    starts: str
    journeys: tuple[Journey, ...]
    legend: tuple[Entry, ...]
    beneath: float


def space_chart(combination: Combination) -> SpaceChart | None:
    """Draw the latents of the test images; None where the run holds none."""
    c, space = combination, combination.space
    if space is None or len(space.points) < 2 or not np.isfinite(space.points).all():
        return None
    if not np.ptp(space.points, axis=0).any():
        return None
    moved = [e for e in c.explainers if e.end is not None and len(e.end)]
    axes = _axes(space, [e.end for e in moved if e.end is not None])
    groups = tuple(_groups(c, space, axes))
    journeys = tuple(_journey(space.start, e, axes) for e in moved)
    start = space.start[np.isfinite(space.start).all(axis=1)][:_ARROWS]
    legend = _legend(groups, len(start) > 0, journeys)
    whole = float(np.sum(space.shares))
    first, second = (f"{100 * float(share):.0f} % of the variance" for share in space.shares)
    return SpaceChart(
        title=whose(c),
        caption=f"n = {len(space.points):,} test images",
        note=f"The plane holds {100 * whole:.0f} % of the variance: what lies close together here "
        "may be far apart in the rest.",
        description="; ".join(f"{one.name}: {one.n:,} images" for one in groups),
        frame=framed(*axes, f"first component, {first}", f"second component, {second}"),
        groups=groups,
        starts=_marks(start, axes, RING),
        journeys=journeys,
        legend=legend,
        beneath=max((entry.y for entry in legend), default=HEIGHT) - HEIGHT - 36,
    )


def _axes(space: Space, ends: Sequence[NDArray[np.float32]]) -> tuple[Axis, Axis]:
    """Both axes in the same units, so that distances can be compared in all directions."""
    points = np.concatenate([space.points, space.start]).astype(np.float64)
    points = points[np.isfinite(points).all(axis=1)]
    low, high = points.min(axis=0), points.max(axis=0)
    far = _FAR * (high - low)
    for end in ends:
        known = end[np.isfinite(end).all(axis=1)]
        if len(known):
            low = np.minimum(low, np.maximum(known.min(axis=0), points.min(axis=0) - far))
            high = np.maximum(high, np.minimum(known.max(axis=0), points.max(axis=0) + far))
    sides = np.array([WIDTH, HEIGHT])
    half = sides * float(np.max((high - low) / sides)) * (0.5 + _ROOM)
    middle = (low + high) / 2
    x, y = (
        Axis(float(m - h), float(m + h), float(side))
        for m, h, side in zip(middle, half, sides, strict=True)
    )
    return x, y


def _placed(points: NDArray[np.floating], axes: tuple[Axis, Axis]) -> Float:
    """Points (n, 2) where SVG draws them."""
    x, y = axes
    return np.column_stack([x.places(points[:, 0]), HEIGHT - y.places(points[:, 1])])


def _marks(points: NDArray[np.floating], axes: tuple[Axis, Axis], shape: Shape) -> str:
    at = _placed(points, axes)
    return path_of(at[:, 0], at[:, 1], shape)


def _groups(c: Combination, space: Space, axes: tuple[Axis, Axis]) -> Iterator[Group]:
    """The images of each class, the least telling first since later ones cover them."""
    shown = evenly(len(space.points))

    def group(name: str, style: str, mine: Bool, shape: Shape = DOT, aside: bool = False) -> Group:
        points = space.points[shown][mine[shown]]
        return Group(name, style, shape, int(mine.sum()), _marks(points, axes, shape), aside)

    if c.kind != "multiclass":
        output = _asked_most(c)
        mine: Bool = space.positive[:, output]
        name = finding_of(c, output)
        yield group(f"without {name}" if len(c.outputs) > 1 else "without", "rest", ~mine)
        yield group(name, "accent", mine)
        return
    common = np.argsort(-space.positive.sum(axis=0), kind="stable")
    named = sorted(common[: len(SHAPES)].tolist())
    other: Bool = np.logical_not(space.positive[:, named].any(axis=1))
    if other.any():
        yield group("other classes", "rest", other)
    asked = {*c.source.tolist(), *c.target.tolist()} or set(named)
    for number, (k, shape) in enumerate(zip(named, SHAPES, strict=False)):
        yield group(c.outputs[k], f"class-{number}", space.positive[:, k], shape, k not in asked)


def _asked_most(c: Combination) -> int:
    """The output that most cases ask about, the first where none does."""
    return Counter(c.target.tolist()).most_common(1)[0][0] if len(c.target) else 0


def _journey(start: NDArray[np.float32], explainer: Explained, axes: tuple[Axis, Axis]) -> Journey:
    assert explainer.end is not None
    k = min(_ARROWS, len(start), len(explainer.end))
    end = explainer.end[:k]
    known = np.isfinite(start[:k]).all(axis=1) & np.isfinite(end).all(axis=1)
    found = known if explainer.found is None else explainer.found[:k].astype(bool)
    low, high = (np.array([getattr(axis, name) for axis in axes]) for name in ("low", "high"))
    beyond = int((((end < low) | (end > high)).any(axis=1) & known).sum())
    note = f"{explainer.name}: {int((found & known).sum())} of {int(known.sum())} cases flipped"
    if beyond:
        note += f", {beyond} beyond the edge"
    a, b = _placed(start[:k], axes), _placed(end, axes)
    flipped, missed = (_arrows(a[some], b[some]) for some in (known & found, known & ~found))
    return Journey(explainer.name, flipped, missed, note)


def _arrows(start: Float, end: Float) -> str:
    """One path of arrows (n, 2) -> (n, 2); heads are drawn since markers end a whole path only."""
    way = end - start
    length = np.linalg.norm(way, axis=1, keepdims=True)
    back = -way / np.maximum(length, 1e-9) * np.minimum(_HEAD, length)
    left, right = (
        back @ np.array([[0.9, 0.45], [-0.45, 0.9]]),
        back @ np.array([[0.9, -0.45], [0.45, 0.9]]),
    )
    return "".join(
        f"M{s[0]:g},{s[1]:g}L{e[0]:g},{e[1]:g}m{p[0]:.1f},{p[1]:.1f}L{e[0]:g},{e[1]:g}"
        f"l{q[0]:.1f},{q[1]:.1f}"
        for s, e, p, q in zip(start, end, left, right, strict=True)
    )


def _legend(groups: Sequence[Group], cases: bool, journeys: Sequence[Journey]) -> tuple[Entry, ...]:
    """Names with their marks in rows as wide as the chart."""
    wanted = [(f"{one.name} ({one.n:,})", one.style, one.shape.commands) for one in groups]
    if cases:
        wanted.append(("case", "start", RING.commands))
    arrow = "m-7 0h14m-4-2.5l4 2.5-4 2.5"
    if any(one.flipped for one in journeys):
        wanted.append(("to its counterfactual", "arrow", arrow))
    if any(one.missed for one in journeys):
        wanted.append(("that did not flip it", "arrow missed", arrow))
    entries: list[Entry] = []
    x, y = 0.0, HEIGHT + _BENEATH
    for name, style, mark in wanted:
        before = 2 * _KEY if "arrow" in style else _KEY
        width = before + _LETTER * len(name)
        if x > 0 and x + width > WIDTH:
            x, y = 0.0, y + _ROW
        entries.append(
            Entry(name, style, f"M{x + before / 2 - 2:g},{y - 4:g}{mark}", x + before, y)
        )
        x += width + _KEY
    return tuple(entries)
