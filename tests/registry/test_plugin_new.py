"""`gvr-bench plugins new` and `gvr-bench plugins check`, as they are typed."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from itertools import count
from pathlib import Path

import pytest
from tiny import Packages

from gvr_bench.registry.registry import GROUP, Registry
from gvr_bench.testing.explainers import CHECKS

NUMBERS = count()
FEW = {
    "explainer": "samples=2",
    "head": "steps=3",
    "encoder": "steps=3,batch=4",
    "generator": "steps=3,batch=4",
    "dataset": "size=16",
    "metric": "width=3",
}


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("Smooth", "'Smooth' is not a valid name; use lower-case letters"),
        ("smooth_grad", "'smooth_grad' is not a valid name"),
        ("smooth--grad", "'smooth--grad' is not a valid name"),
        ("-smooth", "No such option"),
        ("3d", "'3d' is not a valid name"),
        ("../smooth", "'../smooth' is not a valid name"),
        ("saliency", "explainer 'saliency' exists already in gvr-bench "),
        ("bench", "the module gvr_bench exists already"),
        ("all", "'all' is reserved"),
        ("none", "'none' is reserved"),
    ],
)
def test_invalid_name_writes_nothing(cli, name: str, fault: str) -> None:
    done = cli("plugins", "new", "explainer", name)
    assert done.code == 2
    assert fault in done.err
    assert not list(Path().iterdir())


def test_existing_folder_is_left_alone(cli) -> None:
    Path("mine").mkdir()
    done = cli("plugins", "new", "explainer", "smooth", "--out", "mine")
    assert done.fault == "error: mine exists already; choose another with --out DIR"
    assert not list(Path("mine").iterdir())


def test_unwritable_folder_is_named(cli) -> None:
    Path("file").write_text("")
    done = cli("plugins", "new", "explainer", "smooth", "--out", "file/mine")
    assert done.fault == (
        "error: cannot write file/mine: Not a directory; choose another with --out DIR"
    )


def test_next_steps_are_printed(cli) -> None:
    done = cli("plugins", "new", "explainer", "smooth-gradient", "--out", "deep/mine")
    assert done.code == 0
    assert done.out.splitlines() == [
        "Created deep/mine with a working explainer. Edit "
        "deep/mine/src/gvr_smooth_gradient/explainer.py, then run",
        "  cd deep/mine && pip install -e '.[test]'",
        "  pytest && gvr-bench plugins check smooth-gradient",
        "  gvr-bench run --explainer smooth-gradient",
    ]


@pytest.fixture(params=FEW)
def package(request: pytest.FixtureRequest, cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A new package of each kind, which the command line finds."""
    kind = request.param
    folder = Path(f"made-{kind}-{next(NUMBERS)}").resolve()  # a module is imported once
    done = cli("plugins", "new", kind, folder.name, "--out", folder)
    assert done.code == 0, done
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    (point,) = project["project"]["entry-points"][GROUP].items()
    monkeypatch.syspath_prepend(folder / "src")
    found = Registry([*entry_points(group=GROUP), EntryPoint(*point, GROUP)])
    monkeypatch.setattr("gvr_bench.registry.registry.installed", lambda: found)
    yield folder
    for module in [name for name in sys.modules if name.split(".")[0] == point[0]]:
        del sys.modules[module]


def test_new_package_passes_checks(package: Path, cli) -> None:
    _, kind, _ = package.name.split("-")
    done = cli("plugins", "check", f"{package.name}:{FEW[kind]}")
    assert done.code == 0, done
    assert "failed" not in done.out
    assert done.out.splitlines()[-1].startswith(f"{kind} '{package.name}': ")


@pytest.mark.slow
def test_new_package_passes_tests_and_ruff(package: Path) -> None:
    typed = (["pytest", "-q"], ["ruff", "check"], ["ruff", "format", "--check"])
    for line in ([sys.executable, "-m", *words] for words in typed):
        done = subprocess.run(line, cwd=package, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_failed_check_exits_with_1(packages: Packages, use_packages, cli) -> None:
    packages.explainer("made-up", "made", "return gvr.Explanation(attribution=x.sum(1) / x.max())")
    use_packages()
    done = cli("plugins", "check", "made")
    assert done.code == 1
    table = " ".join(done.out.split())
    assert "batch failed: binary, 1 x" in table
    assert "normalise each" in table
    assert done.out.splitlines()[-1] == "explainer 'made': 18 passed, 1 failed"
    rows = json.loads(cli("plugins", "check", "made", "--json").out)
    assert [row["check"] for row in rows] == list(CHECKS)
    (row,) = [row for row in rows if row["status"] == "failed"]
    assert row["check"] == "batch"
    assert "differs by" in row["problem"]
    assert row["fix"].startswith("normalise each image alone")


def test_unknown_plugin_gets_suggestion(cli) -> None:
    done = cli("plugins", "check", "salency")
    assert done.fault == "error: unknown plugin 'salency'; did you mean 'saliency'?"


def test_missing_data_names_the_folder(cli) -> None:
    done = cli("plugins", "check", "radiographs", "--data-root", "nowhere")
    assert "nowhere" in done.fault


def test_scaffold_loads_no_torch() -> None:
    code = (
        "import sys; from gvr_bench.registry.scaffold import new_package; "
        "from gvr_bench.registry.registry import installed; "
        "new_package('head', 'mine', installed()); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ambiguous_name_asks_for_kind(packages: Packages, use_packages, cli) -> None:
    packages.explainer("made-up", "linear", "return gvr.Explanation(attribution=x.sum(1))")
    use_packages()
    done = cli("plugins", "check", "linear")
    assert done.fault == (
        "error: several kinds have a plugin 'linear': head, explainer; choose one, e.g. --kind head"
    )
    assert cli("plugins", "check", "linear", "--kind", "explainer").code == 0


def test_unloadable_plugin_gives_one_line(packages: Packages, use_packages, cli) -> None:
    packages.explainer("made-up", "made", "...", needs="('no_such',)")
    use_packages()
    assert cli("plugins", "check", "made").fault == (
        "error: explainer 'made' from made-up 1.0: needs no_such: pip install no_such"
    )
