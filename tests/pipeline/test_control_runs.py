"""Controls are part of every run, and explainers see training images only if they declare it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from tiny import ROWS, Packages, command, plan_of, records_of, shorten_trainings

import gvr_bench
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.plan import Plan
from gvr_bench.pipeline.steps import oracle
from gvr_bench.registry.registry import Registry
from gvr_bench.report.data import load_report

OF_MAPS = {"random", "edge", "intensity", "template"}
OURS = OF_MAPS | {"adversarial", "nearest-unlike", "class-shift"}
WITH = {"controls": True}
PLUGINS = """
import gvr_bench.api as gvr

@gvr.hookimpl
def gvr_plugins():
    for name in {names}:
        target = f"extra_classes:{{name}}"
        yield gvr.Plugin(api=1, kind="explainer", name=name.lower(), target=target,
                         summary="made up")
"""
CLASSES = """
import torch
import gvr_bench.api as gvr

class Own(gvr.Explainer):
    role = "control"

    def explain(self, model, x, target, ctx):
        return gvr.Explanation(x.sum(1))

class Broken(Own):
    def explain(self, model, x, target, ctx):
        raise ValueError("no idea")

class Unbuilt(Own):
    def __init__(self, settings):
        raise ValueError("no idea")

class Echo(gvr.Explainer):
    uses_reference = {declared}

    def explain(self, model, x, target, ctx):
        known = ctx.reference
        values = [known.latents.mean(), known.outputs.mean(), known.images(torch.arange(5)).mean()]
        attribution = torch.zeros_like(x[:, 0])
        for column, value in enumerate(values):
            attribution[:, 0, column] = value
        return gvr.Explanation(attribution)
"""


@pytest.fixture
def extra(packages: Packages, use_packages: Callable[[], None]) -> Callable[..., Registry]:
    """Install a package with some of the classes above."""

    def install(*names: str, declared: bool = True) -> Registry:
        source = {"extra_classes": CLASSES.format(declared=declared)}
        packages.add("extra", PLUGINS.format(names=names), **source)
        use_packages()
        return packages.registry()

    return install


def explainers(plan: Plan) -> list[str]:
    (combination,) = plan.combinations
    return list(combination.explanations)


def test_controls_are_added_to_named_explainers(extra: Callable[..., Registry]) -> None:
    names = explainers(plan_of(extra("Own", "Echo"), WITH, explainer=["saliency", "edge"]))
    assert names[:2] == ["saliency", "edge"]
    assert set(names) == {"saliency", "own", *OF_MAPS}
    assert len(names) == len(set(names))


def test_named_control_keeps_its_settings(registry: Registry) -> None:
    plan = plan_of(registry, WITH, explainer=["saliency", "adversarial:radius=0.1"])
    (combination,) = plan.combinations
    assert combination.explanations["adversarial"].settings["radius"] == 0.1
    assert set(combination.explanations) == {"saliency", *OURS}


def test_no_controls_but_those_named(registry: Registry) -> None:
    assert explainers(plan_of(registry, explainer="saliency")) == ["saliency"]
    everything = explainers(plan_of(registry, {"controls": False}, explainer=["all", "edge"]))
    assert set(everything) & OURS == {"edge"}
    assert "gvr" in everything


def test_unbuilt_control_stops_no_plan(extra: Callable[..., Registry]) -> None:
    registry = extra("Unbuilt")
    (combination,) = plan_of(registry, WITH, explainer="saliency").combinations
    assert "ValueError: no idea" in combination.explanations["unbuilt"].problem
    with pytest.raises(gvr_bench.core.errors.PluginError, match="no idea"):
        plan_of(registry, explainer="unbuilt")


def test_dry_run_shows_controls(cli) -> None:
    typed = command("--dry-run")
    assert "template" not in cli(*typed).out
    assert set(cli(*typed, "--controls").out.split()) >= OF_MAPS


def explanations(registry: Registry, name: str) -> Stage:
    return plan_of(registry, explainer=name).combinations[0].explanations[name]


HEAD = """
import torch
from torch import nn
import gvr_bench.api as gvr

class Made(gvr.Head):
    sees = "images"

    def build(self, latent_dim, task):
        return nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, len(task.outputs)))

    def fit(self, net, train, validation, task, ctx):
        nn.init.constant_(net[1].weight, 1e-3)
        nn.init.constant_(net[1].bias, 5.0)  # it sees the disease everywhere
"""


@pytest.fixture
def sees_images(packages: Packages, use_packages: Callable[[], None]) -> Registry:
    """A head that is a network of images."""
    rows = ROWS.format(api=1, kind="head", name="net", target="net_head:Made", needs="()")
    packages.add("net", rows, net_head=HEAD)
    use_packages()
    return packages.registry()


def test_no_decoder_is_trained_for_controls(sees_images: Registry) -> None:
    plan = plan_of(sees_images, WITH, head="net", explainer="saliency")
    assert not {stage.kind for stage in plan.stages} & {"generator", "encoder", "latents"}
    assert set(explainers(plan)) == {"saliency", *OF_MAPS}
    drawn = plan_of(sees_images, WITH, head="net", explainer=["saliency", "gvr"])
    assert set(explainers(drawn)) == {"saliency", "gvr", *OURS}


def test_adversarial_counterfactual_without_decoder(cli, sees_images: Registry) -> None:
    names = ["saliency", "adversarial"]
    typed = command("--out", "run", head="net", metrics=["validity", "proximity"], explainer=names)
    assert cli(*typed).code == 0
    (board,) = load_report([Path("run")]).boards
    assert {row.names[0] for row, _, _ in board.scored("rationale_l1")} == {"adversarial"}
    assert "adversarial" in Path("run/index.html").read_text()


@pytest.mark.parametrize("explainer", ["nearest-unlike", "class-shift"])
def test_latent_controls_explain_a_network_of_images(
    cli, sees_images: Registry, explainer: str
) -> None:
    typed = command("--out", "run", head="net", metrics=["validity", "sanity"], explainer=explainer)
    assert cli(*typed).code == 0
    rows = [row for row in records_of(Path("run")) if row["explainer"]]
    assert {row["status"] for row in rows} <= {"ok", "n/a"}


def test_reference_is_part_of_the_key(
    extra: Callable[..., Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = extra("Echo")
    declared = explanations(registry, "echo")
    assert declared.inputs["data"].kind == "data"
    monkeypatch.setattr(registry.component("explainer", "echo"), "uses_reference", False)
    undeclared = explanations(registry, "echo")
    assert "data" not in undeclared.inputs
    assert declared.key != undeclared.key


def first_rows(cache: Path, kind: str, name: str) -> dict[str, np.ndarray]:
    """The first three pixels (n, 3) of an explainer's maps, by what was changed; no NaN."""
    found = {}
    for meta in cache.rglob("meta.json"):
        stage = json.loads(meta.read_text())
        if (stage["kind"], stage["name"]) == (kind, name):
            with h5py.File(meta.parent / f"{kind}.h5") as file:
                rows = file["attribution"][:][..., 0, :3].reshape(-1, 3)
            known = rows[~np.isnan(rows).any(axis=1)]
            found.setdefault(stage["settings"].get("changed", ""), []).append(known)
    return {change: np.concatenate(rows) for change, rows in found.items()}


@pytest.mark.usefixtures("short_trainings")
def test_reference_is_of_the_explained_model(cli, extra, tmp_path: Path) -> None:
    """With random weights latents and predictions are those of the random networks."""
    extra("Echo")
    cache, metrics = tmp_path / "c", ["sanity", "robustness", "simulatability"]
    typed = command("--out", "run", "--cache-dir", cache, metrics=metrics, explainer="echo")
    assert cli(*typed).code == 0
    run = gvr_bench.load("run", cache=cache, device="cpu")
    with h5py.File(run.cache.file(run.combination.data, "data.h5")) as file:
        pixels = torch.from_numpy(file["train/images"][:])  # so few that all are in the reference
    x = pixels.float() / 127.5 - 1
    z = run.model.encoder(x)
    expected = [value.item() for value in (z.mean(), run.model.head(z).mean(), x[:5].mean())]
    random = first_rows(cache, "perturbed_explanations", "echo")
    unchanged = [
        first_rows(cache, "explanations", "echo")[""],
        first_rows(cache, "student_training_set", "echo")[""],
        random["randomised_generator"],
        random["perturbed"],
    ]
    for rows in unchanged:
        assert len(rows)
        np.testing.assert_allclose(rows, np.tile(expected, (len(rows), 1)), atol=1e-4)
    head, encoder = random["randomised_head"][0], random["randomised_encoder"][0]
    assert head[[0, 2]] == pytest.approx([expected[0], expected[2]], abs=1e-4)
    assert abs(head[1] - expected[1]) > 2e-4
    assert abs(encoder[0] - expected[0]) > 2e-4
    assert encoder[2] == pytest.approx(expected[2], abs=1e-4)


def test_new_image_has_the_same_reference(cli) -> None:
    assert cli(*command("--out", "run", explainer=["saliency", "template"])).code == 0
    model = gvr_bench.load("run", device="cpu")
    with h5py.File("run/cases.h5") as file:
        image, expected = file["0/input"][0], file["0/explainers/template/attribution"][0]
    made = model.explain(image, explainer="template")
    np.testing.assert_allclose(made.attribution, expected, atol=1e-3)


def test_failed_control_is_named_beside_scores(cli, extra: Callable[..., Registry]) -> None:
    extra("Broken")
    done = cli(*command("--out", "run", "--controls", metrics=["truth"]))
    assert done.code == 1
    data = load_report([Path("run")])
    (board,) = data.boards
    assert {column.failed_controls for column in board.columns} == {("broken",)}
    assert {row.names[0] for row in board.rows if row.control} == {"broken", *OF_MAPS}
    line = "No comparison with the control broken, which failed, on any score."
    assert line in " ".join(done.out.split())


def test_counterfactual_columns_have_controls(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_trainings(monkeypatch)
    monkeypatch.setattr(oracle, "OPTIMIZER_STEPS", 60)  # until it predicts both classes
    metrics = ["validity", "proximity", "faithfulness", "oracle", "realism"]
    typed = command("--controls", "--out", "run", metrics=metrics, explainer="latent-shift:steps=3")
    assert cli(*typed, "--max-cases", 20).code == 0  # some that model and oracle predict
    (board,) = load_report([Path("run")]).boards
    for metric in ("validity", "rationale_l1", "cout", "oracle_validity", "im1"):
        controls = {row.names[0] for row, _, _ in board.scored(metric) if row.control}
        assert controls == {"adversarial", "nearest-unlike", "class-shift"}, metric
