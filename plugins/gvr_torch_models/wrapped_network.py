"""The component and the module that head, generator and encoder share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import gvr_bench.api as gvr

from .folding import Folding
from .loading import describe, make_network, shuffle, source_of, working_directory
from .settings import NetworkSettings

BATCH_SIZES = (3, 1)  # an unusual one, and the one that breaks with `squeeze`


class WrappedNetwork(nn.Module):
    """A user's network in eval mode; no two entries of its state share memory."""

    def __init__(self, net: nn.Module, settings: NetworkSettings) -> None:
        super().__init__()
        self.net = net
        self.folding = Folding()
        self.part = settings.part
        self.training = False
        self.register_state_dict_post_hook(_unshare)  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> WrappedNetwork:
        """Stay in eval mode, which exported programs cannot change."""
        return self

    def run(self, x: Tensor) -> Tensor:
        """Call the network and select the part of its output.

        Raises `UsageError` if that is not a tensor.
        """
        out: Any = self.folding.of(self.net, x)(x)
        if self.part:
            try:
                out = select(out, self.part)
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise gvr.UsageError(
                    f"torch-model: the network's {type(out).__name__} has no part '{self.part}'"
                ) from error
        if not isinstance(out, Tensor):
            fields = list(out) if isinstance(out, Mapping) else field_names(out)
            names = f", one of {', '.join(fields)}" if fields else ", e.g. part=0"
            raise gvr.UsageError(
                f"torch-model: the network returns {type(out).__name__}; select a tensor with "
                f"part=...{names}"
            )
        return out


def field_names(out: object) -> list[str]:
    """Return the fields of a named tuple or data class; none of anything else."""
    if hasattr(out, "_fields"):
        return list(out._fields)
    if dataclasses.is_dataclass(out):
        return [field.name for field in dataclasses.fields(out)]
    return []


def select(out: Any, part: str) -> Any:
    """Return a part of an output by key, field or position.

    Raises `LookupError`, `TypeError`, `ValueError` or `AttributeError`.
    """
    if isinstance(out, Mapping):
        return out[part]
    return getattr(out, part) if part in field_names(out) else out[int(part)]


def _unshare(_net: nn.Module, state: dict[str, Any], _prefix: str, _metadata: Any) -> None:
    """Copy tied weights, which safetensors refuses."""
    places: set[int] = set()
    for name, tensor in state.items():
        place = tensor.untyped_storage().data_ptr()
        if place in places:
            state[name] = tensor.clone()
        places.add(place)


class TorchModel(gvr.Component):
    """A component whose network is loaded instead of trained.

    `build` shuffles the values of each parameter, because some metrics need a random network; `fit`
    restores them. The key depends on the contents of the files, and on the code of the factory with
    all of the user's own modules that it imports.
    """

    argument = "factory"
    files = frozenset({"weights", "file"})
    settings: NetworkSettings

    def fingerprint(self) -> str:
        """Digests of the files, and of the factory's code."""
        factory, code = self.settings.factory, ""
        if factory:
            source_of(factory)  # or a message of what is missing
            with working_directory():
                code = f"factory {gvr.source_digest(factory.partition(':')[0])}"
        return " ".join(filter(None, [super().fingerprint(), code]))

    def restore(self, net: nn.Module, ctx: gvr.Context) -> None:
        """Restore the weights of the network inside `net`."""
        assert isinstance(net, WrappedNetwork)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(ctx.seed)  # for a factory without weights
            net.net.load_state_dict(make_network(self.settings).state_dict())


def shuffled(net: WrappedNetwork) -> WrappedNetwork:
    """Shuffle the weights of a network in place, and return it."""
    shuffle(net.net)
    return net


def check_shapes(
    net: WrappedNetwork, kind: str, inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> None:
    """Check the shape of the outputs for noise of shape `inputs`. Raises `UsageError`."""
    for n in BATCH_SIZES:
        x = torch.rand(n, *inputs, generator=torch.Generator().manual_seed(n)) * 2 - 1
        try:
            with torch.no_grad():
                out = net(x)
        except gvr.GvrError:
            raise
        except Exception as error:  # user code may raise anything
            raise gvr.UsageError(
                f"{kind} 'torch-model' fails for {n} of {shape_text(inputs)}: {describe(error)}"
            ) from error
        if tuple(out.shape) != (n, *outputs):
            raise gvr.UsageError(
                f"{kind} 'torch-model' returns {shape_text(out.shape)} for {n} of "
                f"{shape_text(inputs)}, not {n} x {shape_text(outputs)}"
            )
        if not bool(out.isfinite().all()):
            raise gvr.UsageError(f"{kind} 'torch-model' returns NaN or infinity")


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape like `3 x 64 x 64`."""
    return " x ".join(map(str, shape))
