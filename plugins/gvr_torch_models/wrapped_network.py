"""What head, generator and encoder share: the component, and the module around its network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

import gvr_bench.api as gvr

from .loading import make_network, shuffle, source_of, told
from .settings import NetworkSettings

SIZES = (3, 1)  # a batch that nobody's network is fixed to, and the one that `squeeze` spoils


class Given(nn.Module):
    """Somebody's network, in eval mode for ever; no two names of its state share memory."""

    def __init__(self, net: nn.Module, settings: NetworkSettings) -> None:
        super().__init__()
        self.net = net
        self.part = settings.part
        self.training = False
        self.register_state_dict_post_hook(_apart)  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> Given:
        """Stay in eval mode: exported programs cannot change theirs."""
        return self

    def run(self, x: Tensor) -> Tensor:
        """Call the network and take the part of its answer that is asked for.

        Raises `UsageError` where that is no tensor.
        """
        out: Any = self.net(x)
        if self.part:
            try:
                out = out[self.part] if isinstance(out, Mapping) else out[int(self.part)]
            except (LookupError, TypeError, ValueError) as error:
                raise gvr.UsageError(
                    f"torch-model: the network's {type(out).__name__} has no part '{self.part}'"
                ) from error
        if not isinstance(out, Tensor):
            names = f", one of {', '.join(out)}" if isinstance(out, Mapping) else ", e.g. part=0"
            raise gvr.UsageError(
                f"torch-model: the network returns {type(out).__name__}; say which part of it "
                f"is meant with part=...{names}"
            )
        return out


def _apart(_net: nn.Module, state: dict[str, Any], _prefix: str, _metadata: Any) -> None:
    """Copy what lies in the memory of another: safetensors refuses tied weights."""
    seen: set[int] = set()
    for name, tensor in state.items():
        place = tensor.untyped_storage().data_ptr()
        if place in seen:
            state[name] = tensor.clone()
        seen.add(place)


class TorchModel(gvr.Component):
    """A component whose network is given: it is loaded, never trained.

    `build` shuffles the values of each parameter, so that a network whose weights are random can
    be had for comparison; `fit` puts the given ones in. The key holds what is in the files and in
    the source of the factory's module, and nothing of what that module imports.
    """

    argument = "factory"
    files = frozenset({"weights", "file"})
    settings: NetworkSettings

    def fingerprint(self) -> str:
        """Digests of the files, and of the source that the factory lies in."""
        factory = self.settings.factory
        source = [f"factory {gvr.digest_of(source_of(factory))}"] if factory else []
        return " ".join(filter(None, [super().fingerprint(), *source]))

    def restore(self, net: nn.Module, ctx: gvr.Context) -> None:
        """Give the network inside `net` the weights it came with."""
        assert isinstance(net, Given)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(ctx.seed)  # for a factory without weights
            net.net.load_state_dict(make_network(self.settings).state_dict())


def random_weights(net: Given) -> Given:
    """Shuffle the weights of a network."""
    shuffle(net.net)
    return net


def refuse_unfit(net: Given, what: str, like: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Try a network on noise of shape `like` per sample; each answer has the shape `wanted`.

    Raises `UsageError`.
    """
    for n in SIZES:
        x = torch.rand(n, *like, generator=torch.Generator().manual_seed(n)) * 2 - 1
        try:
            with torch.no_grad():
                out = net(x)
        except gvr.GvrError:
            raise
        except Exception as error:  # their code may raise anything
            raise gvr.UsageError(
                f"{what} 'torch-model' cannot take {n} of {written(like)}: {told(error)}"
            ) from error
        if tuple(out.shape) != (n, *wanted):
            raise gvr.UsageError(
                f"{what} 'torch-model' gives {written(tuple(out.shape))} for {n} of "
                f"{written(like)}, and {n} x {written(wanted)} is needed"
            )
        if not bool(out.isfinite().all()):
            raise gvr.UsageError(f"{what} 'torch-model' gives NaN or infinity for {written(like)}")


def written(shape: tuple[int, ...]) -> str:
    """Return a shape as people write it."""
    return " x ".join(map(str, shape))
