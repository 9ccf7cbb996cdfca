"""What commands share: errors in one line, carrying out a spec, showing what came of it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console

from gvr_bench.core.data_parallel import are_several, follows
from gvr_bench.core.errors import GvrError, UsageError, did_you_mean
from gvr_bench.core.interrupts import Stop, Stopped
from gvr_bench.pipeline.executors.factory import executor_of
from gvr_bench.pipeline.torchrun import follow, process_group_for, to_say

if TYPE_CHECKING:
    from rich.text import Text

    from gvr_bench.cache.artifacts import ArtifactCache
    from gvr_bench.config.experiments import Experiment
    from gvr_bench.config.spec import Spec
    from gvr_bench.pipeline.plan import Plan

BAD_INPUT, SOME_FAILED, INTERRUPTED = 2, 1, 130
STOP = Stop()  # of this process: signals are the same for all of it


@dataclass(frozen=True)
class Options:
    """How a spec is carried out, as it was typed."""

    out: Path | None = None
    cache_dir: Path | None = None
    device: str = "auto"
    batch_size: int = 128
    checkpoint_every: float = 30.0
    recompute: tuple[str, ...] = ()
    cached_only: bool = False
    dry_run: bool = False
    as_json: bool = False
    all_metrics: bool = False
    executor: str = "local"
    ray_address: str | None = None


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Bad input and signals end with one line on stderr and an exit code, without a traceback."""
    try:
        with STOP.listening():
            yield
    except GvrError as error:
        leave(f"error: {' '.join(str(error).split())}", BAD_INPUT)
    except KeyboardInterrupt as stopped:
        Console(stderr=True).show_cursor()  # a second signal may have kept a bar from doing so
        said, code = ("interrupted", INTERRUPTED)
        if isinstance(stopped, Stopped):
            said, code = str(stopped), stopped.code
        leave(f"{said}; the same command goes on from here", code, stopped=True)


def leave_if_stopped(code: object) -> None:
    """Leave at once after a signal: libraries cut short complain when they are tidied up."""
    if STOP.number and code == 128 + STOP.number:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def leave(line: str, code: int, *, stopped: bool = False) -> NoReturn:
    """Print one line on stderr and exit; what a terminal would obey in it is shown as code."""
    if are_several():
        line = to_say(line, stopped=stopped)
    if line:
        print("".join(c if c.isprintable() else repr(c)[1:-1] for c in line), file=sys.stderr)
    raise typer.Exit(code)


def carry_out(spec: Spec, options: Options, experiment: Experiment | None = None) -> None:
    """Plan a spec, run it, write its folder and show it; exit 1 where some stage failed."""
    began = time.time()
    from gvr_bench.cache.artifacts import ArtifactCache, default_cache_dir
    from gvr_bench.pipeline.graph import make_plan
    from gvr_bench.registry.registry import installed

    plan = make_plan(spec, installed())
    cache = ArtifactCache(options.cache_dir or default_cache_dir())
    if options.dry_run and follows():
        return
    if options.dry_run:
        from gvr_bench.cli.plan import show_plan
        from gvr_bench.pipeline.options import choose_device

        refuse_fresh(plan, options)
        device = choose_device(options.device).type
        show_plan(plan, cache, device, options.recompute, as_json=options.as_json)
        return
    name = experiment.name if experiment else spec.dataset[0].name
    folder = options.out or Path("reports") / f"{name}-{plan.key[:8]}"
    failed = run_into(folder, plan, cache, options, began, experiment)
    show(folder, options)
    if failed:
        raise typer.Exit(SOME_FAILED)


def run_into(
    folder: Path,
    plan: Plan,
    cache: ArtifactCache,
    options: Options,
    began: float,
    experiment: Experiment | None,
) -> bool:
    """Run a plan and write its folder; return whether some stage failed."""
    from gvr_bench.pipeline.options import RunOptions, choose_device
    from gvr_bench.pipeline.runner import Runner
    from gvr_bench.registry.registry import installed
    from gvr_bench.report.html import write_html

    refuse_fresh(plan, options)
    how = RunOptions(
        choose_device(options.device),
        options.batch_size,
        options.checkpoint_every,
        frozenset(options.recompute),
        options.cached_only,
    )
    process_group = process_group_for(how.device, STOP) if are_several() else None
    executor = executor_of(options.executor, options.ray_address, plan, cache, how, STOP)
    runner = Runner(
        plan, cache, installed(), replace(how, process_group=process_group), STOP, executor
    )
    if process_group and process_group.rank:
        follow(process_group, runner)
        raise typer.Exit
    runner.prepare()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write the run's folder {folder}: {error.strerror}; choose another with "
            "--out DIR"
        ) from error
    console = Console(stderr=True)
    runner.run(console)
    if experiment:
        experiment.write(folder)
    runner.write(folder, began, console)
    write_html(folder)
    runner.notify_plugins(folder, console)
    if process_group:
        process_group.dismiss()
    return any(outcome.status == "failed" for outcome in runner.outcomes.values())


def refuse_fresh(plan: Plan, options: Options) -> None:
    """Refuse a `--recompute` that means nothing in this plan. Raises `UsageError`."""
    known = {s.kind for s in plan.stages} | {s.name for s in plan.stages} | {"all"}
    for word in options.recompute:
        if word not in known:
            raise UsageError(f"--recompute {word}: no such stage{did_you_mean(word, known)}")
    if options.recompute and options.cached_only:
        raise UsageError(
            "--recompute computes again and --cached-only computes nothing; leave one out"
        )


def show(folder: Path, options: Options) -> None:
    """Show a run folder on stdout."""
    if options.as_json:
        from gvr_bench.report.exports.tables import export

        print(export([folder], "json"), end="")
        return
    from gvr_bench.report import terminal

    terminal.show(folder, Console(), options.all_metrics)


def show_runs(folders: Sequence[Path], out: Path | None, every: bool) -> Path:
    """Write the page of one run, or of several together, and show it; return its path.

    Raises `DataError`, or `UsageError` where the page cannot be written.
    """
    from gvr_bench.report import html, terminal
    from gvr_bench.report.data import load_all

    loaded = load_all(folders)
    if len(folders) == 1 and out is None:
        page = html.write_html(folders[0], loaded)
        terminal.show(folders[0], Console(), every, loaded)
        return page
    where = out or folders[0].parent / "comparison.html"
    if where.is_dir():
        raise UsageError(f"{where} is a folder; name a file in it: --out {where / where.name}.html")
    page = html.write_shared_html(folders, where, loaded)
    terminal.show_shared(folders, Console(), every, loaded)
    print(f"\nReport: {page}")
    return page


def show_plugins(as_json: bool) -> None:
    """Show every component, and every plugin that does not load, with the reason."""
    from rich.text import Text

    from gvr_bench.registry.registry import installed

    registry = installed()
    rows = [
        (
            r.plugin.kind,
            r.plugin.name,
            r.distribution,
            r.problem or r.plugin.summary,
            bool(r.problem),
        )
        for r in registry.rows
    ] + [("?", b.entry_point, b.distribution, b.problem, True) for b in registry.broken]
    if as_json:
        print_json(("kind", "name", "distribution", "text", "broken"), rows)
        return
    cells = []
    for *whose, text, broken in rows:
        line, style = (f"broken: {text}", "red") if broken else (text, "")
        cells.append([Text(cell, style=style) for cell in (*whose, line)])
    print_table(("kind", "name", "from", ""), cells)


def print_json(names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows as one JSON document on stdout."""
    print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=1))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Print a rich table to stdout."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    Console().print(table)
