"""What the benchmarks share: the clock, medians with their spread, tables, the machine."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch

from gvr_bench.pipeline.options import gains_from_bfloat16


def say(line: str) -> None:
    """Say on stderr how far it is; stdout holds the tables alone."""
    print(line, file=sys.stderr, flush=True)


def finish(device: torch.device) -> None:
    """Wait until a GPU has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Return the wall time of `work`."""
    finish(device)
    start = time.perf_counter()
    work()
    finish(device)
    return time.perf_counter() - start


def spread(values: Iterable[float]) -> str:
    """Return the median with the smallest and the largest value, to three digits."""
    values = list(values)
    low, middle, high = (
        f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
        for value in (min(values), statistics.median(values), max(values))
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def ratio(a: Sequence[float], b: Sequence[float]) -> str:
    """Return the spread of a / b, round by round."""
    return spread(x / y for x, y in zip(a, b, strict=True))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def machine() -> str:
    """Say in a table what is measured on."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    rows = [
        ("processor", processor()),
        ("cores", f"{os.cpu_count()}, {torch.get_num_threads()} threads used"),
        ("bfloat16 units", "yes" if gains_from_bfloat16(torch.device("cpu")) else "no"),
        ("system", platform.platform()),
        ("Python, torch", f"{platform.python_version()}, {torch.__version__}"),
        ("load before the start (1, 5, 15 minutes)", load),
    ]
    if torch.cuda.is_available():
        rows.append(("GPU", torch.cuda.get_device_name()))
    return table(("machine", ""), rows)


def processor() -> str:
    """Return the processor's model."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
