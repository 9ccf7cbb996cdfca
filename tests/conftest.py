"""The command line in this process, and packages that a test makes up."""

from __future__ import annotations

import dataclasses
import functools
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from markupsafe import Markup
from tiny import Packages, shorten_trainings
from typer.testing import CliRunner

from gvr_bench.cli.main import app
from gvr_bench.registry.registry import Registry, installed
from gvr_bench.report import sections
from gvr_bench.report.figures import Chart
from gvr_bench.report.figures.svg import on_page

# No test times what it does: the machine may be busy.
UNTIMED = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=UNTIMED)
hypothesis.settings.load_profile("untimed")


@dataclasses.dataclass(frozen=True)
class Typed:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def fault(self) -> str:
        """The one line that bad input ends with."""
        lines = self.err.splitlines()
        assert (self.code, self.out, len(lines)) == (2, "", 1), self
        assert lines[0].startswith("error: ")
        return lines[0]


os.environ["GVR_BENCH_WORKERS"] = "1"  # for a test replaces parts of its own process only

pytest_plugins = ["dataset_fixtures", "report_fixtures"]

Cli = Callable[..., Typed]
LOOK_AT_FIGURES = {"browser", "docs", "report"}  # folders of tests


@functools.cache
def _drawn_once(pickled: bytes) -> Markup:
    return on_page(*pickle.loads(pickled))


@pytest.fixture(autouse=True, scope="module")
def quick_figures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Draw equal figures of many pages once, and none where no test looks.

    They are more than half of the time of a tiny run.
    """

    def quick(chart: Chart, name: str) -> Markup:
        if request.path.parent.name not in LOOK_AT_FIGURES:
            return Markup("")
        return _drawn_once(pickle.dumps((chart, name)))

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sections, "on_page", quick)
        yield


@pytest.fixture
def drawn_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the page's figures all the same."""
    monkeypatch.setattr(sections, "on_page", on_page)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Type a command in an empty folder with an empty cache; a traceback fails the test."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("GVR_BENCH_CACHE", str(tmp_path / "cache"))

    def type_in(*arguments: object) -> Typed:
        result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
        return Typed(result.exit_code, result.stdout, result.stderr)

    return type_in


@pytest.fixture
def short_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train networks that only scores need for a few steps: the test does not look at them."""
    shorten_trainings(monkeypatch)


@pytest.fixture
def registry() -> Registry:
    """What comes with gvr-bench."""
    return installed()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    """Made-up packages; `use_packages` shows them to the command line."""
    return Packages(tmp_path / "site", monkeypatch)


@pytest.fixture
def use_packages(packages: Packages, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make the command line find the made-up packages."""

    def use() -> None:
        found = packages.registry()
        monkeypatch.setattr("gvr_bench.registry.registry.installed", lambda: found)

    return use
