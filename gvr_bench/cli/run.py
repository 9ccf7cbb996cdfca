"""`gvr-bench run` and `gvr-bench experiments`: compute, report, and show the result."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from gvr_bench.cli.options import (
    Address,
    AllMetrics,
    BatchSize,
    CacheDir,
    CheckpointEvery,
    Controls,
    DataRoot,
    Device,
    DryRun,
    Executor,
    Json,
    Out,
    ProfileOption,
    WorkerCount,
    count_of,
    experiment_names,
    metric_groups,
    names_of,
)
from gvr_bench.cli.shell import SOME_FAILED, STOP, errors_in_one_line, print_table
from gvr_bench.core.data_parallel import follows
from gvr_bench.core.types import Kind
from gvr_bench.pipeline.run import RunRequest

experiments_app = typer.Typer(help="The papers' experiments, by name.", no_args_is_help=True)
Names = list[str] | None


def component_option(kind: Kind, default: str, purpose: str = "") -> Any:
    """Declare the repeatable option of one kind of component."""
    return typer.Option(
        autocompletion=names_of(kind),
        metavar="NAME[:SETTING=VALUE,...]",
        help=f"{purpose}Repeat to compare several. Default: {default}.",
        show_default=False,
    )


def run(
    spec_file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SPEC.toml]", help="Spec file; options override it.", show_default=False
        ),
    ] = None,
    dataset: Annotated[Names, component_option("dataset", "phantom")] = None,
    pretrain_dataset: Annotated[
        Names,
        component_option("dataset", "same as --dataset", "Trains generator and encoder. "),
    ] = None,
    generator: Annotated[
        Names, component_option("generator", "the data set's, most often vae")
    ] = None,
    encoder: Annotated[Names, component_option("encoder", "the generator's")] = None,
    head: Annotated[Names, component_option("head", "the generator's, or the data set's")] = None,
    explainer: Annotated[
        Names,
        component_option(
            "explainer",
            "a dozen of all families",
            "Also all, or attribution, counterfactual, cam and other families. ",
        ),
    ] = None,
    controls: Controls = None,
    metrics: Annotated[
        Names,
        typer.Option(
            metavar="GROUP",
            autocompletion=metric_groups,
            help="Groups of metrics: default, all, or the name of a group. Repeatable.  "
            "\\[default: default, i.e. all except repeatability and simulatability]",
            show_default=False,
        ),
    ] = None,
    data_root: DataRoot = None,
    profile: ProfileOption = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(help="Repeat for several.  \\[default: 0]", show_default=False),
    ] = None,
    max_cases: Annotated[
        int | None,
        typer.Option(
            help="Maximum number of test images explained.  \\[default: 100]", show_default=False
        ),
    ] = None,
    device: Device = "auto",
    batch_size: BatchSize = 128,
    checkpoint_every: CheckpointEvery = 30.0,
    recompute: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND|NAME|all", help="Recompute cached stages. Repeatable."),
    ] = None,
    cached_only: Annotated[
        bool, typer.Option(help="Compute nothing; use cached results only.")
    ] = False,
    workers: WorkerCount = "auto",
    executor: Executor = "local",
    ray_address: Address = None,
    out: Out = None,
    cache: CacheDir = None,
    all_metrics: AllMetrics = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train what is missing, explain the test images, score and report."""
    with errors_in_one_line():
        from gvr_bench.config.spec import build_spec

        flags = {
            "profile": profile,
            "seeds": seed or None,
            "max_cases": max_cases,
            "metrics": metrics or None,
            "controls": controls,
            "data_root": str(data_root) if data_root else None,
        }
        choices = {
            "dataset": dataset,
            "pretraining_dataset": pretrain_dataset,
            "generator": generator,
            "encoder": encoder,
            "head": head,
            "explainer": explainer,
        }
        request = RunRequest(
            spec=build_spec(spec_file, flags, choices),
            out=out,
            cache_dir=cache,
            device=device,
            batch_size=batch_size,
            checkpoint_seconds=checkpoint_every,
            recompute=tuple(recompute or ()),
            cached_only=cached_only,
            workers=count_of(workers),
            executor=executor,
            ray_address=ray_address,
        )
        carry_out(request, dry_run=dry_run, as_json=as_json, all_metrics=all_metrics)


def worker(
    spec_file: Annotated[
        Path, typer.Argument(metavar="SPEC.toml", help="Spec file of the run.", show_default=False)
    ],
    device: Device = "auto",
    batch_size: BatchSize = 128,
    checkpoint_every: CheckpointEvery = 30.0,
    cache: CacheDir = None,
    run_id: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help="Workers of the same text try a stage that fails once.  \\[default: the job and "
            "step of Slurm]",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Compute what a run lacks, beside any number of other workers with the same cache.

    Start one on each core or GPU of a cluster, e.g. by srun; gvr-bench run SPEC.toml then reports.
    """
    with errors_in_one_line():
        from gvr_bench.config.spec import build_spec
        from gvr_bench.pipeline.run import work_request

        slurm = [os.environ.get(f"SLURM_{name}_ID", "") for name in ("JOB", "STEP")]
        request = RunRequest(
            spec=build_spec(spec_file, {}, {}),
            cache_dir=cache,
            device=device,
            batch_size=batch_size,
            checkpoint_seconds=checkpoint_every,
            run_id=run_id or "-".join(filter(None, slurm)),
        )
        if not work_request(request, STOP, Console(stderr=True)):
            raise typer.Exit(SOME_FAILED)


@experiments_app.command("list")
def experiments_list() -> None:
    """List the papers' experiments."""
    from gvr_bench.config.experiments import experiments

    print_table(
        ("experiment", "", "in the papers"), [(e.name, e.title, e.figures) for e in experiments()]
    )


@experiments_app.command("run")
def experiments_run(
    name: Annotated[
        str,
        typer.Argument(
            help="A name from gvr-bench experiments list.", autocompletion=experiment_names
        ),
    ],
    data_root: DataRoot = None,
    profile: ProfileOption = None,
    controls: Controls = None,
    out: Out = None,
    cache: CacheDir = None,
    device: Device = "auto",
    workers: WorkerCount = "auto",
    executor: Executor = "local",
    ray_address: Address = None,
    all_metrics: AllMetrics = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run an experiment of the papers and compare its scores with the published ones."""
    with errors_in_one_line():
        from gvr_bench.config.experiments import experiment
        from gvr_bench.config.spec import check_table, spec_of_table

        chosen = experiment(name)
        flags = {
            "profile": profile,
            "controls": controls,
            "data_root": str(data_root) if data_root else None,
        }
        spec = spec_of_table(check_table(f"experiment '{name}'", chosen.spec), flags)
        request = RunRequest(
            spec=spec,
            out=out,
            cache_dir=cache,
            device=device,
            workers=count_of(workers),
            executor=executor,
            ray_address=ray_address,
            experiment=chosen,
        )
        carry_out(request, dry_run=dry_run, as_json=as_json, all_metrics=all_metrics)


def carry_out(request: RunRequest, *, dry_run: bool, as_json: bool, all_metrics: bool) -> None:
    """Run a request, write its page and show it; exit 1 where some stage failed."""
    from gvr_bench.pipeline.run import plan_request, run_request
    from gvr_bench.registry.registry import output_to_stderr

    if dry_run:
        if follows():
            return
        from gvr_bench.cli.plan import show_plan
        from gvr_bench.pipeline.options import choose_device

        plan, cache = plan_request(request)
        device = choose_device(request.device).type
        show_plan(plan, cache, device, request.recompute, as_json=as_json)
        return
    console = Console(stderr=True)
    with output_to_stderr():
        result = run_request(request, STOP, console)
    if result is None:  # this process helped the first one of torchrun
        return
    from gvr_bench.report.data import load_report
    from gvr_bench.report.html import write_html

    data = load_report([result.folder])
    write_html(result.folder, data)
    with output_to_stderr():
        result.notify_plugins()
    if as_json:
        from gvr_bench.report.exports import named, written

        print(written(named(data.tables), "json"), end="")
    else:
        from gvr_bench.report import terminal

        terminal.show(data, Console(), all_metrics)
    if result.failed:
        raise typer.Exit(SOME_FAILED)
