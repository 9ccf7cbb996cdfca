"""Rows of a batch in several processes come to what the whole batch does in one."""

from __future__ import annotations

import copy

import pytest
import torch
from gvr_generators.dcgan import Features
from gvr_generators.wgan_gp import critic_loss
from torch import Tensor, nn

import gvr_bench.api as gvr

CPU = torch.device("cpu")


class FakeGroup:
    """One of several processes; the others' sums are given, or nothing."""

    def __init__(self, rank: int, count: int) -> None:
        self.rank = rank
        self.count = count

    def total(self, values: Tensor) -> Tensor:
        return values

    def agree(self, step: int) -> bool:
        return False


def context(rank: int = 0, count: int = 1) -> gvr.Context:
    return gvr.Context(CPU, process_group=FakeGroup(rank, count) if count > 1 else None)


def test_batch_smaller_than_processes_is_refused() -> None:
    with pytest.raises(
        gvr.UsageError,
        match=r"^a batch of 3 cannot be shared by 4 processes; start fewer with --nproc-per-node",
    ):
        context(0, 4).shard(3)


@pytest.mark.parametrize(("batch", "count", "times"), [(8, 2, 1), (7, 2, 3), (5, 5, 2), (9, 4, 1)])
def test_shards_partition_the_batch(batch: int, count: int, times: int) -> None:
    shards = [context(rank, count).shard(batch, times) for rank in range(count)]
    rows = torch.cat([shard.rows for shard in shards])
    assert sorted(rows.tolist()) == list(range(batch * times))
    assert sum(shard.weight for shard in shards) == pytest.approx(1)
    for shard in shards:
        assert len(shard.rows) == shard.each * times
        batches = [(part // batch).unique().tolist() for part in shard.rows.split(shard.each)]
        assert batches == [[i] for i in range(times)]


def test_single_process_takes_all_rows() -> None:
    shard = context().shard(6, 2)
    assert (shard.rows.tolist(), shard.each, shard.weight) == (list(range(12)), 6, 1)


def test_shard_is_translated_like_the_batch() -> None:
    x = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def rng() -> torch.Generator:
        return torch.Generator().manual_seed(4)

    batch_result = gvr.translate(x, 2, rng())
    shard = context(1, 2).shard(7)
    assert torch.equal(gvr.translate(x[shard.rows], 2, rng(), shard), batch_result[shard.rows])
    assert not torch.equal(gvr.translate(x[shard.rows], 2, rng()), batch_result[shard.rows])


def gradients(net: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])


@pytest.mark.parametrize("count", [2, 3])
def test_shard_gradients_sum_to_batch_gradients(count: int) -> None:
    rng = torch.Generator().manual_seed(2)
    real, fake = torch.rand(2, 7, 1, 16, 16, generator=rng)
    mix = torch.rand(7, 1, 1, 1, generator=rng)
    torch.manual_seed(0)
    critic = Features(gvr.ImageSpec(1, 16), 1, 4)

    def step(ctx: gvr.Context) -> tuple[Tensor, Tensor]:
        net, shard = copy.deepcopy(critic), ctx.shard(7)
        parts = (t[shard.rows] for t in (real, fake, mix))
        loss, _ = critic_loss(net, *parts, 10.0, ctx)
        mean = ctx.backward(loss, net.parameters(), shard)
        return mean, gradients(net)

    loss, batch_result = step(context())
    parts = [step(context(rank, count)) for rank in range(count)]
    assert sum(part for part, _ in parts).item() == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(sum(part for _, part in parts), batch_result, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(
        parts[0][1] * count, batch_result, rtol=1e-2
    )  # a shard alone is not enough


def test_logged_values_are_batch_means() -> None:
    x = torch.arange(7.0)
    shards = [(context(rank, 2), context(rank, 2).shard(7)) for rank in range(2)]
    means = [
        ctx.all_reduce_mean(shard, x[shard.rows].mean(), x[shard.rows].amin())
        for ctx, shard in shards
    ]
    assert sum(mean for mean, _ in means).item() == pytest.approx(3.0)


def test_single_process_backward_is_torch_backward() -> None:
    x = torch.rand(5, requires_grad=True)
    loss = (x**2).mean()
    (expected,) = torch.autograd.grad(loss, x, retain_graph=True)
    ctx = context()
    assert torch.equal(ctx.backward(loss, [nn.Parameter(x)], ctx.shard(5)), loss.detach())
    assert torch.equal(x.grad, expected)
