"""`gvr-bench cache`: damage is named, and only what nothing refers to is removed."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from tiny import plan_of, stage_of

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.gc import collect, verify
from gvr_bench.cache.integrity import META, write_meta
from gvr_bench.cache.locks import locked
from gvr_bench.core.stage import Stage, key_of
from gvr_bench.registry.registry import Registry

DAYS = 24 * 3600


@pytest.fixture
def stage(registry: Registry) -> Stage:
    return stage_of(registry)


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path / "cache", tmp_path / "shipped")


def fill(cache: ArtifactCache, stage: Stage) -> Path:
    """Write a stage as a run does; return where it lies."""
    with cache.lock(stage):
        cache.output(stage, "value.bin").write_bytes(b"value")
        cache.commit(stage, {"seconds": 1.5})
    return cache.write_dir(stage)


def age(cache: ArtifactCache, stage: Stage, days: float) -> None:
    """Let a stage be last used so long ago."""
    then = time.time() - days * DAYS
    for path in (cache.lock_file(stage.key), *cache.write_dir(stage).rglob("*")):
        os.utime(path, (then, then))


def freed(cache: ArtifactCache, *arguments: float, **options: bool) -> dict[str, str]:
    """What was removed, by name, and why."""
    return {piece.path.name: piece.why for piece in collect(cache, *arguments, **options)}


@pytest.mark.parametrize("name", ["value.bin", META])
def test_verify_names_and_fixes_damage(
    cache: ArtifactCache, stage: Stage, registry: Registry, cli, name: str
) -> None:
    folder = fill(cache, stage)
    fill(cache, stage.inputs["latents"])
    (folder / name).write_bytes(b"valud")
    done = cli("cache", "verify", "--cache-dir", cache.root)
    assert done.code == 1
    assert f"damaged: {folder}: " in done.out
    assert "values are intact" in done.out
    assert "gvr-bench cache verify --fix" in done.out
    done = cli("cache", "verify", "--cache-dir", cache.root, "--fix")
    assert (done.code, folder.exists()) == (0, False)
    assert cache.has(stage.inputs["latents"])
    assert cli("cache", "verify", "--cache-dir", cache.root).code == 0


def test_verify_covers_pretrained_networks(
    cache: ArtifactCache, stage: Stage, tmp_path: Path
) -> None:
    shutil.copytree(fill(cache, stage), cache.pretrained / "head" / cache.write_dir(stage).name)
    (cache.pretrained / "head" / cache.write_dir(stage).name / "value.bin").write_bytes(b"")
    (fault,) = verify(cache)[1]
    assert not fault.ours
    assert "value.bin has 0 bytes, not 5" in fault.text


def test_pretrained_networks_are_intact(tmp_path: Path) -> None:
    assert verify(ArtifactCache(tmp_path)) == (46, [])


def test_verify_ignores_values_being_written(cache: ArtifactCache, stage: Stage) -> None:
    (fill(cache, stage) / "value.bin").write_bytes(b"half")
    with locked(cache.lock_file(stage.key)):
        assert verify(cache)[1] == []
    assert len(verify(cache)[1]) == 1


def test_missing_cache_is_one_line(cli) -> None:
    for command in ("info", "verify", "gc"):
        assert "there is no cache at absent" in cli("cache", command, "--cache-dir", "absent").fault


def test_gc_keeps_values_checkpoints_foreign_files(
    cache: ArtifactCache, stage: Stage, tmp_path: Path
) -> None:
    fill(cache, stage)
    work = cache.write_dir(stage.inputs["latents"]) / "work"
    work.mkdir(parents=True)
    (work / "checkpoint-7-abc.safetensors").write_bytes(b"training")
    foreign = cache.root / "head" / "notes"
    foreign.mkdir()
    (cache.root / "thesis.tex").write_text("mine")
    assert freed(cache) == {}
    assert cache.has(stage)
    assert (work / "checkpoint-7-abc.safetensors").exists()
    assert foreign.exists()
    assert (cache.root / "thesis.tex").exists()


def test_gc_removes_leftovers_of_killed_processes(cache: ArtifactCache, stage: Stage, cli) -> None:
    folder = fill(cache, stage)
    (folder / ".value.bin.7.partial").write_bytes(b"12345")
    (folder / "work").mkdir()
    (folder / "work" / "checkpoint-7-abc.safetensors").write_bytes(b"training")
    draft = cache.root / "drafts" / f"{stage.key[:16]}-00000000"
    draft.mkdir()
    (draft / "value.bin").write_bytes(b"half")
    begun = cache.write_dir(stage.inputs["latents"])
    (begun / "work").mkdir(parents=True)
    (cache.root / ".probe-7").write_bytes(b"")
    (cache.root / "locks" / ("0" * 16 + ".lock")).touch()
    left = {
        ".value.bin.7.partial": "left by killed processes",
        "work": "checkpoints of complete stages",
        draft.name: "left by killed processes",
        begun.name: "left by killed processes",
        ".probe-7": "left by killed processes",
        "0" * 16 + ".lock": "locks of stages that are gone",
    }
    assert freed(cache, dry=True) == left
    done = cli("cache", "gc", "--cache-dir", cache.root, "--dry-run")
    assert done.out.splitlines()[-1].endswith("would be freed")
    assert freed(cache) == left
    assert freed(cache) == {}
    assert ArtifactCache(cache.root).file(stage, "value.bin").read_bytes() == b"value"
    assert not begun.exists()


def test_gc_keeps_locked_stages(cache: ArtifactCache, stage: Stage) -> None:
    with cache.lock(stage) as draft:
        cache.output(stage, "value.bin").write_bytes(b"half")
        assert freed(ArtifactCache(cache.root), 0.0) == {}
        assert (draft / "value.bin").exists()
        cache.commit(stage, {"seconds": 1.0})
    assert cache.has(stage)


def test_gc_removes_outdated_values_and_dependents(
    cache: ArtifactCache, stage: Stage, registry: Registry
) -> None:
    stages = {s.kind: s for s in plan_of(registry).stages}
    for kind in ("data", "cases", "head", "explanations"):
        fill(cache, stages[kind])
    path = cache.write_dir(stages["head"]) / META
    content = json.loads(path.read_text())
    content["settings"]["of_another_schema"] = 1
    write_meta(path.parent, content)
    gone = freed(cache)
    assert {why for name, why in gone.items() if not name.endswith(".lock")} == {
        "values of other versions"
    }
    assert not cache.write_dir(stages["head"]).exists()
    assert not cache.write_dir(stages["explanations"]).exists()
    assert cache.has(stages["data"])
    assert cache.has(stages["cases"])


def test_description_determines_the_key(registry: Registry) -> None:
    for stage in plan_of(registry, {"metrics": ["all"]}).stages:
        content = json.loads(json.dumps(stage.describe()))
        assert key_of(content) == stage.key


def test_gc_removes_values_unused_for_days(cache: ArtifactCache, stage: Stage) -> None:
    fill(cache, stage)
    age(cache, stage, 40)
    assert freed(cache) == {}
    assert freed(cache, 41) == {}
    assert freed(cache, 39, dry=True) == {cache.write_dir(stage).name: "not used for 39 days"}
    cache.touch(stage)
    assert freed(cache, 39) == {}
    age(cache, stage, 40)
    collect(cache, dry=True)  # looking is no use
    assert cache.write_dir(stage).name in freed(cache, 39)
    assert not cache.has(stage)


def test_without_locks_files_tell_the_age(cache: ArtifactCache, stage: Stage) -> None:
    fill(cache, stage)
    age(cache, stage, 40)
    shutil.rmtree(cache.root / "locks")
    assert freed(cache) == {}
    assert freed(cache, 41) == {}
    assert cache.write_dir(stage).name in freed(cache, 39)


def test_info_counts_values_and_trainings(cache: ArtifactCache, stage: Stage, cli) -> None:
    fill(cache, stage)
    work = cache.write_dir(stage.inputs["latents"]) / "work"
    work.mkdir(parents=True)
    (work / "checkpoint-7-abc.safetensors").write_bytes(bytes(2_000_000))
    rows = [
        line.split() for line in cli("cache", "info", "--cache-dir", cache.root).out.splitlines()
    ]
    assert ["latents", "0", "1", "2.0", "MB"] in rows
    assert ["head", "1", "0.0", "MB"] in rows
