"""Questions that cannot be answered: classes that do not exist, or that nobody sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import ROWS, Packages, command, outcomes_of, records_of
from typer.testing import CliRunner

from gvr_bench.cli.main import app

BLIND = """
    import torch
    import gvr_bench.api as gvr

    class Blind(gvr.Head):
        '''Says 0, whatever the latent.'''

        def build(self, latent_dim, task):
            net = torch.nn.Linear(latent_dim, len(task.outputs))
            torch.nn.init.constant_(net.weight, 1e-6)
            torch.nn.init.zeros_(net.bias)
            net.bias.data[0] = 10.0
            return net

        def fit(self, net, train, validation, task, ctx):
            ctx.log(loss=1.0)
"""
FEW = "Cardiomegaly", "Mass", "No Finding", "Mass|Cardiomegaly"


@pytest.mark.parametrize("dataset", ["mnist", "digits"])
@pytest.mark.parametrize("field", ["source", "target"])
def test_unknown_digit_is_refused(cli, dataset: str, field: str) -> None:
    fault = cli(*command(dataset=f"{dataset}:{field}=11")).fault
    assert all(word in fault for word in (f"dataset '{dataset}'", field, "less than or equal to 9"))


def test_class_name_must_be_number(cli) -> None:
    fault = cli(*command(dataset="digits:target=four")).fault
    assert all(word in fault for word in ("dataset 'digits'", "target", "integer"))


def test_source_and_target_must_differ(cli) -> None:
    fault = cli(*command(dataset="digits:source=4")).fault
    assert "source and target are both 4" in fault


def run_in(folder: Path, *more: str, **choices: str | list[str]) -> Path:
    """A finished run in a folder of its own."""
    arguments = command(
        "--cache-dir", f"{folder}/cache", "--out", f"{folder}/run", *more, **choices
    )
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose model takes every digit for a 0, asked what turns a 9 into a 4."""
    folder = tmp_path_factory.mktemp("unseen")
    with pytest.MonkeyPatch.context() as patch:
        packages = Packages(folder / "site", patch)
        rows = ROWS.format(api=1, kind="head", name="blind", target="blind_head:Blind", needs="()")
        packages.add("blind", rows, blind_head=BLIND)
        found = packages.registry()
        patch.setattr("gvr_bench.registry.registry.installed", lambda: found)
        explainers = ["gvr:steps=3", "latent-shift:steps=3", "saliency", "random"]
        return run_in(folder, dataset="digits:size=16", head="blind", explainer=explainers)


def test_unpredicted_cases_give_na_cells(unseen: Path) -> None:
    assert set(outcomes_of(unseen)) == {"done"}
    rows = [r for r in records_of(unseen) if r["explainer"]]
    assert {r["status"] for r in rows} <= {"ok", "n/a"}
    assert all(r["reason"] for r in rows if r["status"] == "n/a")
    moving = [r for r in rows if r["explainer"] in ("gvr", "latent-shift")]
    asked = [r for r in moving if r["metric"] in ("validity", "unchanged_rate")]
    assert len(asked) == 4
    assert {(r["value"], r["reason"]) for r in asked} == {
        (None, "the model sees none of the cases")
    }


def test_blind_model_has_scores_and_page(unseen: Path) -> None:
    own = {(r["metric"], r["output"]): r for r in records_of(unseen) if not r["explainer"]}
    assert own["accuracy", "all"]["value"] == pytest.approx(0.1, abs=0.02)
    page = (unseen / "index.html").read_text(encoding="utf-8")
    assert "the model sees none of the cases" in page
    assert page.count("the model does not predict this output") >= 4


@pytest.fixture(scope="module")
def lopsided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on radiographs of which all test images show a mass and none a nodule."""
    folder = tmp_path_factory.mktemp("lopsided")
    root = folder / "nih"
    (root / "images").mkdir(parents=True)
    findings = [FEW[i % 4] for i in range(24)] + ["Mass|Nodule"] * 4
    findings += ["Mass", "Mass|Cardiomegaly"] * 4
    names = [f"{i:08d}_000.png" for i in range(len(findings))]
    rng = np.random.default_rng(0)
    for name in names:
        Image.fromarray(rng.integers(0, 255, (32, 32), np.uint8)).save(root / "images" / name)
    header = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    )
    rows = [
        f"{name},{found},0,{i},60,M,PA,2500,2048,0.168,0.168"
        for i, (name, found) in enumerate(zip(names, findings, strict=True))
    ]
    (root / "Data_Entry_2017.csv").write_text("\n".join([header, *rows, ""]))
    (root / "train_val_list.txt").write_text("\n".join(names[:-8]))
    (root / "test_list.txt").write_text("\n".join(names[-8:]))
    return run_in(
        folder,
        "--data-root",
        str(root),
        dataset="chestxray8:size=32",
        head="residual:steps=20",
        explainer=["gvr:steps=3", "saliency"],
    )


def test_single_class_output_has_no_auroc(lopsided: Path) -> None:
    assert set(outcomes_of(lopsided)) == {"done"}
    auroc = {r["output"]: r for r in records_of(lopsided) if r["metric"] == "auroc"}
    for finding in ("Mass", "Nodule", "Pneumonia"):
        cell = auroc[finding]
        assert (cell["value"], cell["status"]) == (None, "n/a")
        assert cell["reason"] == "the test split has one class only"
    assert {finding for finding, r in auroc.items() if r["status"] == "ok"} == {
        "all", "Cardiomegaly",
    }  # fmt: skip
    assert auroc["all"]["value"] == pytest.approx(auroc["Cardiomegaly"]["value"])


def test_single_class_output_leaves_rest_scored(lopsided: Path) -> None:
    records = records_of(lopsided)
    assert {r["status"] for r in records} <= {"ok", "n/a"}
    assert all(r["reason"] for r in records if r["status"] == "n/a")
    cost = {r["output"]: r for r in records if r["metric"] == "seconds_per_image"}
    assert cost["all"]["status"] == "ok"
    assert {"Cardiomegaly", "Mass"} <= set(cost)
    page = (lopsided / "index.html").read_text(encoding="utf-8")
    assert "the test split has one class only" in page
    assert "Not drawn, because all test images have the same label" in page


def test_never_predicted_output_gives_reason(lopsided: Path) -> None:
    cost = [r for r in records_of(lopsided) if r["metric"] == "seconds_per_image"]
    assert {r["reason"] for r in cost} <= {"", "the model sees none of the cases"}
