"""How a run is computed: device, batch size, what to reuse."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import torch

import gvr_bench
from gvr_bench.core.errors import UsageError
from gvr_bench.core.process_group import ProcessGroup


@dataclass(frozen=True)
class RunOptions:
    """How a run is computed; nothing in it changes a result beyond rounding.

    `recompute` names stage kinds or components to compute again, or `all`. `process_group` are the
    processes that train together, None for one.
    """

    device: torch.device
    batch_size: int = 128
    checkpoint_seconds: float = 30.0
    recompute: frozenset[str] = frozenset()
    cached_only: bool = False
    process_group: ProcessGroup | None = None


def choose_device(name: str) -> torch.device:
    """Return the device for `auto`, `cpu` or `cuda`. Raises `UsageError` where there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device here; leave --device out, or use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def gains_from_bfloat16(device: torch.device) -> bool:
    """Whether the processor has bfloat16 units (AVX512-BF16, AMX, or a recent GPU)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    ask = getattr(torch.cpu, "get_capabilities", None)  # not in older releases
    capabilities: dict[str, object] = ask() if ask else {}
    return bool(capabilities.get("avx512_bf16"))


def versions() -> dict[str, str]:
    return {
        "gvr_bench": gvr_bench.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }
