"""The cache: complete means `meta.json`, and what cannot be written is one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import stage_of

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.checkpoints import FileCheckpoints
from gvr_bench.cache.integrity import ERROR, META, WORK, checksums, sha256, write_meta
from gvr_bench.core.errors import CacheError, CorruptStageError
from gvr_bench.core.stage import Stage
from gvr_bench.registry.registry import Registry


@pytest.fixture
def stage(registry: Registry) -> Stage:
    return stage_of(registry)


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path / "cache")


def fill(cache: ArtifactCache, stage: Stage, content: bytes = b"value") -> Path:
    """Write a stage as a run does; return where it lies."""
    with cache.lock(stage):
        cache.output(stage, "value.bin").write_bytes(content)
        (cache.write_dir(stage) / WORK / "checkpoint-1-half.safetensors").write_bytes(b"half")
        cache.commit(stage, {"seconds": 1.5})
    return cache.write_dir(stage)


def test_value_without_meta_is_absent(cache: ArtifactCache, stage: Stage) -> None:
    with cache.lock(stage):
        cache.output(stage, "value.bin").write_bytes(b"value")
        assert not cache.has(stage)
    assert not cache.has(stage)
    assert list((cache.root / "drafts").iterdir()) == []


def test_committed_value_describes_itself(cache: ArtifactCache, stage: Stage) -> None:
    folder = fill(cache, stage)
    assert cache.has(stage)
    meta = cache.meta(stage)
    assert meta.items() >= {**stage.describe(), "seconds": 1.5}.items()
    assert meta["digest"] == checksums(folder)["digest"]
    assert not (folder / WORK).exists()


def test_value_is_stale_after_input_changes(cache: ArtifactCache, stage: Stage) -> None:
    (needed,) = stage.inputs.values()
    fill(cache, needed)
    fill(cache, stage)
    cache.forget(needed)
    assert cache.has(stage), "an input that is gone leaves the value as it is"
    fill(cache, needed)
    assert cache.has(stage), "an input that came out alike leaves the value as it is"
    fill(cache, needed, b"another value")
    assert not cache.has(stage)


def test_failure_report_lasts_until_success(cache: ArtifactCache, stage: Stage) -> None:
    with cache.lock(stage):
        cache.fail(stage, ValueError("no good"), "trace", {})
    folder = cache.write_dir(stage)
    assert '"no good"' in (folder / ERROR).read_text()
    assert not cache.has(stage)
    fill(cache, stage)
    assert not (folder / ERROR).exists()


def test_forget_is_idempotent(cache: ArtifactCache, stage: Stage) -> None:
    folder = fill(cache, stage)
    cache.forget(stage)
    cache.forget(stage)
    assert not cache.has(stage)
    assert not folder.exists()


def test_partly_removed_value_is_absent(
    cache: ArtifactCache, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cache, stage)
    monkeypatch.setattr("shutil.rmtree", lambda *args, **kwargs: None)
    cache.forget(stage)
    assert not cache.has(stage)


@pytest.mark.parametrize("inside", ["cache", "cache/deep/er"])
def test_cache_below_a_file_is_refused(tmp_path: Path, inside: str) -> None:
    (tmp_path / "cache").write_text("a file is in the way")
    with pytest.raises(CacheError) as caught:
        ArtifactCache(tmp_path / inside).prepare()
    assert str(caught.value).startswith(f"cannot write the cache {tmp_path / inside}: ")
    assert str(caught.value).endswith("choose another folder with --cache-dir DIR")


def refuse(*args: object, **kwargs: object) -> None:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("method", ["mkdir", "write_bytes"])
def test_read_only_cache_is_one_line(
    cache: ArtifactCache, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(CacheError, match=r"cannot write the cache .*: Permission denied; choose"):
        cache.prepare()


def test_failed_lock_is_one_line(cache: ArtifactCache, stage: Stage) -> None:
    cache.prepare()
    (cache.root / "locks").rmdir()
    (cache.root / "locks").write_text("a file is in the way")
    with pytest.raises(CacheError, match="cannot write the cache"), cache.lock(stage):
        pytest.fail("nothing was claimed")


def test_failed_forget_is_one_line(
    cache: ArtifactCache, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cache, stage)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(CacheError, match="cannot write the cache"):
        cache.forget(stage)
    assert cache.has(stage)


def test_plugin_errors_pass_through_the_lock(cache: ArtifactCache, stage: Stage) -> None:
    with pytest.raises(FileNotFoundError, match="the plugin's file"), cache.lock(stage):
        raise FileNotFoundError("the plugin's file")


def test_full_disk_at_commit_writes_nothing(
    cache: ArtifactCache, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with cache.lock(stage):
        monkeypatch.setattr(Path, "write_text", full)
        with pytest.raises(CacheError, match="No space left on device"):
            cache.commit(stage, {"seconds": 1.0})
    assert not cache.has(stage)


def test_full_commit_keeps_old_value(
    cache: ArtifactCache, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(cache, stage)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    cache.invalidate(stage)
    with cache.lock(stage):
        cache.output(stage, "value.bin").write_bytes(b"another value")
        monkeypatch.setattr(Path, "write_text", full)
        with pytest.raises(CacheError, match="No space left on device"):
            cache.commit(stage, {"seconds": 1.0})
    assert ArtifactCache(cache.root).has(stage)
    assert ArtifactCache(cache.root).file(stage, "value.bin").read_bytes() == b"value"
    assert (folder / META).is_file()


def test_environment_sets_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from gvr_bench.cache.artifacts import default_cache_dir

    monkeypatch.setenv("GVR_BENCH_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.delenv("GVR_BENCH_CACHE")
    assert default_cache_dir().parent.name == "gvr-bench"


def damage(folder: Path, how: str) -> None:
    """Do to a value what disks and people do."""
    file, meta = folder / "value.bin", folder / META
    match how:
        case "a flipped bit":
            file.write_bytes(b"valud")
        case "a shorter file":
            file.write_bytes(b"valu")
        case "an empty file":
            file.write_bytes(b"")
        case "no file":
            file.unlink()
        case "a shorter meta.json":
            meta.write_bytes(meta.read_bytes()[:-20])
        case "another meta.json":
            meta.write_text('{"key": 1}')
        case "the meta.json of another":
            content = json.loads(meta.read_text())
            write_meta(folder, {**content, "key": "0" + content["key"]})
        case "a flipped bit of meta.json":
            meta.write_text(meta.read_text().replace('"seconds": 1', '"seconds": 9'))
        case "a flipped bit of a name in meta.json":
            meta.write_text(meta.read_text().replace('"own"', '"owo"'))


DAMAGE = (
    "a flipped bit", "a shorter file", "an empty file", "no file", "a shorter meta.json",
    "another meta.json", "the meta.json of another", "a flipped bit of meta.json",
    "a flipped bit of a name in meta.json",
)  # fmt: skip


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_value_is_never_read(cache: ArtifactCache, stage: Stage, how: str) -> None:
    damage(fill(cache, stage), how)
    reader = ArtifactCache(cache.root)
    if reader.has(stage):
        with pytest.raises(
            CorruptStageError, match=r"content of value\.bin is not what was written"
        ):
            reader.file(stage, "value.bin")
        assert how == "a flipped bit", "all else is seen at once"
    else:
        assert reader.inspect(stage)[1]


@pytest.mark.parametrize("how", DAMAGE)
def test_only_damaged_values_are_deleted(cache: ArtifactCache, stage: Stage, how: str) -> None:
    folder = fill(cache, stage)
    ArtifactCache(cache.root).delete_if_corrupt(stage)
    assert folder.exists()
    damage(folder, how)
    if how != "the meta.json of another":  # which is seen before anything is read
        ArtifactCache(cache.root).delete_if_corrupt(stage)
        assert not folder.exists()


def test_checksum_is_computed_once(
    cache: ArtifactCache, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cache, stage)
    reader, read = ArtifactCache(cache.root), []
    monkeypatch.setattr(
        "gvr_bench.cache.integrity.sha256", lambda path: read.append(path) or sha256(path)
    )
    for _ in range(3):
        reader.file(stage, "value.bin")
    assert len(read) == 1


def test_removed_draft_is_not_committed(cache: ArtifactCache, stage: Stage) -> None:
    with cache.lock(stage) as draft:
        cache.output(stage, "value.bin").write_bytes(b"value")
        cache.output(stage, "more.bin").write_bytes(b"more")
        (draft / "more.bin").unlink()
        with pytest.raises(CorruptStageError, match="another process removed it"):
            cache.commit(stage, {"seconds": 1.0})
    assert not cache.has(stage)


def test_two_writers_leave_one_value(cache: ArtifactCache, stage: Stage) -> None:
    other = ArtifactCache(cache.root)
    with cache.lock(stage):
        cache.output(stage, "value.bin").write_bytes(b"value")
        (cache.root / "locks" / f"{stage.key[:16]}.lock").unlink()
        fill(other, stage, b"other")
        cache.commit(stage, {"seconds": 1.0})
    reader = ArtifactCache(cache.root)
    assert reader.has(stage)
    assert reader.file(stage, "value.bin").read_bytes() == b"value"


def dead_process() -> int:
    """The number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_lock_sweeps_drafts_of_killed_writers(cache: ArtifactCache, stage: Stage) -> None:
    host = cache.writer.split("-")[0]
    left = cache.root / "drafts" / f"{stage.key[:16]}-{host}-{dead_process()}-00000000"
    elsewhere = cache.root / "drafts" / f"{stage.key[:16]}-{host}-{os.getpid()}-11111111"
    for draft in (left, elsewhere):
        draft.mkdir(parents=True)
        (draft / "value.bin").write_bytes(b"half")
    work = cache.write_dir(stage) / WORK
    work.mkdir(parents=True)
    (work / ".checkpoint-12.partial.12.partial").write_bytes(b"half")
    (work / "checkpoint-3-whole.safetensors").write_bytes(b"kept")
    with cache.lock(stage):
        assert not left.exists()
        assert elsewhere.exists(), "its process runs, and may have lost the lock"
        names = sorted(path.name.split("-")[0] for path in work.iterdir())
        assert names == ["attempt", "checkpoint"]


def test_file_system_without_locks_works(
    cache: ArtifactCache, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*args: object, **kwargs: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("filelock.FileLock.acquire", no_locks)
    fill(cache, stage)
    assert cache.has(stage)


def saved(folder: Path) -> FileCheckpoints:
    checkpoints = FileCheckpoints(folder, 0)
    checkpoints.save(3, {"net": {"w": torch.arange(4)}}, [{"step": 2.0, "loss": 0.5}])
    return checkpoints


def test_checkpoint_survives_a_round_trip(tmp_path: Path) -> None:
    step, state, history = saved(tmp_path).load()
    assert (step, history) == (3, [{"step": 2.0, "loss": 0.5}])
    assert torch.equal(state["net"]["w"], torch.arange(4))


def test_no_checkpoint_at_first(tmp_path: Path) -> None:
    assert FileCheckpoints(tmp_path, 0).load() is None


@pytest.mark.parametrize("length", [0, 1, 7, 20, -1])
def test_truncated_checkpoint_is_ignored(tmp_path: Path, length: int) -> None:
    checkpoints = saved(tmp_path)
    (path,) = checkpoints.files
    path.write_bytes(path.read_bytes()[:length])
    assert checkpoints.load() is None


def test_checkpoint_with_flipped_bit_is_ignored(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path)
    (path,) = checkpoints.files
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert checkpoints.load() is None


def test_checkpoint_of_other_inputs_is_ignored(tmp_path: Path) -> None:
    first = FileCheckpoints(tmp_path, 0, {"data": "as it was"})
    first.save(3, {}, [])
    assert FileCheckpoints(tmp_path, 0, {"data": "as it was"}).load()
    assert FileCheckpoints(tmp_path, 0, {"data": "made again"}).load() is None


def test_removed_checkpoint_folder_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: Path, target: Path) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "replace", gone)
    saved(tmp_path)


def test_previous_checkpoint_survives_interrupted_saving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = saved(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *args, **kwargs: None)
        checkpoints.save(10, {}, [])
    assert [path.name.split("-")[1] for path in checkpoints.files] == ["10", "3"]
    checkpoints.files[0].write_bytes(b"")
    assert checkpoints.load()[0] == 3
    checkpoints.save(11, {}, [])
    assert len(checkpoints.files) == 1


def test_foreign_checkpoint_is_ignored(tmp_path: Path) -> None:
    from gvr_bench.cache.serialization import write_weights

    checkpoints = saved(tmp_path)
    (path,) = checkpoints.files
    write_weights(path, {"w": torch.arange(4)})
    path.rename(path.with_name(f"checkpoint-3-{sha256(path)[:16]}.safetensors"))
    assert checkpoints.load() is None


def test_kill_while_saving_keeps_previous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = saved(tmp_path)

    def killed(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(9, {}, [])
    assert checkpoints.load()[0] == 3


def test_checkpoints_are_due_by_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    clock = FileCheckpoints(tmp_path, 30)
    assert not clock.due()
    now = 130.0
    assert clock.due()
    clock.save(1, {}, [])
    assert not clock.due()
