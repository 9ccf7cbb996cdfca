"""Networks by factory and weights, or by archive, with errors in one line; no pickle is read."""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import operator
import os
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

import gvr_bench.api as gvr

from .settings import NetworkSettings

NAMED = 3  # weights that an error names
# What is named in a spec is called: no function of these makes a network, and some run programs.
NOT_THEIRS = sys.stdlib_module_names | {"torch"}
ONLY_WEIGHTS = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"  # makes torch refuse pickled objects
COMPILED = ("aotinductor", "custom_obj")  # parts of an archive that hold more than a graph


def make_network(settings: NetworkSettings) -> nn.Module:
    """Return the network with its weights, in float32 and eval mode. Raises `UsageError`."""
    net = load_file(settings.file) if settings.file else call_factory(settings)
    where = str(settings.file or settings.weights or f"factory '{settings.factory}'")
    for name, value in net.state_dict().items():
        if not isinstance(value, torch.Tensor):
            raise gvr.UsageError(f"{where}: {name} is no tensor, and cannot be stored")
        if not bool(value.isfinite().all()):
            raise gvr.UsageError(f"{where}: {name} holds NaN or infinity")
    return net.float()


@contextlib.contextmanager
def here() -> Iterator[None]:
    """Look for modules in the working directory first, and keep what they print off stdout."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    importlib.invalidate_caches()  # for a module that was written a moment ago
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path.remove(folder)


def source_of(factory: str) -> Path:
    """Return the file of a factory's module, importing neither it nor its packages.

    Raises `UsageError` where there is none.
    """
    module = factory.partition(":")[0]
    top = module.partition(".")[0]
    if top in NOT_THEIRS:
        raise gvr.UsageError(
            f"factory '{factory}': {top} makes no networks by itself; write a function that "
            "returns one in a module of your own"
        )
    name, folders, spec = "", None, None
    with here():
        for part in module.split("."):
            name = f"{name}.{part}" if name else part
            spec = _spec(name, folders)
            if spec is None:
                raise gvr.UsageError(
                    f"factory '{factory}': no module '{name}' in {Path.cwd()} or installed; go to "
                    f"the folder of {name.replace('.', '/')}.py, or pip install the package"
                )
            folders = spec.submodule_search_locations
    if spec is None or not spec.has_location or not spec.origin:
        raise gvr.UsageError(f"factory '{factory}': module '{module}' has no source file")
    return Path(spec.origin)


def _spec(name: str, folders: Any) -> importlib.machinery.ModuleSpec | None:
    """Ask every finder, as an import does."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if find and (spec := find(name, folders)) is not None:
            found: importlib.machinery.ModuleSpec = spec
            return found
    return None


def call_factory(settings: NetworkSettings) -> nn.Module:
    """Make the network and give it its weights, if there are any. Raises `UsageError`."""
    assert settings.factory is not None
    whose = f"factory '{settings.factory}'"
    call = find_callable(settings.factory)
    try:
        with here():
            net = call(**settings.arguments)
    except (Exception, SystemExit) as error:  # their code may raise anything
        raise gvr.UsageError(f"{whose} raised {told(error)}") from error
    if not isinstance(net, nn.Module):
        raise gvr.UsageError(f"{whose} returned {type(net).__name__}, not a torch.nn.Module")
    if settings.weights:
        put_weights(net, settings.weights, whose)
    return net.eval()


def find_callable(factory: str) -> Any:
    """Import what makes the network. Raises `UsageError`."""
    module, _, attribute = factory.partition(":")
    source = source_of(factory)
    try:
        with here():
            found = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # their code may do anything
        raise gvr.UsageError(f"factory '{factory}': {source} raised {told(error)}") from error
    place = Path(found.__file__ or "")
    if place.resolve() != source.resolve():
        raise gvr.UsageError(f"factory '{factory}': {place} has the name of {source}; rename yours")
    try:
        call = operator.attrgetter(attribute)(found)
    except AttributeError as error:
        raise gvr.UsageError(f"factory '{factory}': {source} has no '{attribute}'") from error
    if not callable(call) or isinstance(call, nn.Module):
        raise gvr.UsageError(
            f"factory '{factory}': {attribute} is {type(call).__name__}; name a function or class "
            "that makes the network"
        )
    return call


def put_weights(net: nn.Module, path: Path, whose: str) -> None:
    """Give a network the weights of a file, all of them and no others. Raises `UsageError`."""
    try:
        given = safetensors.torch.load_file(path)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise gvr.UsageError(
            f"{path} is no safetensors file ({told(error)}); write it with "
            "safetensors.torch.save_file(net.state_dict(), path)"
        ) from error
    state = net.state_dict()
    shared = {state[name].data_ptr() for name in given.keys() & state.keys()}  # tied, saved once
    for fault, names in (
        ("lacks", [n for n in state if n not in given and state[n].data_ptr() not in shared]),
        ("has, and the network has not,", [n for n in given if n not in state]),
        (
            "has in another shape than the network",
            [
                f"{n} {tuple(given[n].shape)} for {tuple(state[n].shape)}"
                for n in given
                if n in state and given[n].shape != state[n].shape
            ],
        ),
    ):
        if names:
            raise gvr.UsageError(f"{path} {fault} {some(names)}; it is not of {whose}")
    net.load_state_dict(given, strict=False)


def load_file(path: Path) -> nn.Module:
    """Load TorchScript, or an exported program from a file that ends in `.pt2`.

    Raises `UsageError`, also for a network whose weights are no parameters any more.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise _no_archive(path, error) from error
    exported = path.suffix == ".pt2"
    if exported and (held := [n for n in names for word in COMPILED if word in n]):
        raise gvr.UsageError(f"{path} holds {held[0]}, which is not read; export the network alone")
    if not exported and not any("/code/" in name for name in names):
        raise _no_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated, and still about
            net = _export(path) if exported else _script(path)
    except Exception as error:  # of two readers in C++, which raise many kinds
        raise _no_archive(path, error) from error
    if not any(weight.is_floating_point() for weight in net.parameters()):
        raise gvr.UsageError(
            f"{path} has no parameters; save the network before torch.jit.freeze, or give a factory"
        )
    return net


def _script(path: Path) -> nn.Module:
    net: nn.Module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    return net.eval()


def _export(path: Path) -> nn.Module:
    """Load an exported program whose tensors are tensors and nothing else."""
    before = os.environ.get(ONLY_WEIGHTS)
    os.environ[ONLY_WEIGHTS] = "1"
    try:
        return torch.export.load(path).module()
    finally:
        if before is None:
            del os.environ[ONLY_WEIGHTS]
        else:
            os.environ[ONLY_WEIGHTS] = before


def _no_archive(path: Path, error: Exception | None = None) -> gvr.UsageError:
    reason = f" ({told(error)})" if error else ""
    return gvr.UsageError(
        f"{path} is neither TorchScript nor a .pt2{reason}, and pickles are not read; save the "
        "network with torch.jit.script(net).save(path) or torch.export.save, or its weights with "
        "safetensors.torch.save_file for a factory"
    )


@torch.no_grad()
def shuffle(net: nn.Module) -> None:
    """Permute the values within each parameter: another network of the same scale."""
    for weight in net.parameters():
        if weight.is_floating_point():
            order = torch.randperm(weight.numel())
            weight.copy_(weight.flatten()[order].view_as(weight))


def told(error: BaseException) -> str:
    """Return the type and the first line of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def some(names: list[str]) -> str:
    """Name the first few."""
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
