"""What a run copies into its folder for the page."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from tiny import command, records_of

from gvr_bench.cache.integrity import read_meta, write_meta
from gvr_bench.report.cases.cases_file import read_cases


def test_explainers_keep_the_requested_order(cli) -> None:
    calls = ["saliency", "random", "grad-cam", "intensity"]
    assert cli(*command("--out", "run", explainer=calls)).code == 0
    (combination,) = read_cases(Path("run"))
    assert [explained.name for explained in combination.explainers] == calls


def test_warm_start_is_named(cli, monkeypatch) -> None:
    monkeypatch.setattr("gvr_bench.core.context.LEAST_STEPS", 1)
    vae = "vae:steps=5,epochs=1,warm_start=true"
    choices = {"encoder": "inference", "head": "linear:steps=3"}
    assert cli(*command("--out", "run", generator=vae, **choices)).code == 0
    (combination,) = read_cases(Path("run"))
    named = "begins with the phantom's weights and takes 2 steps, not 5, for it has 160 images"
    assert any(named in note for note in combination.notes)


def test_old_generator_has_no_note(cli) -> None:
    assert cli(*command("--out", "run")).code == 0
    (folder,) = Path(os.environ["GVR_BENCH_CACHE"]).glob("generator/*")
    _, content = read_meta(folder)
    write_meta(folder, {name: value for name, value in content.items() if name != "note"})
    assert cli(*command("--out", "again", "--seed", "0", explainer="random")).code == 0
    assert len(read_cases(Path("again"))[0].notes) == 2


@pytest.mark.usefixtures("short_trainings")
def test_trajectory_starts_at_the_reconstruction(cli) -> None:
    calls = ["gvr:steps=7", "latent-shift:steps=3", "saliency"]
    assert cli(*command("--out", "run", "--metrics", "oracle", explainer=calls)).code == 0
    with h5py.File("run/cases.h5") as file:
        group = file["0"]
        assert {name: part.attrs["role"] for name, part in group["explainers"].items()} == {
            "gvr": "counterfactual",
            "latent-shift": "counterfactual",
            "saliency": "attribution",
        }
        moving = [built for built in group["explainers"].values() if "counterfactual" in built]
        assert len(moving) == 2
        for built in moving:
            assert built["trajectory"].shape == (4, 8, 1, 32, 32)
            assert (
                abs(built["trajectory"][:, 0].astype(int) - group["reconstruction"][:]).max() <= 1
            )
            assert (
                abs(built["trajectory"][:, -1].astype(int) - built["counterfactual"][:]).max() <= 1
            )
            np.testing.assert_allclose(
                built["trajectory_prediction"][:, 0], group["prediction"], 1e-4
            )
            np.testing.assert_allclose(
                built["trajectory_prediction"][:, -1], built["prediction_after"], 1e-4
            )
            assert built["oracle_after"].shape == group["oracle"].shape == (4,)
        assert sum("trajectory" in built for built in group["explainers"].values()) == 2
        assert group["test/target"].shape == group["test/positive"].shape == (32, 1)


def test_misshapen_trajectory_names_its_explainer(cli, packages, use_packages) -> None:
    body = (
        "z = model.encoder(x); return gvr.Explanation(attribution=x.mean(1), latent=z, "
        "trajectory=z[:1, None])"
    )
    packages.explainer("gvr-crooked", "crooked", body)
    use_packages()
    done = cli(*command("--out", "run", explainer="crooked"))
    assert done.code == 1
    reasons = {record["reason"] for record in records_of(Path("run")) if record["explainer"]}
    assert any("trajectory has shape (1, 1, 100), not (2, 1, 100)" in reason for reason in reasons)
