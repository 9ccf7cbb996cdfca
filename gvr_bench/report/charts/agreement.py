"""How far explainers look at the same places: rank correlations of their maps.

Of |attribution|, not of signed attribution: some explainers give no sign (a gradient's size, an edge), others
give it a meaning of their own (towards the class, or density that goes), while all claim that
pixels of more |attribution| matter more, which is also what pixel AP scores. What is compared is thus
where explainers look, not which way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from gvr_bench.metrics import Score, score
from gvr_bench.report import formatting as text
from gvr_bench.report.cases.reading import Combination
from gvr_bench.report.charts.naming import whose
from gvr_bench.report.metric_info import is_control

MOST_CASES = 100

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """Mean correlation of two explainers; `level` is its size in tenths, `sign` `more` or `less`.

    `text` is empty on the diagonal and a dash where no case has both maps.
    """

    text: str
    level: int
    sign: str


@dataclass(frozen=True)
class Agreement:
    """A symmetric table of explainers in the order `names`; `told` is what it says in words."""

    title: str
    caption: str
    told: str
    names: tuple[str, ...]
    controls: tuple[bool, ...]
    rows: tuple[tuple[Pair, ...], ...]


def agreement(combination: Combination) -> Agreement | None:
    """Compare the maps of one model's explainers; None for fewer than two."""
    maps = {
        e.name: e.attribution[:MOST_CASES]
        for e in combination.explainers
        if e.attribution is not None and len(e.attribution)
    }
    if len(maps) < 2 or len({attribution.shape for attribution in maps.values()}) > 1:
        return None
    names = list(maps)
    each = rank_correlations(list(maps.values()))  # (k, E, E)
    counts = np.isfinite(each).sum(axis=0)
    means = np.nansum(each, axis=0) / np.where(counts, counts, np.nan)
    order = alike(means)
    apart = [counts[i, j] for i in range(len(names)) for j in range(i)]
    n = f"{min(apart):,}" if min(apart) == max(apart) else f"{min(apart):,} to {max(apart):,}"
    return Agreement(
        title=whose(combination),
        caption=f"mean Spearman correlation of |attribution| over the pixels, n = {n} cases",
        told=_told(names, each, means),
        names=tuple(names[i] for i in order),
        controls=tuple(is_control(names[i]) for i in order),
        rows=tuple(tuple(_pair(means[i, j], i == j) for j in order) for i in order),
    )


def rank_correlations(maps: Sequence[Float]) -> NDArray[np.float64]:
    """Spearman correlations (k, E, E) of |attribution| of E explainers with maps (k, H, W) each.

    NaN where a map is constant or not finite.
    """
    return np.stack([_correlated(np.stack(case)) for case in zip(*maps, strict=True)])


def _correlated(maps: Float) -> NDArray[np.float64]:
    """(E, H, W) -> (E, E)."""
    flat = np.abs(maps.reshape(len(maps), -1))
    ranked = ranks(np.nan_to_num(flat))
    ranked -= ranked.mean(axis=1, keepdims=True)
    length = np.linalg.norm(ranked, axis=1)
    usable = (length > 0) & np.isfinite(flat).all(axis=1)
    unit = ranked / np.where(usable, length, 1.0)[:, None]
    found = (unit @ unit.T).astype(np.float64)
    found[~usable] = np.nan
    found[:, ~usable] = np.nan
    return found


def ranks(values: Float) -> Float:
    """Ranks 1..n of each row of values (E, n), ties at their mean.

    As `scipy.stats.rankdata(axis=1)`, in half the time on the maps of a large image.
    """
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    differs = ordered[:, 1:] != ordered[:, :-1]
    edge = np.ones((len(values), 1), dtype=bool)
    position = np.arange(values.shape[1])
    first = np.where(np.concatenate([edge, differs], axis=1), position, 0)
    first = np.maximum.accumulate(first, axis=1)
    last = np.where(np.concatenate([differs, edge], axis=1), position, len(position))
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    found = np.empty(values.shape, dtype=np.float32)
    np.put_along_axis(found, order, ((first + last) / 2 + 1).astype(np.float32), axis=1)
    return found


def alike(means: NDArray[np.float64]) -> list[int]:
    """An order in which neighbours agree: average linkage of 1 - correlation, leaves optimal."""
    if len(means) < 3:
        return list(range(len(means)))
    distance = np.clip(1 - np.nan_to_num(means), 0, 2)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    return [int(leaf) for leaf in leaves_list(tree)]


def _pair(mean: float, same: bool) -> Pair:
    if same:
        return Pair("", 0, "")
    if not np.isfinite(mean):
        return Pair("–", 0, "")
    return Pair(_signed(mean), min(10, round(abs(mean) * 10)), "less" if mean < 0 else "more")


def _told(names: list[str], each: NDArray[np.float64], means: NDArray[np.float64]) -> str:
    """Which two agree most, and whether explainers agree more with each other than with a control.

    That is the control closest to them: one that nobody agrees with, as noise, proves nothing.
    """
    own = [i for i, name in enumerate(names) if not is_control(name)]
    among = [(i, j) for n, i in enumerate(own) for j in own[:n]]
    inner = _per_case(each, among)
    mine = score(inner).value
    if mine is None:
        return ""
    line = f"Of the explainers, {_closest(names, means, among)} agree most."
    outer = {
        name: _per_case(each, [(i, j) for i in own])
        for j, name in enumerate(names)
        if is_control(name)
    }
    theirs = {name: value for name, of in outer.items() if (value := score(of).value) is not None}
    if not theirs:
        return line
    nearest = max(theirs, key=lambda name: theirs[name])
    listed = ", ".join(f"with {name} at {_signed(value)}" for name, value in theirs.items())
    verdict = _verdict(score(inner - outer[nearest]), nearest)
    return (
        f"{line} On average explainers agree with each other at {_signed(mine)}, {listed}{verdict}."
    )


def _closest(names: list[str], means: NDArray[np.float64], pairs: list[tuple[int, int]]) -> str:
    """`gvr and latent-shift (0.93)`."""
    mean, i, j = max((means[i, j], i, j) for i, j in pairs if np.isfinite(means[i, j]))
    first, second = sorted((i, j))
    return f"{names[first]} and {names[second]} ({_signed(mean)})"


def _per_case(each: NDArray[np.float64], pairs: list[tuple[int, int]]) -> NDArray[np.float64]:
    """Mean over those pairs that are known, (k,); NaN for a case where none is."""
    found: NDArray[np.float64] = each[:, [i for i, _ in pairs], [j for _, j in pairs]]
    known = np.isfinite(found)
    total = np.where(known, found, 0).sum(axis=1)
    means: NDArray[np.float64] = total / np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    return means


def _verdict(gap: Score, control: str) -> str:
    if gap.value is None or gap.low is None or gap.high is None:
        return ""
    if gap.low <= 0 <= gap.high:
        span = f"{_signed(gap.low)} to {_signed(gap.high)}"
        return f": no clear difference from {control}, {_signed(gap.value)} ({span})"
    low, high = sorted((abs(gap.low), abs(gap.high)))
    way = "more" if gap.value > 0 else "less"
    by = f"{abs(gap.value):.2f} ({low:.2f} to {high:.2f})"
    return f": {way} with each other than with {control}, by {by}"


def _signed(value: float) -> str:
    """Two decimals, with a minus that is not a hyphen."""
    return text.number(value, 2).replace("-", "−")
