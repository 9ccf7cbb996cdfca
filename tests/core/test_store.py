"""The store: complete means `meta.json`, and what cannot be written is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import stage_of

from gvr_bench.errors import StoreError
from gvr_bench.plugins import Registry
from gvr_bench.stages import Stage
from gvr_bench.store import ERROR, WORK, FileCheckpoints, Store, digest


@pytest.fixture
def stage(registry: Registry) -> Stage:
    return stage_of(registry)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def fill(store: Store, stage: Stage) -> Path:
    """Write a stage as a run does."""
    with store.claim(stage) as folder:
        (folder / "value.bin").write_bytes(b"value")
        (folder / WORK / "checkpoint.safetensors").write_bytes(b"half")
        store.commit(stage, {"seconds": 1.5})
    return folder


def test_a_value_without_its_meta_is_absent(store: Store, stage: Stage) -> None:
    with store.claim(stage) as folder:
        (folder / "value.bin").write_bytes(b"value")
        assert not store.has(stage)
    assert not store.has(stage)


def test_a_committed_value_is_there_and_says_what_it_is(store: Store, stage: Stage) -> None:
    folder = fill(store, stage)
    assert store.has(stage)
    said = store.meta(stage)
    assert said.items() >= {**stage.describe(), "seconds": 1.5}.items()
    assert said["digest"] == digest(folder)
    assert not (folder / WORK).exists()


def test_a_value_is_stale_when_an_input_was_made_again_and_differs(
    store: Store, stage: Stage
) -> None:
    (needed,) = stage.inputs
    fill(store, needed)
    fill(store, stage)
    store.forget(needed)
    assert store.has(stage), "an input that is gone leaves the value as it is"
    fill(store, needed)
    assert store.has(stage), "an input that came out alike leaves the value as it is"
    with store.claim(needed) as folder:
        (folder / "value.bin").write_bytes(b"another value")
        store.commit(needed, {"seconds": 1.5})
    assert not store.has(stage)


def test_a_failure_is_kept_until_it_is_mended(store: Store, stage: Stage) -> None:
    with store.claim(stage) as folder:
        store.fail(stage, ValueError("no good"), "trace")
    assert '"no good"' in (folder / ERROR).read_text()
    assert not store.has(stage)
    fill(store, stage)
    assert not (folder / ERROR).exists()


def test_a_forgotten_value_is_gone_and_forgetting_twice_is_fine(store: Store, stage: Stage) -> None:
    folder = fill(store, stage)
    store.forget(stage)
    store.forget(stage)
    assert not store.has(stage)
    assert not folder.exists()


def test_a_folder_that_cannot_be_emptied_is_not_found_as_whole(
    store: Store, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, stage)
    monkeypatch.setattr("shutil.rmtree", lambda *args, **kwargs: None)
    store.forget(stage)
    assert not store.has(stage)


@pytest.mark.parametrize("inside", ["store", "store/deep/er"])
def test_a_store_that_cannot_be_made_is_one_line(tmp_path: Path, inside: str) -> None:
    (tmp_path / "store").write_text("a file is in the way")
    with pytest.raises(StoreError) as caught:
        Store(tmp_path / inside).prepare()
    assert str(caught.value).startswith(f"cannot write the store {tmp_path / inside}: ")
    assert str(caught.value).endswith("choose another folder with --store DIR")


def refuse(*args: object, **kwargs: object) -> None:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("method", ["mkdir", "write_bytes"])
def test_a_store_that_cannot_be_written_is_one_line(
    store: Store, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(StoreError, match=r"cannot write the store .*: Permission denied; choose"):
        store.prepare()


def test_a_stage_that_cannot_be_claimed_is_one_line(store: Store, stage: Stage) -> None:
    store.prepare()
    (store.root / "locks").write_text("a file is in the way")
    with pytest.raises(StoreError, match="cannot write the store"), store.claim(stage):
        pytest.fail("nothing was claimed")


def test_a_stage_that_cannot_be_forgotten_is_one_line(
    store: Store, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, stage)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StoreError, match="cannot write the store"):
        store.forget(stage)
    assert store.has(stage)


def test_an_error_while_computing_is_not_blamed_on_the_store(store: Store, stage: Stage) -> None:
    with pytest.raises(FileNotFoundError, match="the plugin's file"), store.claim(stage):
        raise FileNotFoundError("the plugin's file")


def test_a_disk_that_is_full_at_the_commit_leaves_the_value_absent(
    store: Store, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with store.claim(stage):
        monkeypatch.setattr(Path, "write_text", full)
        with pytest.raises(StoreError, match="No space left on device"):
            store.commit(stage, {"seconds": 1.0})
    assert not store.has(stage)


def test_the_environment_names_the_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from gvr_bench.store import default_root

    monkeypatch.setenv("GVR_BENCH_STORE", str(tmp_path))
    assert default_root() == tmp_path
    monkeypatch.delenv("GVR_BENCH_STORE")
    assert default_root().name == "gvr-bench"


def saved(folder: Path) -> FileCheckpoints:
    made = FileCheckpoints(folder, 0)
    made.save(3, {"net": {"w": torch.arange(4)}}, [{"step": 2.0, "loss": 0.5}])
    return made


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    step, state, history = saved(tmp_path).load()
    assert (step, history) == (3, [{"step": 2.0, "loss": 0.5}])
    assert torch.equal(state["net"]["w"], torch.arange(4))


def test_there_is_no_checkpoint_at_first(tmp_path: Path) -> None:
    assert FileCheckpoints(tmp_path, 0).load() is None


@pytest.mark.parametrize("length", [0, 1, 7, 20, -1])
def test_a_damaged_checkpoint_is_ignored(tmp_path: Path, length: int) -> None:
    found = saved(tmp_path)
    found.path.write_bytes(found.path.read_bytes()[:length])
    assert found.load() is None


def test_a_checkpoint_of_other_content_is_ignored(tmp_path: Path) -> None:
    from gvr_bench.formats import write_weights

    found = saved(tmp_path)
    write_weights(found.path, {"w": torch.arange(4)})
    assert found.load() is None


def test_being_killed_while_saving_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = saved(tmp_path)

    def killed(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            found.save(9, {}, [])
    assert found.load()[0] == 3


def test_checkpoints_are_due_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    clock = FileCheckpoints(tmp_path, 30)
    assert not clock.due()
    now = 130.0
    assert clock.due()
    clock.save(1, {}, [])
    assert not clock.due()
