"""The papers' experiments are there by name, can be planned, and keep to the published values."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gvr_bench.cli.main import app
from gvr_bench.config.experiments import experiment, experiments
from gvr_bench.config.spec import check_table, spec_of_table
from gvr_bench.core.errors import UsageError
from gvr_bench.pipeline.plan import make_plan
from gvr_bench.registry.registry import installed

NAMES = {
    "chestxray8", "contaminated", "decoders", "explainer-comparison", "findings", "heads",
    "heart-failure", "labels", "mnist-9-to-4", "morpho", "planted-nodules", "pneumonia",
    "reconstructions", "shortcut-sweep", "tuberculosis",
}  # fmt: skip
NEED_DATA = {
    "chestxray8", "mnist-9-to-4", "planted-nodules", "pneumonia", "shortcut-sweep", "tuberculosis",
}  # fmt: skip
PAPER = [  # kind, name, setting, value as published
    ("dataset", "phantom", "size", 128),
    ("dataset", "phantom", "train", 96_000),
    ("dataset", "chestxray8", "size", 128),
    ("generator", "wgan-gp", "latent_dim", 100),
    ("generator", "wgan-gp", "critic_steps", 4),
    ("generator", "wgan-gp", "learning_rate", 5e-5),
    ("generator", "wgan-gp", "iterations", 200_000),
    ("generator", "wgan-gp", "shift", 8 / 128),
    ("encoder", "conv", "validation", 1 / 16),
    ("encoder", "conv", "shift", 8 / 128),
    ("head", "mlp", "units", 256),
    ("head", "residual", "units", 100),
    ("head", "residual", "layers", 6),
    ("explainer", "gvr", "learning_rate", 0.01),
    ("explainer", "gvr", "penalty", 0.1),
    ("explainer", "gvr", "steps", 5000),
    ("explainer", "occlusion", "window", 8),
]


def test_unknown_experiment_gets_suggestion() -> None:
    with pytest.raises(UsageError, match="unknown experiment 'head'; did you mean 'heads'"):
        experiment("head")


def test_every_experiment_is_listed() -> None:
    assert {one.name for one in experiments()} == NAMES
    said = CliRunner().invoke(app, ["experiments", "list"])
    assert said.exit_code == 0
    assert "A contaminated classifier" in said.stdout


@pytest.mark.parametrize("profile", ["quick", "paper"])
@pytest.mark.parametrize("name", sorted(NAMES - NEED_DATA))
def test_experiment_without_data_is_planned(name: str, profile: str) -> None:
    table = check_table(name, experiment(name).spec)
    plan = make_plan(spec_of_table(table, {"profile": profile}), installed())
    assert not [stage.problem for stage in plan.stages if stage.problem]


@pytest.mark.parametrize("name", ["planted-nodules", "shortcut-sweep"])
def test_experiment_on_own_radiographs_is_planned(name: str, shared_data) -> None:
    table = check_table(name, experiment(name).spec)
    root = str(shared_data("shenzhen-cxr"))
    plan = make_plan(spec_of_table(table, {"data_root": root}), installed())
    assert not [stage.problem for stage in plan.stages if stage.problem]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_experiment_names_are_installed(name: str) -> None:
    spec = spec_of_table(check_table(name, experiment(name).spec), {})
    registry = installed()
    for kind in ("dataset", "generator", "encoder", "head", "explainer"):
        for choice in getattr(spec, kind):
            registry.settings(kind, choice.name, "quick", choice.settings)


def test_published_numbers_name_existing_metrics() -> None:
    from gvr_bench.metrics import DECLARED

    rows = [row for one in experiments() for row in one.shown.get("published", [])]
    assert len(rows) >= 18
    assert {row["metric"] for row in rows} <= set(DECLARED)


def test_published_aucs_match_table_1() -> None:
    rows = experiment("chestxray8").shown["published"]
    ours = {row["row"]: row["value"] for row in rows if row["column"] == "Seah et al. 2017"}
    assert ours == {
        "Atelectasis": 0.7546, "Cardiomegaly": 0.8589, "Effusion": 0.8243, "Infiltration": 0.6945,
        "Mass": 0.6958, "Nodule": 0.6247, "Pneumonia": 0.7346, "Pneumothorax": 0.8164,
    }  # fmt: skip


def test_experiment_is_written_beside_run(tmp_path: Path) -> None:
    experiment("mnist-9-to-4").write(tmp_path)
    shown = tomllib.loads((tmp_path / "experiment.toml").read_text())
    assert shown["name"] == "mnist-9-to-4"
    assert shown["published"][0]["value"] == 118.0
    assert "spec" not in shown


@pytest.mark.parametrize(("kind", "name", "setting", "value"), PAPER)
def test_paper_profile_has_published_value(
    kind: str, name: str, setting: str, value: float
) -> None:
    _, settings = installed().settings(kind, name, "paper", {})
    assert getattr(settings, setting) == value
