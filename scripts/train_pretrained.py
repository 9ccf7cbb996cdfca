"""Train the networks that come with the package, and put them where it looks for them.

    scripts/train_pretrained.py --cache-dir DIR --mnist DIR

What is shipped already stays, unless its version or settings have changed; delete its folder to
train it again. Everything is trained by an ordinary run of the default specs and of the experiment
`findings`, or read from the cache if it is there; what is shipped is a copy of the stages' values
with their provenance.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from gvr_generators.vae import WARM_START
from rich.console import Console
from safetensors.torch import save_file

from gvr_bench.cache.artifacts import ERROR, PRETRAINED, WORK, ArtifactCache, subfolder
from gvr_bench.cache.integrity import seal
from gvr_bench.cache.serialization import read_json, read_weights
from gvr_bench.config.experiments import experiment
from gvr_bench.config.spec import Spec, build_spec, check_table, spec_of_table
from gvr_bench.core.stage import Stage, StageKind, canonical
from gvr_bench.pipeline.options import RunOptions
from gvr_bench.pipeline.plan import Plan, make_plan
from gvr_bench.pipeline.runner import Runner
from gvr_bench.registry.registry import installed

KINDS: tuple[StageKind, ...] = ("generator", "encoder", "head", "oracle", "class_autoencoders")
DATASETS = ("phantom", "digits", "mnist")
EXPERIMENT = "findings"
SEEDS = 0, 1, 2  # of the phantom's best generator: three trainings to compare
LIMIT = 40 * 2**20  # bytes of all networks together


def main() -> None:
    """Run the default specs and copy their networks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache-dir", type=Path, required=True, help="where networks are trained")
    parser.add_argument("--mnist", type=Path, required=True, help="folder with MNIST's files")
    options = parser.parse_args()
    cache = ArtifactCache(options.cache_dir)
    shipped = {PRETRAINED / subfolder(stage): stage for stage in train(cache, options.mnist)}
    for target, stage in shipped.items():
        if not target.is_dir():
            unfit = shutil.ignore_patterns(WORK, ERROR, "test.h5")
            shutil.copytree(cache.folder(stage), target, ignore=unfit)
            compact(target)
    for folder in set(PRETRAINED.glob("*/*")) - set(shipped):
        shutil.rmtree(folder)
    files = [WARM_START, *filter(Path.is_file, PRETRAINED.rglob("*"))]
    size = sum(path.stat().st_size for path in files)
    print(f"{size / 2**20:.1f} MiB in {PRETRAINED}")
    if size > LIMIT:
        raise SystemExit(f"more than {LIMIT / 2**20:.0f} MiB")


def compact(folder: Path) -> None:
    """Write the JSON of a value in one line each, for nobody reads its history in a diff."""
    for path in sorted(folder.glob("*.json")):
        if path.name != "meta.json":
            path.write_text(f"{canonical(read_json(path))}\n", encoding="utf-8")
    seal(folder)


def write_warm_start(file: Path) -> None:
    """Write the weights of the phantom's `vae`, with which trainings on few images begin."""
    weights, _ = read_weights(file)
    save_file({name: weight.half() for name, weight in weights.items()}, WARM_START)


def missing_networks(plan: Plan, cache: ArtifactCache) -> Plan:
    """Return the part of a plan that trains what is shipped and is not there yet."""
    needed: set[str] = set()

    def need(stage: Stage) -> None:
        needed.add(stage.key)
        for other in stage.inputs.values():
            need(other)

    for stage in plan.stages:
        if stage.kind in KINDS and not cache.has(stage):
            need(stage)
    stages = tuple(stage for stage in plan.stages if stage.key in needed)
    return dataclasses.replace(plan, combinations=(), stages=stages)


def specs(mnist: Path) -> Iterator[Spec]:
    """Yield the specs whose networks are shipped."""
    for dataset in DATASETS:
        root = str(mnist) if dataset == "mnist" else None
        flags = {"controls": False, "data_root": root}
        yield build_spec(None, flags, {"dataset": [dataset], "explainer": ["latent-shift"]})
    flags = {"controls": False, "seeds": [*SEEDS]}
    yield build_spec(None, flags, {"generator": ["vae"], "explainer": ["latent-shift"]})
    table = experiment(EXPERIMENT).spec
    yield spec_of_table(check_table(EXPERIMENT, table), {})


def train(cache: ArtifactCache, mnist: Path) -> Iterator[Stage]:
    """Yield the finished stages that are shipped."""
    for number, spec in enumerate(specs(mnist)):  # the phantom's first
        plan = make_plan(spec, installed())
        missing = missing_networks(plan, cache)
        runner = Runner(missing, cache, installed(), RunOptions(torch.device("cpu")))
        runner.prepare()
        runner.run(Console(stderr=True))
        for stage in plan.stages:
            if stage.kind in KINDS:
                if not cache.has(stage):
                    raise SystemExit(f"{stage} could not be trained")
                if number == 0 and (stage.kind, stage.name) == ("generator", "vae"):
                    write_warm_start(cache.file(stage, "weights.safetensors"))
                yield stage


if __name__ == "__main__":
    main()
