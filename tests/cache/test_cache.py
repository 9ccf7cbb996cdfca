"""`gvr-bench cache`: damage is named, and only what nothing refers to is removed."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from tiny import plan_of, stage_of

from gvr_bench.cache.artifacts import Store
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
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", tmp_path / "shipped")


def fill(store: Store, stage: Stage) -> Path:
    """Write a stage as a run does; return where it lies."""
    with store.claim(stage):
        store.output(stage, "value.bin").write_bytes(b"value")
        store.commit(stage, {"seconds": 1.5})
    return store.place(stage)


def age(store: Store, stage: Stage, days: float) -> None:
    """Let a stage be last used so long ago."""
    then = time.time() - days * DAYS
    for path in (store.lock_file(stage.key), *store.place(stage).rglob("*")):
        os.utime(path, (then, then))


def freed(store: Store, *arguments: float, **options: bool) -> dict[str, str]:
    """What was removed, by name, and why."""
    return {piece.path.name: piece.why for piece in collect(store, *arguments, **options)}


@pytest.mark.parametrize("name", ["value.bin", META])
def test_a_damaged_value_is_named_and_exit_1(
    store: Store, stage: Stage, registry: Registry, cli, name: str
) -> None:
    folder = fill(store, stage)
    fill(store, stage.inputs[0])
    (folder / name).write_bytes(b"valud")
    done = cli("cache", "verify", "--store", store.root)
    assert done.code == 1
    assert f"damaged: {folder}: " in done.out
    assert "values are whole" in done.out
    assert "gvr-bench cache verify --fix" in done.out
    done = cli("cache", "verify", "--store", store.root, "--fix")
    assert (done.code, folder.exists()) == (0, False)
    assert store.has(stage.inputs[0])
    assert cli("cache", "verify", "--store", store.root).code == 0


def test_a_damaged_value_of_the_package_is_named_with_the_cure(
    store: Store, stage: Stage, tmp_path: Path
) -> None:
    shutil.copytree(fill(store, stage), store.shipped / "head" / store.place(stage).name)
    (store.shipped / "head" / store.place(stage).name / "value.bin").write_bytes(b"")
    (fault,) = verify(store).faults
    assert not fault.ours
    assert "value.bin has 0 bytes, not 5" in fault.text


def test_what_comes_with_the_package_is_whole(tmp_path: Path) -> None:
    found = verify(Store(tmp_path))
    assert (found.values, found.unknown, found.faults) == (15, 0, ())


def test_a_value_that_somebody_is_writing_is_not_called_damaged(store: Store, stage: Stage) -> None:
    (fill(store, stage) / "value.bin").write_bytes(b"half")
    with locked(store.lock_file(stage.key)):
        assert verify(store).faults == ()
    assert len(verify(store).faults) == 1


def test_no_store_is_one_line(cli) -> None:
    for command in ("info", "verify", "gc"):
        assert "there is no store at absent" in cli("cache", command, "--store", "absent").fault


def test_whole_values_checkpoints_and_foreign_files_stay(
    store: Store, stage: Stage, tmp_path: Path
) -> None:
    fill(store, stage)
    work = store.place(stage.inputs[0]) / "work"
    work.mkdir(parents=True)
    (work / "checkpoint-7-abc.safetensors").write_bytes(b"training")
    foreign = store.root / "head" / "notes"
    foreign.mkdir()
    (store.root / "thesis.tex").write_text("mine")
    assert freed(store) == {}
    assert store.has(stage)
    assert (work / "checkpoint-7-abc.safetensors").exists()
    assert foreign.exists()
    assert (store.root / "thesis.tex").exists()


def test_what_killed_processes_left_goes(store: Store, stage: Stage, cli) -> None:
    folder = fill(store, stage)
    (folder / ".value.bin.7.partial").write_bytes(b"12345")
    (folder / "work").mkdir()
    (folder / "work" / "checkpoint-7-abc.safetensors").write_bytes(b"training")
    draft = store.root / "drafts" / f"{stage.key[:16]}-00000000"
    draft.mkdir()
    (draft / "value.bin").write_bytes(b"half")
    begun = store.place(stage.inputs[0])
    (begun / "work").mkdir(parents=True)
    (store.root / ".probe-7").write_bytes(b"")
    (store.root / "locks" / ("0" * 16 + ".lock")).touch()
    left = {
        ".value.bin.7.partial": "left by killed processes",
        "work": "checkpoints of complete stages",
        draft.name: "left by killed processes",
        begun.name: "left by killed processes",
        ".probe-7": "left by killed processes",
        "0" * 16 + ".lock": "locks of stages that are gone",
    }
    assert freed(store, dry=True) == left
    done = cli("cache", "gc", "--store", store.root, "--dry-run")
    assert done.out.splitlines()[-1].endswith("would be freed")
    assert freed(store) == left
    assert freed(store) == {}
    assert Store(store.root).file(stage, "value.bin").read_bytes() == b"value"
    assert not begun.exists()


def test_what_a_process_is_at_stays(store: Store, stage: Stage) -> None:
    with store.claim(stage) as draft:
        store.output(stage, "value.bin").write_bytes(b"half")
        assert freed(Store(store.root), 0.0) == {}
        assert (draft / "value.bin").exists()
        store.commit(stage, {"seconds": 1.0})
    assert store.has(stage)


def test_values_of_another_version_and_what_was_made_of_them_go(
    store: Store, stage: Stage, registry: Registry
) -> None:
    made = {s.kind: s for s in plan_of(registry).stages}
    for kind in ("data", "cases", "head", "explanations"):
        fill(store, made[kind])
    path = store.place(made["head"]) / META
    told = json.loads(path.read_text())
    told["settings"]["of_another_schema"] = 1
    write_meta(path.parent, told)
    gone = freed(store)
    assert {why for name, why in gone.items() if not name.endswith(".lock")} == {
        "values of other versions"
    }
    assert not store.place(made["head"]).exists()
    assert not store.place(made["explanations"]).exists()
    assert store.has(made["data"])
    assert store.has(made["cases"])


def test_the_key_can_be_worked_out_from_what_is_told(registry: Registry) -> None:
    for stage in plan_of(registry, {"metrics": ["all"]}).stages:
        told = json.loads(json.dumps(stage.describe()))
        assert key_of(told) == stage.key


def test_old_values_go_on_demand_and_a_run_keeps_them_young(store: Store, stage: Stage) -> None:
    fill(store, stage)
    age(store, stage, 40)
    assert freed(store) == {}
    assert freed(store, 41) == {}
    assert freed(store, 39, dry=True) == {store.place(stage).name: "not used for 39 days"}
    store.used(stage)
    assert freed(store, 39) == {}
    age(store, stage, 40)
    collect(store, dry=True)  # looking is no use
    assert store.place(stage).name in freed(store, 39)
    assert not store.has(stage)


def test_a_store_without_locks_is_as_old_as_its_files(store: Store, stage: Stage) -> None:
    fill(store, stage)
    age(store, stage, 40)
    shutil.rmtree(store.root / "locks")
    assert freed(store) == {}
    assert freed(store, 41) == {}
    assert store.place(stage).name in freed(store, 39)


def test_information_counts_values_and_trainings(store: Store, stage: Stage, cli) -> None:
    fill(store, stage)
    work = store.place(stage.inputs[0]) / "work"
    work.mkdir(parents=True)
    (work / "checkpoint-7-abc.safetensors").write_bytes(bytes(2_000_000))
    rows = [line.split() for line in cli("cache", "info", "--store", store.root).out.splitlines()]
    assert ["latents", "0", "1", "2.0", "MB"] in rows
    assert ["head", "1", "0.0", "MB"] in rows
