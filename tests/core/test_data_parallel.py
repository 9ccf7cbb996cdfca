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


class Pretended:
    """One of several processes; the others' sums are given, or nothing."""

    def __init__(self, rank: int, count: int) -> None:
        self.rank = rank
        self.count = count

    def total(self, values: Tensor) -> Tensor:
        return values

    def agree(self, step: int) -> bool:
        return False


def context(rank: int = 0, count: int = 1) -> gvr.Context:
    return gvr.Context(CPU, process_group=Pretended(rank, count) if count > 1 else None)


def test_batch_smaller_than_processes_is_refused() -> None:
    with pytest.raises(
        gvr.UsageError,
        match=r"^a batch of 3 cannot be shared by 4 processes; start fewer with --nproc-per-node",
    ):
        context(0, 4).shard(3)


@pytest.mark.parametrize(("batch", "count", "times"), [(8, 2, 1), (7, 2, 3), (5, 5, 2), (9, 4, 1)])
def test_shards_partition_the_batch(batch: int, count: int, times: int) -> None:
    shares = [context(rank, count).shard(batch, times) for rank in range(count)]
    rows = torch.cat([share.rows for share in shares])
    assert sorted(rows.tolist()) == list(range(batch * times))
    assert sum(share.weight for share in shares) == pytest.approx(1)
    for share in shares:
        assert len(share.rows) == share.each * times
        batches = [(part // batch).unique().tolist() for part in share.rows.split(share.each)]
        assert batches == [[i] for i in range(times)]


def test_single_process_takes_all_rows() -> None:
    share = context().shard(6, 2)
    assert (share.rows.tolist(), share.each, share.weight) == (list(range(12)), 6, 1)


def test_shard_is_translated_like_the_batch() -> None:
    x = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def rng() -> torch.Generator:
        return torch.Generator().manual_seed(4)

    whole = gvr.translate(x, 2, rng())
    share = context(1, 2).shard(7)
    assert torch.equal(gvr.translate(x[share.rows], 2, rng(), share), whole[share.rows])
    assert not torch.equal(gvr.translate(x[share.rows], 2, rng()), whole[share.rows])


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
        net, share = copy.deepcopy(critic), ctx.shard(7)
        parts = (t[share.rows] for t in (real, fake, mix))
        loss, _ = critic_loss(net, *parts, 10.0, ctx)
        mean = ctx.backward(loss, net.parameters(), share)
        return mean, gradients(net)

    loss, whole = step(context())
    parts = [step(context(rank, count)) for rank in range(count)]
    assert sum(part for part, _ in parts).item() == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(sum(part for _, part in parts), whole, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(parts[0][1] * count, whole, rtol=1e-2)  # a share alone is not enough


def test_logged_values_are_batch_means() -> None:
    x = torch.arange(7.0)
    shares = [(context(rank, 2), context(rank, 2).shard(7)) for rank in range(2)]
    means = [
        ctx.all_reduce_mean(share, x[share.rows].mean(), x[share.rows].amin())
        for ctx, share in shares
    ]
    assert sum(mean for mean, _ in means).item() == pytest.approx(3.0)


def test_single_process_backward_is_torch_backward() -> None:
    x = torch.rand(5, requires_grad=True)
    loss = (x**2).mean()
    (expected,) = torch.autograd.grad(loss, x, retain_graph=True)
    ctx = context()
    assert torch.equal(ctx.backward(loss, [nn.Parameter(x)], ctx.shard(5)), loss.detach())
    assert torch.equal(x.grad, expected)
