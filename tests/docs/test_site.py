"""The site builds, opens from a disk without a network, and leaves nothing out."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import gvr_bench.api
from gvr_bench import testing
from gvr_bench.cli.main import app
from gvr_bench.config.experiments import experiments
from gvr_bench.metrics import DECLARED
from gvr_bench.registry import hookspecs
from gvr_bench.registry.registry import installed

pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install 'gvr-bench[docs]'")
pytest.importorskip("material", reason="mkdocs-material is not installed")
pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
KIND_TITLES = {
    "dataset": "Data sets",
    "generator": "Generators",
    "encoder": "Encoders",
    "head": "Heads",
    "explainer": "Explainers",
    "metric": "Metrics",
}
OURS = [row for row in installed().rows if row.distribution.startswith("gvr-bench ")]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built without a warning."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def text_of(page: Path) -> str:
    """Return the text of a page without markup."""
    source = page.read_text(encoding="utf-8")
    return html.unescape(re.sub(r"<[^>]*>", "", source[source.index("<article") :]))


def commands(command: Any, path: str = "gvr-bench") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


def test_reference_has_commands_and_options(site: Path) -> None:
    text = text_of(site / "reference" / "cli.html")
    for path, command in commands(typer.main.get_command(app)):
        _, usage, rest = text.partition(f"Usage: {path} ")
        assert usage, path
        section = rest.partition("Usage: ")[0]
        for option in (o for p in command.params for o in (*p.opts, *p.secondary_opts)):
            assert option in section or not option.startswith("-"), f"{path} {option}"


def test_reference_has_every_hook(site: Path) -> None:
    text = text_of(site / "reference" / "hooks.html")
    hooks = [name for name in vars(hookspecs) if name.startswith("gvr_")]
    assert len(hooks) > 2
    for name in hooks:
        assert f"{name}(" in text


def test_reference_has_the_plugin_api(site: Path) -> None:
    source = (site / "reference" / "api.html").read_text(encoding="utf-8")
    absent = [name for name in gvr_bench.api.__all__ if f'id="gvr_bench.api.{name}"' not in source]
    assert absent == [], "add them to docs/reference/api.md"


@pytest.mark.parametrize(
    ("page", "module"), [("api.html", testing), ("python.html", gvr_bench)], ids=["kit", "python"]
)
def test_reference_has_public_functions(site: Path, page: str, module: Any) -> None:
    source = (site / "reference" / page).read_text(encoding="utf-8")
    names = [name for name in module.__all__ if not name.startswith("_")]
    assert [n for n in names if f'id="{module.__name__}.{n}"' not in source] == []


def test_reference_has_components_and_settings(site: Path) -> None:
    text = text_of(site / "reference" / "components.html")
    for row in OURS:
        part = text.partition(f"{KIND_TITLES[row.plugin.kind]}¶")[2]
        _, heading, rest = part.partition(f"\n{row.plugin.name}¶")
        assert heading, row.plugin.name
        section = rest.partition("¶")[0]
        cls = installed().component(row.plugin.kind, row.plugin.name)
        for name, field in cls.Settings.model_fields.items():
            assert name in section
            assert (field.description or "").replace("`", "") in section


def test_site_has_metrics_and_experiments(site: Path) -> None:
    assert {page.stem for page in (site / "metrics").iterdir()} == {"index", *DECLARED}
    text = text_of(site / "reference" / "experiments.html")
    assert all(f"{experiment.name}¶" in text for experiment in experiments())


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    for page in (*site.rglob("*.html"), *site.rglob("*.css")):
        source = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]* src=[\"']?([^\"' >]+)", source)
        loaded += re.findall(r"<link[^>]*rel=[\"']?(?:stylesheet|preconnect)[^>]*>", source)
        loaded += re.findall(r"url\(([^)]*)\)", source)
        assert not [where for where in loaded if "//" in where.partition("data:")[0]], page


def test_linked_reports_and_pictures_exist(site: Path) -> None:
    source = (site / "tutorial.html").read_text(encoding="utf-8")
    assert 'href="reports/phantom.html"' in source
    assert (site / "reports" / "phantom.html").is_file()
    for picture in re.findall(r'<img[^>]*src="([^"]+)"', source):
        assert (site / picture).is_file()


def test_search_works_from_a_disk(site: Path) -> None:
    pytest.importorskip("playwright")
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        pytest.skip("no Chromium is installed: apt install chromium")
    script = ROOT / "tests" / "helpers" / "offline_search.py"
    done = subprocess.run(
        [sys.executable, script, site, "pixel AP", chromium], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert any("metrics/pixel_ap.html" in link for link in result["links"])
    assert result["wrong"] == []
