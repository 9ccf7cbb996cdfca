"""AttFind (Lang et al. 2021, StylEx): which directions of the latent the model listens to."""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.counterfactual_base import (
    CounterfactualExplainer,
    CounterfactualSettings,
    Start,
    reaching,
)
from gvr_explainers.latent_optimizer import SearchResult, straight_trajectory

MAX_LISTED = 3  # directions of the table that the note names
CANDIDATES = 8  # training images that are decoded for each one of the table


class Directions(NamedTuple):
    """Moves of the latent, the most effective first.

    Each sets coordinate `axis` (L,) of the principal axes to `value` (L,), the least or the largest
    of training images (`sign`, -1 or 1). `flipped` (L,) is the share of images that one alone
    flips, `fall` (L,) the mean fall of their output.
    """

    axis: Tensor
    sign: Tensor
    value: Tensor
    flipped: Tensor
    fall: Tensor

    def moves(self, z: Tensor, mean: Tensor, axes: Tensor, share: float) -> Tensor:
        """Return what each direction adds to latents: (N, D) -> (N, L, D)."""
        along = axes[:, self.axis]  # (D, L)
        distance = self.value - (z - mean) @ along  # (N, L)
        return share * distance[..., None] * along.T


Basis = tuple[Tensor, Tensor, dict[tuple[float, ...], Directions]]


class AttFind(CounterfactualExplainer):
    """Moves the latent along the few directions that flip most training images.

    Directions are the principal axes of the latents of training images, each towards the least and
    the largest coordinate that occurs. A table of them is made of training images that are
    predicted as the source when decoded: the direction with the largest mean fall of the output is
    chosen, the images that it flips are put aside, and so on. An image takes its own most effective
    of these, one after the other, until the decoded image flips. The note names the table's first
    rows. StylEx has the coordinates of StyleGAN's style space instead of principal axes. Source:
    Lang et al. 2021, arXiv 2104.13369, algorithm 1 and section 3.3.
    """

    uses_reference = True

    class Settings(CounterfactualSettings):
        """The paper draws up to ten directions from thousands."""

        axes: int = Field(32, ge=1, description="principal axes that are tried, in both directions")
        directions: int = Field(8, ge=1, description="rows of the table")
        images: int = Field(32, ge=1, description="training images that the table is made of")
        share: float = Field(1.0, gt=0, le=1, description="of the way to the extreme coordinate")

    profiles = {"quick": {"axes": 16, "images": 16}}
    settings: Settings

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        # A reference belongs to one model, and is the same for all batches of a run's stage.
        self.known: WeakKeyDictionary[gvr.Reference, Basis] = WeakKeyDictionary()

    def basis(self, reference: gvr.Reference) -> Basis:
        """Return mean (D,) and principal axes (D, A) of training latents, and the tables so far."""
        if reference not in self.known:
            latents = reference.latents
            mean = latents.mean(dim=0)
            axes = torch.linalg.svd(latents - mean, full_matrices=False).Vh[: self.settings.axes].T
            self.known[reference] = mean, axes, {}
        return self.known[reference]

    @torch.no_grad()
    def search(
        self, model: gvr.Model, start: Start, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> SearchResult:
        """Make the table of each pair of classes, and move the images of the pair.

        Raises `Unsupported` where the model predicts no decoded training image as the source.
        """
        mean, axes, tables = self.basis(ctx.reference)
        z, reached = start.latent.clone(), torch.zeros_like(target.source_class, dtype=torch.bool)
        steps = torch.zeros_like(target.source_class)
        classes = torch.stack([target.source_class, target.target_class], dim=1)
        pairs, pair = classes.unique(dim=0, return_inverse=True)
        notes = []
        for i in range(len(pairs)):
            rows = torch.nonzero(pair == i)[:, 0]
            first = target[rows[:1]]
            key = *pairs[i].tolist(), first.threshold.item()
            if key not in tables:
                tables[key] = self.table(model, mean, axes, first, ctx)
            table = tables[key]
            notes.append(listed(table, target.task.outputs[int(pairs[i, 0])]))
            z[rows], steps[rows], reached[rows] = self.move(
                model, start.at(rows), target[rows], table, (mean, axes)
            )
        trajectory = straight_trajectory(start.latent, z)
        return SearchResult(z, trajectory, steps, reached, note="; ".join(notes))

    def table(
        self,
        model: gvr.Model,
        mean: Tensor,
        axes: Tensor,
        target: gvr.ExplanationTarget,
        ctx: gvr.Context,
    ) -> Directions:
        """Choose directions on training images for one pair of classes, that of `target` (1)."""
        s, reference = self.settings, ctx.reference
        count = min(CANDIDATES * s.images, len(reference))
        candidates = torch.arange(count) * len(reference) // count
        start = Start.of(model, reference.images(candidates))
        of_each = target[torch.zeros(count, dtype=torch.int64, device=start.latent.device)]
        known = torch.nonzero(of_each.predicts_source(model(start.decoded)))[: s.images, 0]
        if not len(known):
            raise gvr.Unsupported("the model predicts no decoded training image as the source")
        start, of_each = start.at(known), of_each[known]
        coordinates = (reference.latents - mean) @ axes  # (M, A)
        a = axes.shape[1]
        axis, sign = torch.arange(a).repeat(2).to(known), torch.ones(2 * a, dtype=torch.int64)
        sign[:a] = -1
        value = torch.cat([coordinates.amin(0), coordinates.amax(0)])
        every = Directions(axis, sign.to(known), value, value, value)
        moves = every.moves(start.latent, mean, axes, s.share)
        reached, fall = effects(model, start, moves, of_each, s.residual)
        chosen = torch.tensor(choose(reached, fall, axis, s.directions), device=known.device)
        flipped, falls = reached.float().mean(0), fall.mean(0)
        return Directions(*(column[chosen] for column in (axis, every.sign, value, flipped, falls)))

    def move(
        self,
        model: gvr.Model,
        start: Start,
        target: gvr.ExplanationTarget,
        table: Directions,
        basis: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the latents (N, D), the number of directions taken (N,), and which flip (N,)."""
        s, z0 = self.settings, start.latent
        moves = table.moves(z0, *basis, s.share)
        _, fall = effects(model, start, moves, target, s.residual)
        order = fall.argsort(dim=1, descending=True)
        useful = moves.where((fall > 0)[..., None], 0)
        sums = useful.gather(1, order[..., None].expand_as(useful)).cumsum(1)
        z = z0[:, None] + torch.cat([torch.zeros_like(sums[:, :1]), sums], dim=1)  # (N, L + 1, D)
        reached, _ = reaching(model, start, z, target, s.residual)
        success = reached.any(dim=1)
        steps = torch.where(success, reached.int().argmax(dim=1), z.shape[1] - 1)
        return z[torch.arange(len(z), device=z.device), steps], steps, success

    def failure(self) -> str:
        """Say that the table's directions do not suffice."""
        return f"{self.settings.directions} directions together do not flip the decoded image"


def effects(
    model: gvr.Model, start: Start, moves: Tensor, target: gvr.ExplanationTarget, residual: bool
) -> tuple[Tensor, Tensor]:
    """Return which of moves (N, L, D) flip an image alone, and by how much its output falls.

    Outputs are not activated, as in the paper.
    """
    z = start.latent[:, None] + torch.cat([torch.zeros_like(moves[:, :1]), moves], dim=1)
    reached, value = reaching(model, start, z, target, residual)
    return reached[:, 1:], value[:, :1] - value[:, 1:]


def choose(reached: Tensor, fall: Tensor, axis: Tensor, count: int) -> list[int]:
    """Choose directions greedily by their mean fall (M, L) over images not flipped yet (M, L).

    One direction of each axis (L,) at most, and the best in any case.
    """
    left = torch.ones_like(reached[:, 0])
    allowed = torch.ones_like(axis, dtype=torch.bool)
    chosen: list[int] = []
    while len(chosen) < count and bool(allowed.any()):
        images = left if bool(left.any()) else torch.ones_like(left)
        mean = fall[images].mean(0).masked_fill(~allowed, -torch.inf)
        best = int(mean.argmax())
        if chosen and mean[best] <= 0:
            break
        chosen.append(best)
        allowed &= axis != axis[best]
        left = left & ~reached[:, best]
    return chosen


def listed(table: Directions, output: str) -> str:
    """Name the first rows of a table."""
    rows = [
        f"axis {axis + 1} {'up' if sign > 0 else 'down'} {flipped:.0%}"
        for axis, sign, flipped in zip(
            table.axis.tolist(), table.sign.tolist(), table.flipped.tolist(), strict=True
        )
    ]
    return f"principal axes that alone flip training images of {output}: " + ", ".join(
        rows[:MAX_LISTED]
    )
