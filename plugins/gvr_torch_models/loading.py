"""Loads networks from a factory with weights, or from a file; pickles are never read."""

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

MAX_NAMES = 3  # weights that an error names
# A spec may name any function: those of these modules return no network, and some run programs.
FORBIDDEN = sys.stdlib_module_names | {"torch"}
ONLY_WEIGHTS = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"  # makes torch refuse pickled objects
COMPILED = ("aotinductor", "custom_obj")  # parts of an archive that hold more than a graph


def make_network(settings: NetworkSettings) -> nn.Module:
    """Return the network with its weights, in float32 and eval mode. Raises `UsageError`."""
    net = load_file(settings.file) if settings.file else call_factory(settings)
    where = str(settings.file or settings.weights or f"factory '{settings.factory}'")
    for name, value in net.state_dict().items():
        if isinstance(value, nn.parameter.UninitializedTensorMixin):
            raise gvr.UsageError(
                f"{where}: {name} has no shape yet; call it once on an image in the factory"
            )
        if not isinstance(value, torch.Tensor):
            raise gvr.UsageError(f"{where}: {name} is not a tensor and cannot be stored")
        if not bool(value.isfinite().all()):
            raise gvr.UsageError(f"{where}: {name} contains NaN or infinity")
    return net.float()


@contextlib.contextmanager
def working_directory() -> Iterator[None]:
    """Import from the working directory first, and redirect prints to stderr."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    importlib.invalidate_caches()  # to see modules that were just written
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path.remove(folder)


def source_of(factory: str) -> Path:
    """Return the file of a factory's module without importing it or its packages.

    Raises `UsageError` if there is none.
    """
    module = factory.partition(":")[0]
    top = module.partition(".")[0]
    if top in FORBIDDEN:
        raise gvr.UsageError(
            f"factory '{factory}': {top} is not allowed; write a function that returns "
            "the network in your own module"
        )
    name, folders, spec = "", None, None
    with working_directory():
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
    """Return the spec that an import would use."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if find and (spec := find(name, folders)) is not None:
            result: importlib.machinery.ModuleSpec = spec
            return result
    return None


def call_factory(settings: NetworkSettings) -> nn.Module:
    """Create the network and load its weights, if any. Raises `UsageError`."""
    assert settings.factory is not None
    whose = f"factory '{settings.factory}'"
    call = find_callable(settings.factory)
    try:
        with working_directory():
            net = call(**settings.arguments)
    except (Exception, SystemExit) as error:  # user code may raise anything
        raise gvr.UsageError(f"{whose} raised {describe(error)}") from error
    if not isinstance(net, nn.Module):
        raise gvr.UsageError(f"{whose} returned {type(net).__name__}, not a torch.nn.Module")
    if settings.weights:
        load_weights(net, settings.weights, whose)
    net.eval()  # which a network of somebody's own may return nothing from
    return net


def find_callable(factory: str) -> Any:
    """Import the factory. Raises `UsageError`."""
    module, _, attribute = factory.partition(":")
    source = source_of(factory)
    before = torch.get_default_dtype(), torch.is_grad_enabled()
    try:
        with working_directory():
            imported = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # user code may raise anything
        raise gvr.UsageError(f"factory '{factory}': {source} raised {describe(error)}") from error
    finally:  # a script of somebody's own may change both for the whole process
        torch.set_default_dtype(before[0])
        torch.set_grad_enabled(before[1])
    place = Path(imported.__file__ or "")
    if place.resolve() != source.resolve():
        raise gvr.UsageError(f"factory '{factory}': {place} hides {source}; rename your module")
    try:
        call = operator.attrgetter(attribute)(imported)
    except AttributeError as error:
        raise gvr.UsageError(f"factory '{factory}': {source} has no '{attribute}'") from error
    if not callable(call) or isinstance(call, nn.Module):
        raise gvr.UsageError(
            f"factory '{factory}': {attribute} is {type(call).__name__}; name a function or class "
            "that returns the network"
        )
    return call


PREFIXES = "module.", "_orig_mod.", "model."
COUNTERS = "num_batches_tracked"  # of BatchNorm, which means nothing in eval mode


def load_weights(net: nn.Module, path: Path, whose: str) -> None:
    """Load exactly the weights of a file. Raises `UsageError`."""
    try:
        weights = safetensors.torch.load_file(path)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise gvr.UsageError(
            f"{path} is not a safetensors file ({describe(error)}); write it with "
            "safetensors.torch.save_file(net.state_dict(), path)"
        ) from error
    state = net.state_dict()
    prefix = next((p for p in PREFIXES if weights and all(n.startswith(p) for n in weights)), "")
    if prefix and not all(name.startswith(prefix) for name in state):
        raise gvr.UsageError(
            f"{path}: all names begin with '{prefix}', as DataParallel, torch.compile or Lightning "
            f"write them; save {{n.removeprefix('{prefix}'): t for n, t in state.items()}}"
        )
    shared = {state[name].data_ptr() for name in weights.keys() & state.keys()}  # tied
    for fault, names in (
        (
            "lacks",
            [
                n
                for n in state
                if n not in weights
                and state[n].data_ptr() not in shared
                and not n.endswith(COUNTERS)
            ],
        ),
        ("has unknown weights", [n for n in weights if n not in state]),
        (
            "has weights of another shape than the network",
            [
                f"{n} {tuple(weights[n].shape)} instead of {tuple(state[n].shape)}"
                for n in weights
                if n in state and weights[n].shape != state[n].shape
            ],
        ),
    ):
        if names:
            raise gvr.UsageError(f"{path} {fault} {join_few(names)}; it does not fit {whose}")
    net.load_state_dict(weights, strict=False)


def load_file(path: Path) -> nn.Module:
    """Load TorchScript, or an exported program from a `.pt2` file.

    Raises `UsageError`, also for a frozen network without parameters.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise _no_archive(path, error) from error
    exported = path.suffix == ".pt2"
    if exported and (extra := [n for n in names for part in COMPILED if part in n]):
        raise gvr.UsageError(
            f"{path} contains {extra[0]}, which is never read; export only the network"
        )
    if not exported and not any("/code/" in name for name in names):
        raise _no_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated
            net = _export(path) if exported else _script(path)
    except Exception as error:  # the C++ readers raise many types
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
    """Load an exported program without pickled objects."""
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
    reason = f" ({describe(error)})" if error else ""
    return gvr.UsageError(
        f"{path} is neither TorchScript nor a .pt2{reason}, and pickles are never read; save the "
        "network with torch.jit.script(net).save(path) or torch.export.save, or its weights with "
        "safetensors.torch.save_file for a factory"
    )


@torch.no_grad()
def shuffle(net: nn.Module) -> None:
    """Permute the values within each parameter, which keeps their scale."""
    for weight in net.parameters():
        if weight.is_floating_point():
            order = torch.randperm(weight.numel())
            weight.copy_(weight.flatten()[order].view_as(weight))


def describe(error: BaseException) -> str:
    """Return the type and the first line of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def join_few(names: list[str]) -> str:
    """Join the first few names."""
    rest = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {rest} more" if rest > 0 else "")
