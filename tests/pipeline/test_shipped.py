"""Networks that come with the package are found like those of the user's own cache."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from tiny import command, plan_of

from gvr_bench.cache.artifacts import META, PRETRAINED, ArtifactCache, subfolder
from gvr_bench.cache.integrity import write_meta
from gvr_bench.config.spec import build_spec
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.collect import Outcome
from gvr_bench.pipeline.options import RunOptions
from gvr_bench.pipeline.plan import Plan, make_plan
from gvr_bench.pipeline.runner import Runner
from gvr_bench.registry.registry import Registry

MNIST = Path(__file__).parents[2].parent / "shared" / "data" / "mnist"
LIMIT = 40 * 2**20
NETWORKS = ("generator", "encoder", "head", "oracle", "class_autoencoders")


def default_plan(
    registry: Registry, dataset: str, generator: str, *groups: str, **flags: Any
) -> Plan:
    """What `gvr-bench run --dataset ... --generator ...` comes to."""
    root = str(MNIST) if dataset == "mnist" else None
    flags |= {"metrics": groups or None, "data_root": root}
    return make_plan(
        build_spec(None, flags, {"dataset": [dataset], "generator": [generator]}), registry
    )


@pytest.fixture
def two(registry: Registry, tmp_path: Path, cli) -> tuple[ArtifactCache, Plan]:
    """A fresh cache beside a folder of shipped networks: those of a tiny run."""
    assert cli(*command("--cache-dir", "first", "--out", "run")).code == 0
    plan = plan_of(registry, {"metrics": ["truth", "validity", "cost"]})
    shipped = tmp_path / "shipped"
    for stage in plan.stages:
        if stage.kind in NETWORKS:
            folder = Path("first") / subfolder(stage)
            shutil.copytree(folder, shipped / subfolder(stage))
    return ArtifactCache(tmp_path / "own", shipped), plan


def run(plan: Plan, cache: ArtifactCache, registry: Registry, *fresh: str) -> dict[str, str]:
    """How each stage ended."""
    how = RunOptions(torch.device("cpu"), recompute=frozenset(fresh))
    outcomes = Runner(plan, cache, registry, how).run(Console(quiet=True))
    return {str(stage): outcomes[stage.key].status for stage in plan.stages}


def test_pretrained_network_is_not_trained(registry: Registry, two) -> None:
    cache, plan = two
    ended = run(plan, cache, registry)
    assert {name for name, status in ended.items() if status == "cached"} == {
        "generator wgan-gp", "encoder conv", "head linear",
    }  # fmt: skip
    assert not (cache.root / "generator").exists()


def test_recompute_trains_pretrained_network(registry: Registry, two) -> None:
    cache, plan = two
    ended = run(plan, cache, registry, "generator")
    assert set(ended.values()) - {"done"} == set()
    assert {path.parent.name for path in cache.root.glob(f"generator/*/{META}")}


def test_pretrained_encoder_needs_its_generator(registry: Registry, two) -> None:
    cache, plan = two
    stage = next(s for s in plan.stages if s.kind == "generator")
    own = cache.write_dir(stage)
    shutil.copytree(cache.folder(stage), own)
    meta = json.loads((own / META).read_text())
    write_meta(own, {**meta, "digest": "of other weights"})
    encoder = next(s for s in plan.stages if s.kind == "encoder")
    assert cache.has(stage)
    assert not cache.has(encoder)


def test_nothing_is_written_among_the_shipped(registry: Registry, two) -> None:
    cache, plan = two
    before = {path: path.stat().st_mtime_ns for path in cache.pretrained.rglob("*")}
    run(plan, cache, registry, "encoder")
    assert {path: path.stat().st_mtime_ns for path in cache.pretrained.rglob("*")} == before


def test_pretrained_files_are_small_data() -> None:
    files = [path for path in PRETRAINED.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors", ".h5"}
    assert sum(path.stat().st_size for path in files) <= LIMIT


@pytest.mark.parametrize("generator", ["wgan-gp", "vae"])
@pytest.mark.parametrize("dataset", ["phantom", "digits", "mnist"])
def test_the_defaults_find_their_networks(
    registry: Registry, tmp_path: Path, dataset: str, generator: str
) -> None:
    if dataset == "mnist" and not MNIST.is_dir():
        pytest.skip(f"needs MNIST in {MNIST}")
    cache = ArtifactCache(tmp_path)
    plan = default_plan(registry, dataset, generator)
    networks = [stage for stage in plan.stages if stage.kind in NETWORKS]
    assert [str(stage) for stage in networks if not cache.has(stage)] == []
    assert {stage.kind for stage in networks} == set(NETWORKS)


def test_a_second_seed_finds_its_networks(registry: Registry, tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    plan = default_plan(registry, "phantom", "vae", seeds=[0, 1])
    networks = [stage for stage in plan.stages if stage.kind in NETWORKS]
    assert [str(stage) for stage in networks if not cache.has(stage)] == []
    assert {stage.seed for stage in networks} == {0, 1}


@pytest.mark.slow
def test_pretrained_generator_is_reproducible(registry: Registry, tmp_path: Path) -> None:
    plan = default_plan(registry, "digits", "vae", "truth")
    stages = tuple(stage for stage in plan.stages if stage.kind in ("data", "generator"))
    cache, shipped = ArtifactCache(tmp_path, tmp_path / "none"), ArtifactCache(tmp_path)
    how = RunOptions(torch.device("cpu"))
    part = dataclasses.replace(plan, combinations=(), stages=stages)
    Runner(part, cache, registry, how).run(Console(quiet=True))
    generator = stages[-1]
    assert last_loss(cache, generator) == pytest.approx(last_loss(shipped, generator), rel=0.05)


def last_loss(cache: ArtifactCache, stage: Stage) -> float:
    """Mean of the last losses that a training logged."""
    rows = json.loads((cache.folder(stage) / "history.json").read_text())
    name = next(name for name in rows[0] if name != "step")
    return float(np.mean([row[name] for row in rows[-5:]]))


def test_watched_run_calls_shipped_networks_cached(registry: Registry, two) -> None:
    cache, plan = two
    state = Runner(plan, cache, registry, RunOptions(torch.device("cpu"))).state
    state.watching = True
    generator = next(stage for stage in plan.stages if stage.kind == "generator")
    state.outcomes = {stage.key: Outcome("done", 0.0) for stage in generator.inputs.values()}
    outcome = state.resolve(generator)
    assert outcome is not None
    assert outcome.status == "cached"


@pytest.mark.parametrize(
    ("networks", "loss"),
    [("generator/vae", "reconstruction"), ("head/conv", "validation_loss")],
)
def test_shipped_networks_have_learned(networks: str, loss: str) -> None:
    histories = [
        json.loads(path.read_text()) for path in PRETRAINED.glob(f"{networks}-*/history.json")
    ]
    learned = [rows[-1][loss] / rows[0][loss] for rows in histories if loss in rows[-1]]
    assert len(learned) == 6  # phantom with three seeds, digits, MNIST, findings
    assert max(learned) < 0.8
