"""Packages of other people: begun with `gvr-bench plugins new`, and installed by pip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import command, records_of

pytest.importorskip("hatchling", reason="hatchling is not installed: pip install hatchling")
pytestmark = pytest.mark.slow
Type = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def type_in(tmp_path: Path) -> Type:
    """Run a Python module with all that is installed in `site`."""

    def run(*arguments: str, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            capture_output=True, text=True, cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        )  # fmt: skip

    return run


def pip_install(type_in: Type, folder: str) -> None:
    done = type_in(
        "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--no-build-isolation", "--no-index", "--target", "site", f"./{folder}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_new_package_is_installed_and_scored(type_in: Type, tmp_path: Path) -> None:
    new = type_in("gvr_bench", "plugins", "new", "explainer", "smooth-gradient")
    assert (new.returncode, new.stderr) == (0, "")
    pip_install(type_in, "gvr-smooth-gradient")

    tested = type_in("pytest", "-q", cwd=tmp_path / "gvr-smooth-gradient")
    assert tested.returncode == 0, tested.stdout
    assert "2 passed" in tested.stdout

    listed = type_in("gvr_bench", "plugins", "list", "--json")
    (row,) = [row for row in json.loads(listed.stdout) if row["name"] == "smooth-gradient"]
    assert row == {
        "kind": "explainer",
        "name": "smooth-gradient",
        "distribution": "gvr-smooth-gradient 0.1.0",
        "text": "mean gradient over noisy copies of the image",
        "broken": False,
    }
    checked = type_in("gvr_bench", "plugins", "check", "smooth-gradient:samples=2", "--json")
    assert checked.returncode == 0, checked.stderr
    assert {result["status"] for result in json.loads(checked.stdout)} == {"passed"}

    folders = ("--cache-dir", str(tmp_path / "cache"), "--out", str(tmp_path / "run"))
    typo = type_in("gvr_bench", *command(*folders, explainer="smooth-gradient:sample=2"))
    assert typo.returncode == 2
    assert typo.stderr == (
        "error: explainer 'smooth-gradient' has no setting 'sample'; did you mean 'samples'?\n"
    )
    ran = type_in("gvr_bench", *command(*folders, explainer=["smooth-gradient", "saliency"]))
    assert ran.returncode == 0, ran.stderr
    assert "smooth-gradient" in ran.stdout
    assert "smooth-gradient" in (tmp_path / "run" / "index.html").read_text(encoding="utf-8")
    scores = {
        record["metric"]: record
        for record in records_of(tmp_path / "run")
        if record["explainer"] == "smooth-gradient"
    }
    assert scores["pixel_ap"]["status"] == "ok"
    assert 0 < scores["pixel_ap"]["value"] <= 1
    assert scores["validity"]["reason"] == "makes no counterfactual"


def test_new_metric_is_installed_and_reported(type_in: Type, tmp_path: Path) -> None:
    new = type_in("gvr_bench", "plugins", "new", "metric", "border-mass")
    assert (new.returncode, new.stderr) == (0, "")
    pip_install(type_in, "gvr-border-mass")
    assert type_in("pytest", "-q", cwd=tmp_path / "gvr-border-mass").returncode == 0
    checked = type_in("gvr_bench", "plugins", "check", "border-mass:width=3", "--json")
    assert {result["status"] for result in json.loads(checked.stdout)} == {"passed"}
    about = type_in("gvr_bench", "plugins", "info", "border-mass").stdout
    assert "lower is better" in about
    assert "Example: gvr-bench run --metrics border-mass:width=2" in about

    folders = ("--cache-dir", str(tmp_path / "cache"), "--out", str(tmp_path / "run"))
    ran = type_in("gvr_bench", *command(*folders, metrics=["border-mass:width=3"]))
    assert ran.returncode == 0, ran.stderr
    assert "border-mass" in ran.stdout
    assert 'id="metric-border-mass"' in (tmp_path / "run" / "index.html").read_text("utf-8")
    (row,) = [row for row in records_of(tmp_path / "run") if row["metric"] == "border-mass"]
    assert 0 < row["value"] < 1


def test_broken_package_leaves_others_working(type_in: Type, tmp_path: Path) -> None:
    type_in("gvr_bench", "plugins", "new", "explainer", "rotten")
    source = tmp_path / "gvr-rotten" / "src" / "gvr_rotten" / "__init__.py"
    source.write_text("import library_of_another_year\n" + source.read_text())
    pip_install(type_in, "gvr-rotten")
    done = type_in("gvr_bench", "plugins", "list", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["gvr_rotten"] == {
        "kind": "?",
        "name": "gvr_rotten",
        "distribution": "gvr-rotten 0.1.0",
        "text": "ModuleNotFoundError: No module named 'library_of_another_year'",
        "broken": True,
    }
    assert not any(row["broken"] for name, row in rows.items() if name != "gvr_rotten")
