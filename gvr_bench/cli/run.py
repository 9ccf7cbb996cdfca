"""`gvr-bench run`, `worker` and `experiments`: compute, report, and show the result."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from gvr_bench.cli import options as opt
from gvr_bench.cli.shell import SOME_FAILED, STOP, errors_in_one_line, print_table
from gvr_bench.core.process_group import follows
from gvr_bench.pipeline.run import RunRequest

if TYPE_CHECKING:
    from gvr_bench.pipeline.repeated_run import FinishedRun
    from gvr_bench.report.data import ReportData

experiments_app = typer.Typer(help="The papers' experiments, by name.", no_args_is_help=True)


def run(
    spec_file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SPEC.toml]", help="Spec file; options override it.", show_default=False
        ),
    ] = None,
    dataset: opt.Datasets = None,
    pretrain_dataset: opt.PretrainDatasets = None,
    generator: opt.Generators = None,
    encoder: opt.Encoders = None,
    head: opt.Heads = None,
    explainer: opt.Explainers = None,
    controls: opt.Controls = None,
    metrics: opt.Metrics = None,
    data_root: opt.DataRoot = None,
    profile: opt.ProfileOption = None,
    seed: opt.Seeds = None,
    max_cases: opt.MaxCases = None,
    device: opt.Device = "auto",
    batch_size: opt.BatchSize = 128,
    checkpoint_every: opt.CheckpointEvery = 30.0,
    recompute: opt.Recompute = None,
    cached_only: opt.CachedOnly = False,
    workers: opt.WorkerCount = "auto",
    executor: opt.Executor = "local",
    ray_address: opt.Address = None,
    out: opt.Out = None,
    cache: opt.CacheDir = None,
    all_metrics: opt.AllMetrics = False,
    quiet: opt.Quiet = False,
    dry_run: opt.DryRun = False,
    as_json: opt.Json = False,
) -> None:
    """Train what is missing, explain the test images, score and report."""
    with errors_in_one_line():
        from gvr_bench.config.spec import build_spec

        flags = flags_of(profile, controls, data_root) | {
            "seeds": seed or None, "max_cases": max_cases, "metrics": metrics or None,
        }  # fmt: skip
        choices = {
            "dataset": dataset, "pretraining_dataset": pretrain_dataset, "generator": generator,
            "encoder": encoder, "head": head, "explainer": explainer,
        }  # fmt: skip
        request = RunRequest(
            build_spec(spec_file, flags, choices), out, cache, device, batch_size, checkpoint_every,
            tuple(recompute or ()), cached_only, opt.count_of(workers), executor, ray_address,
            quiet=quiet,
        )  # fmt: skip
        carry_out(request, dry_run=dry_run, as_json=as_json, all_metrics=all_metrics)


def flags_of(
    profile: opt.Profile | None, controls: bool | None, data_root: Path | None
) -> dict[str, Any]:
    root = str(data_root) if data_root else None
    return {"profile": profile, "controls": controls, "data_root": root}


def worker(
    spec_file: Annotated[
        Path, typer.Argument(metavar="SPEC.toml", help="Spec file of the run.", show_default=False)
    ],
    device: opt.Device = "auto",
    batch_size: opt.BatchSize = 128,
    checkpoint_every: opt.CheckpointEvery = 30.0,
    cache: opt.CacheDir = None,
    run_id: Annotated[
        str,
        opt.option(
            metavar="TEXT",
            help="Workers of the same text try a stage that fails once.  \\[default: the job and "
            "step of Slurm]",
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
            help="A name from gvr-bench experiments list.", autocompletion=opt.experiment_names
        ),
    ],
    data_root: opt.DataRoot = None,
    profile: opt.ProfileOption = None,
    controls: opt.Controls = None,
    out: opt.Out = None,
    cache: opt.CacheDir = None,
    device: opt.Device = "auto",
    workers: opt.WorkerCount = "auto",
    executor: opt.Executor = "local",
    ray_address: opt.Address = None,
    all_metrics: opt.AllMetrics = False,
    quiet: opt.Quiet = False,
    dry_run: opt.DryRun = False,
    as_json: opt.Json = False,
) -> None:
    """Run an experiment of the papers and compare its scores with the published ones."""
    with errors_in_one_line():
        from gvr_bench.config.experiments import experiment
        from gvr_bench.config.spec import check_table, spec_of_table

        chosen = experiment(name)
        table = check_table(f"experiment '{name}'", chosen.spec)
        request = RunRequest(
            spec=spec_of_table(table, flags_of(profile, controls, data_root)),
            out=out,
            cache_dir=cache,
            device=device,
            workers=opt.count_of(workers),
            executor=executor,
            ray_address=ray_address,
            experiment=chosen,
            quiet=quiet,
        )
        carry_out(request, dry_run=dry_run, as_json=as_json, all_metrics=all_metrics)


def carry_out(request: RunRequest, *, dry_run: bool, as_json: bool, all_metrics: bool) -> None:
    """Run a request, write its page and show it; exit 1 where some stage failed."""
    if dry_run:
        show_dry_run(request, as_json=as_json)
        return
    from gvr_bench.pipeline import repeated_run

    form = Form(Console(), as_json, all_metrics)
    key = repeated_run.request_key(request)
    if run := repeated_run.find_finished(request, key):
        show_again(run, request, form)
        return
    from gvr_bench.pipeline.run import run_request
    from gvr_bench.registry.registry import output_to_stderr

    request = replace(request, command=shlex.join(["gvr-bench", *sys.argv[1:]]))
    with output_to_stderr():
        result = run_request(request, STOP, Console(stderr=True))
    if result is None:  # this process helped the first one of torchrun
        return
    from gvr_bench.report.data import load_report
    from gvr_bench.report.html import write_html

    data = load_report([result.folder])
    write_html(result.folder, data)
    with output_to_stderr():
        result.notify_plugins()
    text = form.text(data)
    print(text, end="", flush=True)
    if run := repeated_run.finished_run(result, request, key):
        run.show(form.look, text)
    if result.failed:
        raise typer.Exit(SOME_FAILED)


def show_dry_run(request: RunRequest, *, as_json: bool) -> None:
    from gvr_bench.cli.plan import show_plan
    from gvr_bench.pipeline.options import choose_device
    from gvr_bench.pipeline.run import plan_request

    if not follows():
        plan, cache = plan_request(request)
        device = choose_device(request.device).type
        show_plan(plan, cache, device, request.recompute, as_json=as_json)


@dataclass(frozen=True)
class Form:
    """How the result of a run is printed."""

    console: Console
    as_json: bool
    all_metrics: bool

    @property
    def look(self) -> str:
        """All that the text depends on beside the run."""
        c = self.console
        return (
            "json"
            if self.as_json
            else f"{c.width} {c.color_system} {c.encoding} {self.all_metrics}"
        )

    def text(self, data: ReportData) -> str:
        if self.as_json:
            from gvr_bench.report.table_formats import named, written

            return written(named(data.tables), "json")
        from gvr_bench.report import terminal

        with self.console.capture() as captured:
            terminal.show(data, self.console, self.all_metrics)
        return captured.get()


def show_again(run: FinishedRun, request: RunRequest, form: Form) -> None:
    """Show a run of which nothing has to be computed again."""
    from gvr_bench.registry.registry import output_to_stderr

    console = Console(stderr=True)
    with output_to_stderr():
        for warning in run.use(request.cache_root):
            console.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    if not request.quiet:
        console.print(f"all {len(run.stages)} stages and the page are as they were")
    text = run.shown.get(form.look)
    if text is None:
        from gvr_bench.report.data import load_report

        text = form.text(load_report([run.folder]))
        run.show(form.look, text)
    print(text, end="")
