"""A run that repeats another is shown from its folder, and computed where anything has changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from tiny import Packages, command
from typer.testing import CliRunner

from gvr_bench.cli.main import app

CALL = "import sys; from gvr_bench.__main__ import main\ntry: main()\nfinally: {}"


class Computed(Exception):  # noqa: N818 - it is no error
    """A run has begun."""


def words(*more: str) -> list[str]:
    paths = ["--data-root", "images", "--cache-dir", "cache", "--out", "run"]
    return [*command(*paths, *more, metrics=["truth"], dataset="folder:size=32")]


def typed(*arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with images, a run and its cache, and what the run printed."""
    home, rng = tmp_path_factory.mktemp("home"), np.random.default_rng(0)
    for number in range(60):
        file = home / "images" / ("dark", "light")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 99, (32, 32)) + 99 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        return home, typed(*words()).stdout


@pytest.fixture
def first(
    finished: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """What the finished run printed, in its folder, which is as it was after each test."""
    home, text = finished
    shutil.copytree(home, tmp_path / "before")
    monkeypatch.chdir(home)
    yield text
    for part in ("images", "run", "cache"):
        shutil.rmtree(home / part)
        shutil.copytree(tmp_path / "before" / part, home / part)


def is_repeated(*arguments: str) -> bool:
    def compute(*_: object) -> None:
        raise Computed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gvr_bench.pipeline.run.run_request", compute)
        try:
            typed(*arguments)
        except Computed:
            return False
    return True


def delete_the_page() -> None:
    Path("run/index.html").unlink()


def edit_the_records() -> None:
    path = Path("run/records.jsonl")
    path.write_text(path.read_text().replace('"ok"', '"ok" '))


def add_an_image() -> None:
    shutil.copy("images/dark/0.png", "images/light/new.png")


def replace_an_image() -> None:
    Image.new("L", (32, 32)).save("images/dark/0.png")


def add_a_table() -> None:
    Path("images/labels.csv").write_text("image,label\ndark/0.png,1\n")


def damage_a_value() -> None:
    next(Path("cache").glob("explanations/*/explanations.h5")).write_bytes(b"damage")


def remove_a_value() -> None:
    shutil.rmtree(next(Path("cache").glob("scores/*")))


CHANGES = (
    delete_the_page, edit_the_records, add_an_image, replace_an_image, add_a_table,
    damage_a_value, remove_a_value,
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_changed_files_are_noticed(first: str, change) -> None:
    assert is_repeated(*words())
    change()
    assert not is_repeated(*words())


@pytest.mark.parametrize(
    "more", [("--seed", "1"), ("--recompute", "scores"), ("--metrics", "validity")]
)
def test_other_requests_are_computed(first: str, more: tuple[str, ...]) -> None:
    assert not is_repeated(*words(*more))


def test_new_plugin_is_noticed(first: str, packages: Packages) -> None:
    packages.explainer("gvr-mine", "mine", "return gvr.Explanation(attribution=x.mean(1))")
    assert not is_repeated(*words())


def test_edited_plugin_is_noticed(first: str, packages: Packages, use_packages) -> None:
    packages.explainer("gvr-mine", "mine", "return gvr.Explanation(attribution=x.mean(1))")
    use_packages()
    run = words("--explainer", "mine")
    typed(*run)
    assert is_repeated(*run)
    source = packages.folder / "gvr_mine_explainer.py"
    source.write_text(source.read_text().replace("x.mean", "-x.mean"))
    assert not is_repeated(*run)


def test_same_text_is_shown(first: str) -> None:
    assert typed(*words()).stdout == first
    assert typed(*words("--json")).stdout.startswith("{")
    wide = typed(*words("--all-metrics")).stdout
    assert len(wide) > len(first)
    assert typed(*words("--all-metrics")).stdout == wide


def test_values_count_as_used(first: str) -> None:
    locks = list(Path("cache/locks").glob("*.lock"))
    for lock in locks:
        os.utime(lock, (0, 0))
    assert is_repeated(*words())
    assert any(lock.stat().st_mtime > 0 for lock in locks)


def test_repeated_run_loads_no_torch(first: str) -> None:
    check = CALL.format("assert 'torch' not in sys.modules")
    line = [sys.executable, "-c", check, *words()]
    variables = os.environ | {"COLUMNS": "80", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(line, env=variables, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, first), done.stderr
