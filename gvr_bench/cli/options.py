"""Options that commands share, and completions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gvr_bench.core.errors import UsageError
from gvr_bench.core.types import Kind

Completions = list[tuple[str, str]]  # each with its description
Names = list[str] | None
Profile = Literal["quick", "standard", "paper"]
COMPONENT = "NAME[:SETTING=VALUE,...]"


def option(*names: str, **how: Any) -> Any:
    """Declare an option whose help says what its default is."""
    return typer.Option(*names, show_default=False, **how)


def names_of(kind: Kind) -> Callable[[str], Completions]:
    """Return a completion for the component names of a kind, and behind a colon for settings."""

    def complete(incomplete: str) -> Completions:
        from gvr_bench.registry.names import collectives
        from gvr_bench.registry.registry import installed

        if ":" in incomplete:
            return settings_of(kind, incomplete)
        rows = [r.plugin for r in installed().rows if r.plugin.kind == kind and not r.problem]
        known = [(row.name, row.summary) for row in rows]
        if kind == "explainer":
            known += [item for item in collectives(rows).items() if item[0] not in dict(known)]
        return starting(incomplete, known)

    return complete


def starting(incomplete: str, known: Completions) -> Completions:
    return [(name, text) for name, text in known if name.startswith(incomplete)]


def settings_of(kind: Kind, incomplete: str) -> Completions:
    """Complete `name:setting=value,sett`; each with its type, first value and meaning."""
    from gvr_bench.core.errors import GvrError
    from gvr_bench.registry.description import describe
    from gvr_bench.registry.registry import installed

    name, _, typed = incomplete.partition(":")
    before, comma, start = typed.rpartition(",")
    try:
        settings = describe(installed(), kind, name).settings
    except GvrError:
        return []
    return [
        (
            f"{name}:{before}{comma}{s.name}=",
            f"{s.type}, {next(iter(s.values.values()))}: {s.meaning}",
        )
        for s in settings
        if s.name.startswith(start)
    ]


def plugin_names(incomplete: str) -> Completions:
    from gvr_bench.registry.registry import installed

    rows = {r.plugin.name: r.plugin.summary for r in reversed(installed().rows) if not r.problem}
    return starting(incomplete, sorted(rows.items()))


def metric_names(incomplete: str) -> Completions:
    """Complete groups, single metrics and those of plugins."""
    from gvr_bench.metrics import DECLARED, GROUPS

    of_plugins = names_of("metric")(incomplete)
    ours = [(group.name, group.title) for group in GROUPS]
    ours += [(name, known.title) for name, known in DECLARED.items() if name not in dict(ours)]
    return starting(incomplete, [("all", "every group"), *ours]) + of_plugins


def experiment_names(incomplete: str) -> Completions:
    from gvr_bench.config.experiments import experiments

    return starting(incomplete, [(e.name, e.title) for e in experiments()])


def component_option(kind: Kind, default: str, purpose: str = "") -> Any:
    how = f"{purpose}Repeat to compare several. Default: {default}."
    return option(autocompletion=names_of(kind), metavar=COMPONENT, help=how)


DatasetName = Annotated[str, typer.Argument(metavar=COMPONENT, autocompletion=names_of("dataset"))]
Datasets = Annotated[Names, component_option("dataset", "phantom")]
PretrainDatasets = Annotated[
    Names, component_option("dataset", "same as --dataset", "Trains generator and encoder. ")
]
Generators = Annotated[Names, component_option("generator", "the data set's, often vae")]
Encoders = Annotated[Names, component_option("encoder", "the generator's")]
Heads = Annotated[Names, component_option("head", "the generator's, or the data set's")]
Explainers = Annotated[
    Names,
    component_option(
        "explainer", "a dozen of all families",
        "Also all, or attribution, counterfactual, cam and other families. ",
    ),
]  # fmt: skip
Controls = Annotated[
    bool | None,
    option(
        "--controls/--no-controls",
        help="Run every control that applies, beside the explainers named.  \\[default: controls]",
    ),
]
Metrics = Annotated[
    Names,
    option(
        metavar=COMPONENT, autocompletion=metric_names,
        help="Metrics, groups of them, default or all; plugins' metrics by name. Repeatable.  "
        "\\[default: default, i.e. all except cascade, repeatability and "
        "simulatability]",
    ),
]  # fmt: skip
DataRoot = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder with the data set's files.")
]
ProfileOption = Annotated[
    Profile | None,
    option(
        help="quick: 32 px, minutes on two CPU cores. standard: 64 px, for a GPU. paper: 128 px "
        "and the published settings.  \\[default: quick]"
    ),
]
Seeds = Annotated[list[int] | None, option(help="Repeat for several.  \\[default: 0]")]
MaxCases = Annotated[
    int | None, option(help="Maximum number of test images explained.  \\[default: 50]")
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option()]
BatchSize = Annotated[int, typer.Option(min=1, help="Images per batch.")]
CheckpointEvery = Annotated[
    float, typer.Option(min=0, metavar="SECONDS", help="Interval between checkpoints.")
]
Recompute = Annotated[
    Names, typer.Option(metavar="KIND|NAME|all", help="Recompute cached stages. Repeatable.")
]
CachedOnly = Annotated[bool, typer.Option(help="Compute nothing; use cached results only.")]
WorkerCount = Annotated[
    str,
    typer.Option(
        metavar="N|auto", envvar="GVR_BENCH_WORKERS", show_envvar=False,
        help="Processes that compute in parallel. auto: one per GPU, or one per core (per "
        "OMP_NUM_THREADS cores), up to 8.",
    ),
]  # fmt: skip
Executor = Annotated[
    Literal["local", "ray"],
    typer.Option(help="Where workers run: local is this machine, ray is a Ray cluster."),
]
Address = Annotated[
    str | None,
    option(
        metavar="HOST:PORT|auto",
        help="Head node of a Ray cluster, or auto for a running cluster on this machine.  "
        "\\[default: start a cluster on this machine for the run]",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder for the results.  \\[default: reports/<name>-<key>]"),
]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        "--cache-dir", metavar="DIR",
        help="Cache folder for models and latents. Default: $GVR_BENCH_CACHE or the user's cache.",
    ),
]  # fmt: skip
AllMetrics = Annotated[
    bool,
    typer.Option(
        "--all-metrics", help="Print all scores (default: one per question, as many as fit)."
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Show no progress: failures, warnings and the result only."),
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
