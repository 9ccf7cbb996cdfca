"""Networks that come with the package are found like those of the user's own store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from tiny import command, plan_of

from gvr_bench.cache.artifacts import META, SHIPPED, Store, subfolder
from gvr_bench.cache.integrity import write_meta
from gvr_bench.config.spec import build_spec
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.graph import make_plan
from gvr_bench.pipeline.plan import Plan
from gvr_bench.pipeline.runner import How, Runner
from gvr_bench.registry.registry import Registry

MNIST = Path(__file__).parents[2].parent / "shared" / "data" / "mnist"
LIMIT = 25 * 2**20
NETWORKS = ("generator", "encoder", "oracle")


def default_plan(registry: Registry, dataset: str, generator: str, *groups: str) -> Plan:
    """What `gvr-bench run --dataset ... --generator ...` comes to."""
    flags = {"metrics": groups or None, "data_root": str(MNIST) if dataset == "mnist" else None}
    return make_plan(
        build_spec(None, flags, {"dataset": [dataset], "generator": [generator]}), registry
    )


@pytest.fixture
def two(registry: Registry, tmp_path: Path, cli) -> tuple[Store, Plan]:
    """A fresh store beside a folder of shipped networks: those of a tiny run."""
    assert cli(*command("--store", "first", "--out", "run")).code == 0
    plan = plan_of(registry, {"metrics": ["truth", "validity", "cost"]})
    shipped = tmp_path / "shipped"
    for stage in plan.stages:
        if stage.kind in NETWORKS:
            folder = Path("first") / subfolder(stage)
            shutil.copytree(folder, shipped / subfolder(stage))
    return Store(tmp_path / "own", shipped), plan


def run(plan: Plan, store: Store, registry: Registry, *fresh: str) -> dict[str, str]:
    """How each stage ended."""
    how = How(torch.device("cpu"), fresh=frozenset(fresh))
    outcomes = Runner(plan, store, registry, how).run(Console(quiet=True))
    return {str(stage): outcomes[stage.key].status for stage in plan.stages}


def test_a_shipped_network_is_not_trained_again(registry: Registry, two) -> None:
    store, plan = two
    ended = run(plan, store, registry)
    assert {name for name, status in ended.items() if status == "cached"} == {
        "generator wgan-gp", "encoder conv",
    }  # fmt: skip
    assert not (store.root / "generator").exists()


def test_what_is_asked_for_afresh_is_trained_though_it_is_shipped(registry: Registry, two) -> None:
    store, plan = two
    ended = run(plan, store, registry, "generator")
    assert set(ended.values()) - {"done"} == set()
    assert {path.parent.name for path in store.root.glob(f"generator/*/{META}")}


def test_a_shipped_encoder_does_not_serve_another_generator(registry: Registry, two) -> None:
    store, plan = two
    stage = next(s for s in plan.stages if s.kind == "generator")
    own = store.place(stage)
    shutil.copytree(store.folder(stage), own)
    meta = json.loads((own / META).read_text())
    write_meta(own, {**meta, "digest": "of other weights"})
    encoder = next(s for s in plan.stages if s.kind == "encoder")
    assert store.has(stage)
    assert not store.has(encoder)


def test_nothing_is_written_among_the_shipped(registry: Registry, two) -> None:
    store, plan = two
    before = {path: path.stat().st_mtime_ns for path in store.shipped.rglob("*")}
    run(plan, store, registry, "encoder")
    assert {path: path.stat().st_mtime_ns for path in store.shipped.rglob("*")} == before


def test_what_is_shipped_is_small_and_holds_no_code() -> None:
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors", ".h5"}
    assert sum(path.stat().st_size for path in files) <= LIMIT


@pytest.mark.parametrize("generator", ["wgan-gp", "vae"])
@pytest.mark.parametrize("dataset", ["phantom", "digits", "mnist"])
def test_the_defaults_find_their_networks(
    registry: Registry, tmp_path: Path, dataset: str, generator: str
) -> None:
    if dataset == "mnist" and not MNIST.is_dir():
        pytest.skip(f"needs MNIST in {MNIST}")
    store = Store(tmp_path)
    plan = default_plan(registry, dataset, generator, "oracle")
    networks = [stage for stage in plan.stages if stage.kind in NETWORKS]
    assert [str(stage) for stage in networks if not store.has(stage)] == []
    assert len(networks) == 3


@pytest.mark.slow
def test_the_smallest_shipped_generator_can_be_trained_again(
    registry: Registry, tmp_path: Path
) -> None:
    plan = default_plan(registry, "digits", "vae", "truth")
    stages = tuple(stage for stage in plan.stages if stage.kind in ("data", "generator"))
    store, shipped = Store(tmp_path, tmp_path / "none"), Store(tmp_path)
    how = How(torch.device("cpu"))
    Runner(Plan(plan.spec, (), stages), store, registry, how).run(Console(quiet=True))
    generator = stages[-1]
    assert last_loss(store, generator) == pytest.approx(last_loss(shipped, generator), rel=0.05)


def last_loss(store: Store, stage: Stage) -> float:
    """Mean of the last losses that a training logged."""
    rows = json.loads((store.folder(stage) / "history.json").read_text())
    name = next(name for name in rows[0] if name != "step")
    return float(np.mean([row[name] for row in rows[-5:]]))
