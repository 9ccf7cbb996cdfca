"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from gvr_bench.core.errors import UsageError
from gvr_bench.core.types import Kind

Completions = list[tuple[str, str]]  # each with its description
Profile = Literal["quick", "standard", "paper"]

DataRoot = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder with the data set's files.")
]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        "--cache-dir",
        metavar="DIR",
        help="Cache folder for models and latents. Default: $GVR_BENCH_CACHE or the user's cache.",
    ),
]
ProfileOption = Annotated[
    Profile | None,
    typer.Option(
        help="quick: 32 px, minutes on two CPU cores. standard: 64 px, for a GPU. paper: 128 px "
        "and the published settings.  \\[default: quick]",
        show_default=False,
    ),
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option()]
BatchSize = Annotated[int, typer.Option(min=1, help="Images per batch.")]
CheckpointEvery = Annotated[
    float, typer.Option(min=0, metavar="SECONDS", help="Interval between checkpoints.")
]
WorkerCount = Annotated[
    str,
    typer.Option(
        metavar="N|auto",
        envvar="GVR_BENCH_WORKERS",
        show_envvar=False,
        help="Processes that compute in parallel. auto: one per GPU, or one per OMP_NUM_THREADS "
        "cores; without that variable one.",
    ),
]
Executor = Annotated[
    Literal["local", "ray"],
    typer.Option(help="Where workers run: local is this machine, ray is a Ray cluster."),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT|auto",
        help="Head node of a Ray cluster, or auto for a running cluster on this machine.  "
        "\\[default: start a cluster on this machine for the run]",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder for the results.  \\[default: reports/<name>-<key>]"),
]
AllMetrics = Annotated[
    bool,
    typer.Option(
        "--all-metrics",
        help="Print all scores (default: one per question, as many as fit).",
    ),
]
Controls = Annotated[
    bool | None,
    typer.Option(
        "--controls/--no-controls",
        help="Run every control that applies, beside the explainers named.  \\[default: controls]",
        show_default=False,
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be computed, without computing it.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def count_of(workers: str) -> int | None:
    """Return the number of workers, None for `auto`. Raises `UsageError`."""
    if workers == "auto":
        return None
    if not workers.isdigit() or int(workers) == 0:
        raise UsageError(f"--workers {workers}: write auto or a number from 1 on")
    return int(workers)


def names_of(kind: Kind) -> Callable[[str], Completions]:
    """Return a completion for the component names of a kind, and behind a colon for settings."""

    def complete(incomplete: str) -> Completions:
        from gvr_bench.registry.names import words
        from gvr_bench.registry.registry import installed

        if ":" in incomplete:
            return settings_of(kind, incomplete)
        rows = [r.plugin for r in installed().rows if r.plugin.kind == kind and not r.problem]
        known = [(row.name, row.summary) for row in rows]
        if kind == "explainer":
            known += [item for item in words(rows).items() if item[0] not in dict(known)]
        return [(name, text) for name, text in known if name.startswith(incomplete)]

    return complete


def settings_of(kind: Kind, incomplete: str) -> Completions:
    """Complete `name:setting=value,sett`; each with its type, first value and meaning."""
    from gvr_bench.core.errors import GvrError
    from gvr_bench.registry.description import describe
    from gvr_bench.registry.registry import installed

    name, _, typed = incomplete.partition(":")
    before, comma, start = typed.rpartition(",")
    registry = installed()
    try:
        cls, own = registry.component(kind, name), registry.canonical(kind, name)
    except GvrError:
        return []
    row = next(r for r in registry.rows if (r.plugin.kind, r.plugin.name) == (kind, own))
    return [
        (
            f"{name}:{before}{comma}{s.name}=",
            f"{s.type}, {next(iter(s.values.values()))}: {s.meaning}",
        )
        for s in describe(row, cls).settings
        if s.name.startswith(start)
    ]


def plugin_names(incomplete: str) -> Completions:
    from gvr_bench.registry.registry import installed

    rows = {r.plugin.name: r.plugin.summary for r in reversed(installed().rows) if not r.problem}
    return [(name, text) for name, text in sorted(rows.items()) if name.startswith(incomplete)]


def metric_groups(incomplete: str) -> Completions:
    from gvr_bench.metrics import GROUPS

    known = [("all", "every group"), *((group.name, group.title) for group in GROUPS)]
    return [(name, title) for name, title in known if name.startswith(incomplete)]


def experiment_names(incomplete: str) -> Completions:
    from gvr_bench.config.experiments import experiments

    return [(e.name, e.title) for e in experiments() if e.name.startswith(incomplete)]
