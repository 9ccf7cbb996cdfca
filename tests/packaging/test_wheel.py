"""What is installed: the wheel, also built from the sdist, as `python -m build` does."""

from __future__ import annotations

import configparser
import email
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling is not installed: pip install hatchling")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MEGABYTES = 40  # that a wheel may have; the trained networks take nearly all


def build(target: str, source: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))) as file:
        yield file


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", ROOT, folder / "packed")) as file:
        file.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return unpacked


def names(wheel: zipfile.ZipFile) -> set[str]:
    return set(wheel.namelist())


def ours() -> Iterator[str]:
    """Every file of the packages, as it is named in a wheel."""
    for folder in (ROOT, ROOT / "plugins", ROOT / "datasets"):
        for package in folder.glob("gvr_*/"):
            for path in package.rglob("*"):
                if path.is_file() and "__pycache__" not in path.parts:
                    yield path.relative_to(folder).as_posix()


def about(wheel: zipfile.ZipFile) -> Message:
    (path,) = (name for name in names(wheel) if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(path))


def test_wheel_from_sdist_is_identical(wheel: zipfile.ZipFile, sdist: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(build("wheel", sdist, tmp_path)) as other:
        assert names(other) == names(wheel)


def test_wheel_has_exactly_the_package_files(wheel: zipfile.ZipFile) -> None:
    packed = {name for name in names(wheel) if ".dist-info/" not in name}
    assert packed == set(ours())
    for name in (
        "gvr_bench/py.typed",
        "gvr_bench/report/templates/base.html.j2",
        "gvr_bench/report/assets/page.css",
        "gvr_bench/config/toml/mnist-9-to-4.toml",
        "gvr_logging/mlflow.py",
        "gvr_datasets/phantom/dataset.py",
    ):
        assert name in packed
    assert sum(name.endswith("weights.safetensors") for name in packed) >= 15


def test_developer_files_are_not_shipped(wheel: zipfile.ZipFile, sdist: Path) -> None:
    packed = {path.relative_to(sdist).as_posix() for path in sdist.rglob("*") if path.is_file()}
    for name in packed | names(wheel):
        assert not re.search(
            r"(^|/)(reports|tests|docs|scripts|\.\w+)/|\.pyc$|gvr_bench/report/$", name
        )
    assert {"LICENSE", "README.md", "pyproject.toml", "PKG-INFO"} <= packed
    size = sum(info.compress_size for info in wheel.infolist())
    assert size < MEGABYTES * 1e6


def test_pip_metadata_matches_project(wheel: zipfile.ZipFile) -> None:
    packed = about(wheel)
    assert packed["Name"] == "gvr-bench"
    assert packed["Requires-Python"] == ">=3.11"
    assert packed["License-Expression"] == "MIT"
    assert "Typing :: Typed" in packed.get_all("Classifier", [])
    declared = {re.split(r"[><=;\[ ]", text)[0] for text in PROJECT["project"]["dependencies"]}
    required = [text for text in packed.get_all("Requires-Dist", []) if "extra ==" not in text]
    assert {re.split(r"[><=;\[ ]", text)[0] for text in required} == declared
    extras = packed.get_all("Provides-Extra", [])
    assert {"dev", "docs", "mlflow", "tensorboard"} <= set(extras)


def test_command_and_plugins_have_entry_points(wheel: zipfile.ZipFile) -> None:
    (path,) = (name for name in names(wheel) if name.endswith(".dist-info/entry_points.txt"))
    points = configparser.ConfigParser()
    points.read_string(wheel.read(path).decode())
    assert dict(points["console_scripts"]) == {"gvr-bench": "gvr_bench.cli.main:main"}
    plugins = set(points["gvr_bench"].values())
    assert plugins == set(PROJECT["project"]["entry-points"]["gvr_bench"].values())
    for module in plugins:
        file = module.replace(".", "/")
        assert {f"{file}.py", f"{file}/__init__.py"} & names(wheel), module


def test_packages_match_entry_points(wheel: zipfile.ZipFile) -> None:
    packages = {name.split("/")[0] for name in names(wheel) if ".dist-info/" not in name}
    points = PROJECT["project"]["entry-points"]["gvr_bench"].values()
    assert packages == {"gvr_bench", *(value.split(".")[0] for value in points)}
