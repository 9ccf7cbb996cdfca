"""Does a map say what is particular to its case? All cases are compared with one another.

A map that is the same for every case can be near all true changes where findings are drawn at one
place; what it cannot do is tell one case from another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gvr_bench.metrics.base import Input, Source
from gvr_bench.metrics.true_change import true_change, true_map

if TYPE_CHECKING:
    from torch import Tensor

BLOCK_NUMBERS = 2**23  # pixels of the maps read at once, to bound memory: 512 maps of 128 x 128
NOTHING = 1e-6  # the length of a unit map's rest that rounding may have left
TIE = 1e-9  # a difference of correlations that rounding may have made

Maps = Callable[[slice], "Tensor"]


@dataclass(frozen=True)
class ComparisonInput(Input):
    """Maps and truths of all N cases, read in blocks of rows.

    `attribution(rows)` and `truth(rows)` are (n, P) float64 with mean 0 and length 1, or all 0 for
    a map without contrast; None where no truth is known. Cases of the same number in `alike` (N,)
    int64 explain the same output and are compared; -1 is for cases that are left out.
    """

    alike: Tensor
    attribution: Maps | None
    truth: Maps | None

    @classmethod
    def build(cls, source: Source) -> Self:
        """Look at what is known; maps are read when they are needed."""
        alike = alike_of(source)
        if truth_of(source.part(slice(0, 1))) is None:
            return cls(alike, None, None)

        def truth(rows: slice) -> Tensor:
            known = truth_of(source.part(rows))
            assert known is not None
            return standardised(known)

        return cls(alike, lambda rows: standardised(map_of(source.part(rows))), truth)


def alike_of(source: Source) -> Tensor:
    """Number cases by the output that is explained, -1 where there is nothing to explain: (N,)."""
    import torch

    target = source.target
    output = target.source_class * len(source.task.outputs) + target.target_class
    return torch.where(source.read("explanations", "predicts_source"), output, -1)


def truth_of(source: Source) -> Tensor | None:
    """What a perfect map shows (N, H, W), else the masks; None where neither is known."""
    perfect = true_map(true_change(source), source)
    return source.read_optional("cases", "mask") if perfect is None else perfect


def map_of(source: Source) -> Tensor:
    """The attribution (N, H, W), without its sign where there is but a mask, which has none."""
    attribution = source.read("explanations", "attribution")
    return attribution.abs() if source.true_counterfactual is None else attribution


def standardised(maps: Tensor) -> Tensor:
    """Maps (N, H, W) with mean 0 and length 1, all 0 where they are constant: (N, P) float64."""
    import torch

    flat = maps.flatten(1).double()
    lowest, highest = torch.aminmax(flat, dim=1, keepdim=True)
    span = highest - lowest
    flat = (flat - lowest).div_(span.where(span > 0, 1))  # squares of tiny numbers would be 0
    centred = flat.sub_(flat.mean(1, keepdim=True))
    length = centred.norm(dim=1, keepdim=True)
    return torch.where(span > 0, centred.div_(length), 0)


def blocks(maps: Maps, n: int) -> Iterator[slice]:
    """Cut N cases into blocks that depend on the size of the maps alone."""
    size = max(1, BLOCK_NUMBERS // maps(slice(0, 1)).shape[1])
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def specific_correlations(alike: Tensor, attribution: Maps, truth: Maps) -> Tensor:
    """Correlate what is left of map and truth without what the other cases have: (N,) float64.

    The projection on the mean over the others is removed, of maps from the map and of truths from
    the truth. 0 where nothing is left of the map; NaN where nothing is left of the truth, or there
    is no other case. See `ComparisonInput`.
    """
    import torch

    groups, alike = numbered(alike)
    values = torch.full((len(alike),), torch.nan, dtype=torch.float64, device=alike.device)
    counts = values.new_zeros(groups)
    sums = values.new_zeros(2, groups, attribution(slice(0, 1)).shape[1])
    for rows in blocks(attribution, len(alike)):
        maps, group, _ = usable(alike, attribution, truth, rows)
        counts.index_add_(0, group, torch.ones_like(group, dtype=torch.float64))
        sums.index_add_(1, group, maps)
    for rows in blocks(attribution, len(alike)):
        maps, group, index = usable(alike, attribution, truth, rows)
        own, true = rest(maps, sums[:, group] - maps)
        defined = true.any(1) & (counts[group] > 1)
        values[index] = torch.where(defined, (own * true).sum(1).clamp(-1, 1), torch.nan)
    return values


def identifications(alike: Tensor, attribution: Maps, truth: Maps) -> Tensor:
    """Share of the other cases whose truth a map correlates with less than its own: (N,) float64.

    Ties count half. NaN where no truth is known of the case, or there is no other case. See
    `ComparisonInput`.
    """
    import torch

    _, alike = numbered(alike)
    values = torch.full((len(alike),), torch.nan, dtype=torch.float64, device=alike.device)
    for rows in blocks(attribution, len(alike)):
        (maps, true), group, index = usable(alike, attribution, truth, rows)
        own = (maps * true).sum(1, keepdim=True)
        won, others = values.new_zeros(2, len(index))
        for other_rows in blocks(attribution, len(alike)):
            others_true = truth(other_rows)
            ahead = own - maps @ others_true.T
            score = torch.where(ahead.abs() <= TIE, 0.5, (ahead > 0).double())
            peers = (group[:, None] == alike[other_rows]) & others_true.any(1)
            peers &= index[:, None] != torch.arange(other_rows.start, other_rows.stop).to(index)
            won += (score * peers).sum(1)
            others += peers.sum(1)
        values[index] = won / others  # NaN for 0 / 0
    return values


def numbered(alike: Tensor) -> tuple[int, Tensor]:
    """Number the groups of cases from 0, leaving -1: how many there are, and (N,) int64."""
    import torch

    present = torch.unique(alike[alike >= 0])
    number = torch.searchsorted(present, alike)
    return len(present), number.where(alike >= 0, -1)


def usable(
    alike: Tensor, attribution: Maps, truth: Maps, rows: slice
) -> tuple[Tensor, Tensor, Tensor]:
    """Read the cases of some rows that can be compared.

    Returns their attribution and truth (2, n, P), groups (n,) and positions among all cases (n,).
    """
    import torch

    maps = torch.stack([attribution(rows), truth(rows)])
    use = (alike[rows] >= 0) & maps[1].any(1)
    return maps[:, use], alike[rows][use], use.nonzero()[:, 0] + rows.start


def rest(maps: Tensor, common: Tensor) -> Tensor:
    """Unit maps without their projection on `common`, at length 1 again: (..., P) -> (..., P).

    All 0 where no more than rounding is left.
    """
    import torch

    length = common.norm(dim=-1, keepdim=True)
    direction = torch.where(length > NOTHING, common / length, 0)
    left = maps - (maps * direction).sum(-1, keepdim=True) * direction
    size = left.norm(dim=-1, keepdim=True)
    return torch.where(size > NOTHING, left / size, 0)
