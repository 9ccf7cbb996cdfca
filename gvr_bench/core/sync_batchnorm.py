"""Batch normalisation over a batch whose rows lie in several processes."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gvr_bench.core.data_parallel import Processes


class WholeBatchNorm(_BatchNorm):
    """Batch normalisation by the mean and variance of the whole batch, on any device.

    torch's own `SyncBatchNorm` does so on GPUs alone.
    """

    processes: Processes

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's name
        """Take any number of dimensions."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x` (N, C, ...)."""
        if not self.training:
            return super().forward(x)
        others = [0, *range(2, x.ndim)]
        broad = (1, -1, *(1 for _ in others[1:]))  # (C,) beside (N, C, ...)
        y = x.float()
        count = self.processes.total(y.new_tensor([y.numel() / y.shape[1]]))
        mean = self.processes.total(y.sum(others)) / count
        centred = y - mean.view(broad)
        variance = self.processes.total(centred.square().sum(others)) / count
        self.remember(mean.detach(), (variance * count / (count - 1)).detach())
        normal = centred * (variance + self.eps).rsqrt().view(broad)
        if self.affine:
            normal = normal * self.weight.view(broad) + self.bias.view(broad)
        return normal.to(x.dtype)

    def remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards those of a batch."""
        if not self.track_running_stats:
            return
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        self.num_batches_tracked.add_(1)
        rate = self.momentum
        if rate is None:
            rate = 1 / self.num_batches_tracked.item()
        self.running_mean.lerp_(mean, rate)
        self.running_var.lerp_(variance, rate)


def convert_sync_batchnorm(net: nn.Module, processes: Processes | None) -> nn.Module:
    """Return a network whose batch normalisation sees the rows of all processes."""
    if processes is None:
        return net
    if isinstance(net, _BatchNorm):
        whole = WholeBatchNorm(
            net.num_features, net.eps, net.momentum, net.affine, net.track_running_stats
        )
        whole.load_state_dict(net.state_dict())
        whole.processes = processes
        return whole.train(net.training)
    for name, child in net.named_children():
        setattr(net, name, convert_sync_batchnorm(child, processes))
    return net
