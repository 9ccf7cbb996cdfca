"""The smallest run that goes through every stage, and plugin packages made of a few lines."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, distributions, entry_points
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from gvr_bench.config.spec import build_spec
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.plan import Plan, make_plan
from gvr_bench.pipeline.steps import class_autoencoders, oracle, student
from gvr_bench.registry.registry import GROUP, Registry

CHOICES = {
    "dataset": ["phantom:size=32,train=160,validation=16,test=32"],
    "generator": ["wgan-gp:iterations=3,width=4,batch=8"],
    "encoder": ["conv:steps=3,width=4"],
    "head": ["linear:steps=20"],
    "explainer": ["saliency"],
}
FLAGS = {"max_cases": 4}
FAST = ("truth", "validity", "cost")  # groups of metrics that train nothing

ROWS = """
import gvr_bench.api as gvr

@gvr.hookimpl
def gvr_plugins():
    yield gvr.Plugin(api={api}, kind="{kind}", name="{name}", target="{target}", summary="made up",
                     needs={needs})
"""


def command(*more: str, metrics: Sequence[str] = FAST, **choices: str | list[str]) -> list[str]:
    """Arguments of a tiny `gvr-bench run`; `choices` replace those of a kind.

    Controls are run for the explainers `all` and `default` only.
    """
    wanted = CHOICES | {k: [v] if isinstance(v, str) else v for k, v in choices.items()}
    typed = [[f"--{kind}", text] for kind, texts in wanted.items() for text in texts]
    typed += [["--metrics", group] for group in metrics]
    several = {"all", "default"} & set(wanted["explainer"])
    controls = "--controls" if several else "--no-controls"
    fixed = ["--max-cases", "4", "--device", "cpu", controls]
    return ["run", *itertools.chain(*typed), *fixed, *more]


def plan_of(
    registry: Registry, flags: Mapping[str, Any] | None = None, **choices: str | list[str]
) -> Plan:
    """Plan a tiny run, with controls for the explainer `all` only."""
    wanted = CHOICES | {k: [v] if isinstance(v, str) else v for k, v in choices.items()}
    fixed = FLAGS | {"controls": "all" in wanted["explainer"]}
    return make_plan(build_spec(None, fixed | dict(flags or {}), wanted), registry)


def stage_of(registry: Registry, kind: str = "head") -> Stage:
    """The stage of a kind in a tiny run."""
    return next(stage for stage in plan_of(registry).stages if stage.kind == kind)


def shorten_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train networks that only scores need for a few steps."""
    for module in (oracle, class_autoencoders, student):
        monkeypatch.setattr(module, "OPTIMIZER_STEPS", 3)
    monkeypatch.setattr(student, "STUDENTS", 2)


class Packages:
    """A folder of installed packages, as pip would leave them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        folder.mkdir()
        monkeypatch.syspath_prepend(str(folder))

    def add(self, distribution: str, source: str, *, version: str = "1.0", **modules: str) -> None:
        """Install a distribution whose entry point is a module of `source`."""
        module = distribution.replace("-", "_")
        for name, text in {module: source, **modules}.items():
            (self.folder / f"{name}.py").write_text(dedent(text))
            self.monkeypatch.delitem(sys.modules, name, raising=False)
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{module} = {module}\n")

    def explainer(
        self, distribution: str, name: str, body: str, *, api: int = 1, needs: str = "()"
    ) -> None:
        """Install a distribution with one explainer, whose `explain` has the body given."""
        module = distribution.replace("-", "_")
        target = f"{module}_explainer"
        rows = ROWS.format(
            api=api, kind="explainer", name=name, target=f"{target}:Made", needs=needs
        )
        explainer = (
            "import torch\nimport gvr_bench.api as gvr\n\n"
            "class Made(gvr.Explainer):\n"
            "    def explain(self, model, x, query, ctx):\n"
            f"        {body}\n"
        )
        self.add(distribution, rows, **{target: explainer})

    def metric(self, distribution: str, name: str, body: str, declared: str = "") -> None:
        """Install a distribution with one metric, whose `score` has the body given."""
        module = f"{distribution.replace('-', '_')}_metric"
        rows = ROWS.format(api=1, kind="metric", name=name, target=f"{module}:Made", needs="()")
        metric = (
            "import torch\nimport gvr_bench.api as gvr\n\n"
            "class Made(gvr.Metric):\n"
            '    """Made up."""\n\n'
            f"    {declared or 'fooled_by = formula = source = chr(63)'}\n\n"
            "    def score(self, data):\n"
            f"        {body}\n"
        )
        self.add(distribution, rows, **{module: metric})

    def points(self) -> list[EntryPoint]:
        """Entry points of these packages."""
        found = distributions(path=[str(self.folder)])
        return [p for d in found for p in d.entry_points if p.group == GROUP]

    def registry(self) -> Registry:
        """The registry of these packages beside the real ones."""
        here = {point.value for point in self.points()}
        rest = [p for p in entry_points(group=GROUP) if p.value not in here]
        return Registry([*rest, *self.points()])


def records_of(run: Path) -> list[dict[str, Any]]:
    """Records of a run folder."""
    return [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]


def outcomes_of(run: Path) -> dict[str, list[str]]:
    """How the stages of a run ended: status -> `kind name`, in order."""
    stages = json.loads((run / "environment.json").read_text())["stages"]
    found: dict[str, list[str]] = {}
    for stage in stages:
        found.setdefault(stage["status"], []).append(f"{stage['kind']} {stage['name']}")
    return found
