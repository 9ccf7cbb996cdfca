"""Packages of other people, installed by pip as they would be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import command, records_of

pytest.importorskip("hatchling", reason="hatchling is not installed: pip install hatchling")

CENTRE = Path(__file__).parents[1] / "third_party" / "gvr-centre"


def pip_install(package: Path, target: Path) -> None:
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--no-build-isolation", "--no-index", "--target", target, package,
        ],
        check=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as it is, and with one that broke."""
    folder = tmp_path_factory.mktemp("third-party")
    whole = shutil.copytree(CENTRE, folder / "whole")  # pip builds in the source tree
    pip_install(whole, folder / "site")
    broken = shutil.copytree(CENTRE, folder / "broken")
    (broken / "src" / "gvr_centre").rename(broken / "src" / "gvr_rotten")
    project = (broken / "pyproject.toml").read_text().replace("centre", "rotten")
    (broken / "pyproject.toml").write_text(project)
    source = broken / "src" / "gvr_rotten" / "__init__.py"
    source.write_text("import library_of_another_year\n" + source.read_text())
    pip_install(broken, folder / "site")
    return folder / "site"


@pytest.fixture
def gvr_bench(site: Path, tmp_path: Path):
    """The command with both packages installed."""

    def type_in(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(site)}
        return subprocess.run(
            [sys.executable, "-m", "gvr_bench", *arguments],
            capture_output=True, text=True, cwd=tmp_path, env=environment,
        )  # fmt: skip

    return type_in


def test_a_package_is_found_once_it_is_installed_and_a_broken_one_is_a_row(gvr_bench) -> None:
    done = gvr_bench("plugins", "list", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["centre"] == {
        "kind": "explainer",
        "name": "centre",
        "distribution": "gvr-centre 1.0",
        "text": "heat in the middle of the image",
        "broken": False,
    }
    assert rows["gvr_rotten"] == {
        "kind": "?",
        "name": "gvr_rotten",
        "distribution": "gvr-rotten 1.0",
        "text": "ModuleNotFoundError: No module named 'library_of_another_year'",
        "broken": True,
    }
    assert not any(row["broken"] for name, row in rows.items() if name != "gvr_rotten")


def test_an_explainer_of_other_people_is_scored_like_ours(gvr_bench, tmp_path: Path) -> None:
    store = ("--store", str(tmp_path / "store"), "--out", str(tmp_path / "run"))
    done = gvr_bench(*command("--json", *store, explainer="all"))
    assert done.returncode == 0, done.stderr
    named = [
        row["names"][0] for table in json.loads(done.stdout)["tables"] for row in table["rows"]
    ]
    assert {"centre", "saliency"} <= set(named)
    scores = {r["metric"]: r for r in records_of(tmp_path / "run") if r["explainer"] == "centre"}
    assert scores["pixel_ap"]["status"] == "ok"
    assert 0 < scores["pixel_ap"]["value"] <= 1
    assert scores["validity"]["status"] == "n/a"
    assert scores["validity"]["reason"] == "makes no counterfactual"


def test_a_setting_of_another_package_is_checked_like_ours(gvr_bench, tmp_path: Path) -> None:
    done = gvr_bench(*command("--store", str(tmp_path / "store"), explainer="centre:widht=1"))
    assert done.returncode == 2
    assert done.stderr == (
        "error: explainer 'centre' has no setting 'widht'; did you mean 'width'?\n"
    )
