"""Runs on a cache with damaged values: they say so, and end as if nothing had happened."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import command, outcomes_of, records_of
from typer.testing import CliRunner

from gvr_bench.cli.main import app

EXPLAINERS = ["saliency", "edge"]


def typed(cache: Path, out: Path, *more: str) -> list[str]:
    return command("--cache-dir", str(cache), "--out", str(out), *more, explainer=EXPLAINERS)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run and its cache."""
    home = tmp_path_factory.mktemp("first")
    done = CliRunner().invoke(app, typed(home / "cache", home / "run"), catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return home


@pytest.fixture
def home(first: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copytree(first, tmp_path / "home")
    return tmp_path / "home"


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def comparable(run: Path) -> list[dict[str, Any]]:
    """Records without what a clock says."""
    return [
        {name: value for name, value in record.items() if name != "seconds"}
        for record in records_of(run)
        if record["metric"] not in {"seconds_per_image", "peak_memory_mb"}
    ]


def last_line(done: Any) -> str:
    """The error that a run ended with, after warnings."""
    assert done.code == 2
    return done.err.splitlines()[-1]


DAMAGED = {
    "latents, seen at once": ("latents/*/latents.h5", empty, "latents conv"),
    "scores, read for the records": ("scores/edge-*/scores.json", flip, "scores edge, "),
    "values, read for the report": ("scores/edge-*/values.h5", flip, "scores edge, "),
    "maps, read for the pictures": (
        "explanations/saliency-*/explanations.h5",
        flip,
        "explanations saliency",
    ),
    "what is told of a head": ("head/*/meta.json", empty, "head linear"),
    "losses, read for the charts": ("generator/*/history.json", flip, "generator wgan-gp"),
}


@pytest.mark.parametrize(("pattern", "harm", "named"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_values_are_computed_again(
    first: Path, home: Path, cli, pattern: str, harm: Callable[[Path], None], named: str
) -> None:
    (path, *_) = sorted((home / "cache").glob(pattern))
    harm(path)
    done = cli(*typed(home / "cache", home / "again"))
    assert done.code == 0, done
    warnings = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"warning: {named}")
    assert warnings[0].endswith("; it is computed again")
    assert str(path.parent) in warnings[0]
    assert comparable(home / "again") == comparable(first / "run")
    assert named.split(",")[0] in outcomes_of(home / "again")["done"]
    third = cli(*typed(home / "cache", home / "third"))
    assert "warning" not in third.err
    assert set(outcomes_of(home / "third")) == {"cached"}


def test_damaged_input_is_noticed_when_read(home: Path, cli) -> None:
    """Weights are not read where all that needs them is stored."""
    (weights,) = (home / "cache").glob("encoder/*/weights.safetensors")
    flip(weights)
    assert "warning" not in cli(*typed(home / "cache", home / "again")).err
    more = command(
        "--cache-dir",
        str(home / "cache"),
        "--out",
        str(home / "more"),
        explainer=["saliency", "grad-cam"],
    )
    done = cli(*more)
    assert done.code == 0
    assert done.err.count("warning: encoder conv is damaged in ") == 1
    assert "encoder conv" in outcomes_of(home / "more")["done"]
    assert {r["status"] for r in records_of(home / "more") if r["explainer"] == "grad-cam"} >= {
        "ok"
    }


def test_damage_with_cached_only_fails(home: Path, cli) -> None:
    (scores, *_) = (home / "cache").glob("scores/edge-*/scores.json")
    flip(scores)
    done = cli(*typed(home / "cache", home / "again", "--cached-only"))
    assert "leave out --cached-only to compute it again" in last_line(done)


def test_repeated_damage_blames_the_disk(home: Path, cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gvr_bench.cache.artifacts.file_fault", lambda *args: "it rots")
    assert "though computed again 3 times; check the disk" in last_line(
        cli(*typed(home / "cache", home / "again"))
    )


def test_failed_recompute_keeps_the_old_value(home: Path, cli, monkeypatch) -> None:
    (meta,) = (home / "cache").glob("head/*/meta.json")
    before = json.loads(meta.read_text())

    def broken(*args: object) -> None:
        raise RuntimeError("no luck")

    with monkeypatch.context() as patch:
        patch.setattr("gvr_bench.pipeline.worker.compute", broken)
        done = cli(*typed(home / "cache", home / "again", "--recompute", "head"))
    assert done.code == 1
    assert json.loads(meta.read_text()) == before
    cli(*typed(home / "cache", home / "third"))
    assert set(outcomes_of(home / "third")) == {"cached"}
