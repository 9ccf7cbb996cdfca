"""Opens a finished run: selects one of its models and checks that it is still in the cache."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from os import PathLike
from pathlib import Path

from gvr_bench.cache.artifacts import ArtifactCache, default_cache_dir
from gvr_bench.config.spec import Spec, build_spec
from gvr_bench.core.errors import (
    CacheError,
    CorruptStageError,
    PluginError,
    UsageError,
)
from gvr_bench.core.near_names import did_you_mean
from gvr_bench.core.stage import StageKind, depends_on
from gvr_bench.explain.model import Trained
from gvr_bench.pipeline.graph import StageGraph
from gvr_bench.pipeline.options import choose_device
from gvr_bench.pipeline.plan import Combination, plan_graph
from gvr_bench.registry import registry as plugins
from gvr_bench.registry.names import collective
from gvr_bench.report.run import load as read_run
from gvr_bench.results.records import SPEC, rerun_command
from gvr_bench.results.run_folder import check_run

REQUIRED: tuple[StageKind, ...] = ("data", "generator", "encoder", "latents", "head")


def load(
    run: str | PathLike[str],
    *,
    cache: str | PathLike[str] | None = None,
    data_root: str | PathLike[str] | None = None,
    device: str = "auto",
    batch_size: int = 128,
    dataset: str | None = None,
    generator: str | None = None,
    encoder: str | None = None,
    head: str | None = None,
    seed: int | None = None,
) -> Trained:
    """Open the folder of a finished run to explain new images with its model.

    `cache` is where the run's models are stored, by default `$GVR_BENCH_CACHE` or the user's cache;
    `data_root` replaces the folder of the data set's files. `device` is `auto`, `cpu` or `cuda`.
    The last five select a model where the run has several.

    Raises `DataError` where there is no such run or its data are missing, `UsageError` where no
    model or several match, and `CacheError` where the model is not in the cache.
    """
    run = Path(run)
    if run.is_file():
        raise UsageError(f"{run} is a file; name the folder of the run it is in: {run.parent}")
    recorded = read_run(check_run(run))
    flags = {"data_root": str(data_root) if data_root else None}
    registry = plugins.installed()
    spec, absent = without_absent(build_spec(run / SPEC, flags, {}), registry)
    graph = StageGraph(spec, registry)
    selection = {
        "dataset": dataset, "generator": generator, "encoder": encoder, "head": head, "seed": seed
    }  # fmt: skip
    combination = select(plan_graph(graph).combinations, selection, run)
    artifacts = ArtifactCache(Path(cache) if cache else default_cache_dir())
    rerun = rerun_command(run, "--cache-dir", str(artifacts.root))
    check_model(combination, {s.key for s in recorded.environment.stages}, artifacts, run, rerun)
    try:
        return Trained(
            recorded.name, combination, graph, artifacts, choose_device(device), batch_size, absent
        )
    except CorruptStageError as error:
        raise CacheError(f"{error.stage} is {error}; compute it again with: {rerun}") from error


def select(
    combinations: Sequence[Combination], selection: Mapping[str, object], run: Path
) -> Combination:
    """Return the only match; None matches any. Raises `UsageError` that lists the choices."""
    left = list(combinations)
    for name, value in selection.items():
        if value is not None:
            known = _values(left, name)
            left = [c for c in left if getattr(c, name) == value]
            if not left:
                hint = did_you_mean(str(value), known)
                raise UsageError(f"the run {run} has no {name} '{value}'{hint}")
    if len(left) == 1:
        return left[0]
    options = [
        " or ".join(f"--{name} {shlex.quote(value)}" for value in values)
        for name in selection
        if len(values := _values(left, name)) > 1
    ]
    raise UsageError(f"the run {run} has {len(left)} models; choose one: {'; '.join(options)}")


def _values(combinations: Sequence[Combination], name: str) -> list[str]:
    return list(dict.fromkeys(str(getattr(c, name)) for c in combinations))


def without_absent(spec: Spec, registry: plugins.Registry) -> tuple[Spec, tuple[str, ...]]:
    """Return a spec without the explainers that do not load here, and their names.

    A model can be explained by others than those.
    """
    usable, absent = [], []
    for choice in spec.explainer:
        try:
            if not collective(choice.name, registry.plugins("explainer")):
                registry.component("explainer", choice.name)
            usable.append(choice)
        except (UsageError, PluginError):
            absent.append(choice.name)
    return spec.model_copy(update={"explainer": tuple(usable)}), tuple(absent)


def check_model(
    combination: Combination, keys: Collection[str], cache: ArtifactCache, run: Path, rerun: str
) -> None:
    """Check that the stages of a model are those of the run, in the cache and undamaged.

    Raises `UsageError` or `CacheError`.
    """
    for kind in REQUIRED:
        if not depends_on(combination.prediction, kind):
            continue  # a network of images without a decoder
        stage = combination.prediction.input(kind)
        if stage.key not in keys:
            raise UsageError(
                f"the run {run} used another {stage}: its data, its files or the version of a "
                f"plugin have changed since; run it again with: {rerun}"
            )
        if not cache.has(stage):
            _, fault = cache.inspect(stage)
            if fault:
                raise CacheError(f"{stage} is {fault}; compute it again with: {rerun}")
            raise CacheError(
                f"{stage} is not in the cache {cache.root}; name the cache of the run with "
                f"--cache-dir DIR, or compute it with: {rerun}"
            )
