"""Opens a finished run: which of its models is meant, and whether it is still there."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path

from gvr_bench.cache.artifacts import ArtifactCache, CorruptFileError, default_cache_dir
from gvr_bench.config.spec import build_spec
from gvr_bench.core.errors import CacheError, UsageError, did_you_mean
from gvr_bench.core.stage import Stage, StageKind
from gvr_bench.explain.model import Trained
from gvr_bench.pipeline.graph import Planner
from gvr_bench.pipeline.options import choose_device
from gvr_bench.pipeline.plan import Combination
from gvr_bench.report import check_run
from gvr_bench.report.folder import Run
from gvr_bench.report.folder import load as read_run

NEEDED: tuple[StageKind, ...] = ("data", "generator", "encoder", "latents", "head")


@dataclass(frozen=True)
class ModelSelector:
    """Which of a run's models is meant; None leaves it open, for a run that has but one."""

    dataset: str | None = None
    generator: str | None = None
    encoder: str | None = None
    head: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Place:
    """Where a run and its models lie, and how to compute these again."""

    run: Path
    cache: ArtifactCache

    @property
    def again(self) -> str:
        """What to type where a model is gone."""
        words = ["gvr-bench", "run", str(self.run / "spec.toml")]
        more = ["--cache-dir", str(self.cache.root), "--out", str(self.run)]
        return shlex.join(words + more)


def load(
    run: str | PathLike[str],
    *,
    cache: str | PathLike[str] | None = None,
    data_root: str | PathLike[str] | None = None,
    device: str = "auto",
    dataset: str | None = None,
    generator: str | None = None,
    encoder: str | None = None,
    head: str | None = None,
    seed: int | None = None,
) -> Trained:
    """Open the folder of a finished run to explain new images with its model.

    `cache` is where the run's models are kept, by default `$GVR_BENCH_CACHE` or the user's cache;
    `data_root` replaces the folder of the data set's files. The other names choose a model where
    the run has several. `device` is `auto`, `cpu` or `cuda`.

    Raises `DataError` where there is no such run or its data are gone, `UsageError` where the run
    has no such model or several, and `CacheError` where the model is not in the cache.
    """
    return open_run(
        Path(run),
        ModelSelector(dataset, generator, encoder, head, seed),
        cache=Path(cache) if cache is not None else None,
        data_root=Path(data_root) if data_root is not None else None,
        device=device,
    )


def open_run(
    run: Path,
    which: ModelSelector,
    *,
    cache: Path | None = None,
    data_root: Path | None = None,
    device: str = "auto",
    batch_size: int = 128,
) -> Trained:
    """Plan a run again and load one of its models, as `load` says."""
    from gvr_bench.registry.registry import installed

    if run.is_file():
        raise UsageError(f"{run} is a file; name the folder of the run it is in: {run.parent}")
    recorded = read_run(check_run(run))
    flags = {"data_root": str(data_root) if data_root else None}
    planner = Planner(build_spec(run / "spec.toml", flags, {}), installed())
    combination = choose(planner.plan().combinations, which, run)
    place = Place(run, ArtifactCache(cache or default_cache_dir()))
    needed = [combination.head_stage.input(kind) for kind in NEEDED]
    refuse_others(needed, recorded, place)
    refuse_absent(needed, place)
    try:
        return Trained(
            recorded.name, combination, planner, place.cache, choose_device(device), batch_size
        )
    except CorruptFileError as found:
        raise CacheError(
            f"{found.stage} is {found}; compute it again with: {place.again}"
        ) from found


def choose(combinations: Sequence[Combination], which: ModelSelector, run: Path) -> Combination:
    """Return the one that is meant. Raises `UsageError` that lists what there is."""
    left = list(combinations)
    for field in fields(which):
        wanted = getattr(which, field.name)
        if wanted is None:
            continue
        there = list(dict.fromkeys(str(getattr(c, field.name)) for c in left))
        left = [c for c in left if getattr(c, field.name) == wanted]
        if not left:
            hint = did_you_mean(str(wanted), there)
            raise UsageError(f"the run {run} has no {field.name} '{wanted}'{hint}")
    if len(left) == 1:
        return left[0]
    apart = [
        " or ".join(f"--{field.name} {shlex.quote(label)}" for label in labels)
        for field in fields(which)
        if len(labels := list(dict.fromkeys(str(getattr(c, field.name)) for c in left))) > 1
    ]
    raise UsageError(f"the run {run} has {len(left)} models; choose one: {'; '.join(apart)}")


def refuse_others(needed: Sequence[Stage], recorded: Run, place: Place) -> None:
    """Refuse models other than those of the run. Raises `UsageError`."""
    keys = {stage.key for stage in recorded.environment.stages}
    for stage in needed:
        if stage.key not in keys:
            raise UsageError(
                f"the run {place.run} was made with another {stage}: its data, its files or the "
                f"version of a plugin have changed since; make it again with: {place.again}"
            )


def refuse_absent(needed: Sequence[Stage], place: Place) -> None:
    """Refuse what is not in the cache, or damaged there. Raises `CacheError`."""
    for stage in needed:
        if place.cache.has(stage):
            continue
        _, fault = place.cache.inspect(stage)
        if fault:
            raise CacheError(f"{stage} is {fault}; compute it again with: {place.again}")
        raise CacheError(
            f"{stage} is not in the cache {place.cache.root}; name the cache of the run with "
            f"--cache-dir DIR, or compute it with: {place.again}"
        )
