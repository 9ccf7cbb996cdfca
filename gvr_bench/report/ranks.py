"""Ranks and best values within a column of a scoreboard."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gvr_bench.core.metric import Better
from gvr_bench.metrics.seeds import seed_p_value
from gvr_bench.metrics.statistics import Ranking, rank
from gvr_bench.report.metric_info import per_case


def case_means(rows: Mapping[str, Sequence[Any]], metric: str) -> dict[str, NDArray[Any]]:
    """Values (N,) of the cases of each row, means over seeds; empty unless all have the same N."""
    if not per_case(metric):
        return {}
    means = {name: mean for name, scores in rows.items() if (mean := _mean(scores)) is not None}
    return means if len({len(values) for values in means.values()}) == 1 else {}


def ranking(
    rows: Mapping[str, Sequence[Any]],
    means: Mapping[str, NDArray[Any]],
    better: Better,
    controls: Collection[str],
) -> Ranking:
    """Rank rows by the values of their cases, `case_means`, if they are at least two.

    Where there are several seeds, a row must be better with the seed as a random effect, too.
    """
    if len(means) < 2:
        return Ranking({}, None)
    by_seed = {
        name: {score.seed: score.values for score in rows[name] if score.status == "ok"}
        for name in means
    }

    def over_seeds(a: str, b: str) -> float:
        mine, theirs = by_seed[a], by_seed[b]
        if len(mine) == len(theirs) == 1:
            return 0.0  # nothing is known of seeds: the test over cases counts
        both = sorted(mine.keys() & theirs.keys())
        return seed_p_value([mine[seed].astype(float) - theirs[seed] for seed in both])

    return rank(means, better, [name for name in means if name in controls], over_seeds)


def _mean(scores: Sequence[Any]) -> NDArray[Any] | None:
    """One value per case (N,); None where a seed that has a score lacks them."""
    scored = [score for score in scores if score.status == "ok"]
    values = [score.values for score in scored if score.values is not None]
    if not values or len(values) < len(scored) or len({len(v) for v in values}) > 1:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no seed has a value for some case
        return np.asarray(np.nanmean(np.stack(values).astype(np.float64), axis=0))


def best_of(
    keys: Mapping[tuple[str, ...], float], rivals: Callable[[tuple[str, ...]], Hashable]
) -> set[tuple[str, ...]]:
    """The names with the largest key among their rivals, unless all rivals are equal."""
    groups: dict[Hashable, dict[tuple[str, ...], float]] = {}
    for names, key in keys.items():
        groups.setdefault(rivals(names), {})[names] = key
    return {
        names
        for group in groups.values()
        if len(set(group.values())) > 1
        for names, key in group.items()
        if key == max(group.values())
    }
