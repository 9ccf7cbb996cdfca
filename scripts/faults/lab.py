"""A small run through every kind of stage, what it should come to, and what differs from that."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gvr_bench.cache.artifacts import DRAFTS
from gvr_bench.cache.gc import stage_folders
from gvr_bench.cache.integrity import META

SPEC = [
    "--dataset", "phantom:size=32,train=30,validation=16,test=40",
    "--generator", "wgan-gp:iterations=40,width=4,batch=8",
    "--encoder", "conv:steps=60,width=4",
    "--head", "linear:steps=60",
    "--explainer", "gvr:steps=100,cutoff=1e-9",  # never found, so that each part takes a second
    "--metrics", "all",
    "--max-cases", "8",
    "--batch-size", "1",  # two parts of four cases
    "--device", "cpu",
]  # fmt: skip
CLOCK = {"seconds", "memory", "seconds_per_image", "peak_memory_mb"}  # what no two runs share
TRAINED = {"generator", "encoder", "head", "oracle", "class_autoencoders", "student"}
TIMEOUT = 600.0


@dataclass(frozen=True)
class Planned:
    """A stage of the run: what it is, and how long it takes."""

    key: str
    kind: str
    seconds: float


@dataclass
class Started:
    """A command at work, with what it says."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait(self, seconds: float = TIMEOUT) -> int:
        """Wait for the end; return the exit code, negative after a signal."""
        return self.process.wait(seconds)

    def listens(self) -> bool:
        """Whether the process handles SIGTERM by now."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return False
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)

    @property
    def said(self) -> list[str]:
        """Lines on stdout and stderr so far."""
        return self.log.read_text(errors="replace").splitlines()


class Lab:
    """Runs the command in folders of its own."""

    def __init__(self, home: Path, spec: Sequence[str] = SPEC) -> None:
        self.home = home
        self.spec = list(spec)
        self.count = 0
        home.mkdir(parents=True, exist_ok=True)

    def fresh(self, name: str) -> Path:
        """Return a folder that is not there yet."""
        self.count += 1
        return self.home / f"{self.count:03}-{name}"

    def start(
        self, cache: Path, out: Path, *more: str, program: Sequence[str] = ("-m", "gvr_bench")
    ) -> Started:
        """Start `gvr-bench run`."""
        typed = ["run", *self.spec, "--cache-dir", str(cache), "--out", str(out), *more]
        log = self.fresh("log")
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, *program, *typed],
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        return Started(process, log)

    def run(self, cache: Path, out: Path, *more: str) -> Started:
        """Run the command to its end."""
        started = self.start(cache, out, *more)
        started.wait()
        return started

    @cached_property
    def reference(self) -> Path:
        """A folder with `cache` and `run` of a run that nothing disturbed."""
        home = self.home / "reference"
        if not (home / "run" / "records.jsonl").is_file():
            started = self.run(home / "cache", home / "run")
            if started.wait():
                raise SystemExit("\n".join(started.said))
        return home

    @cached_property
    def plan(self) -> list[Planned]:
        """The stages of the run in their order."""
        told = json.loads((self.reference / "run" / "environment.json").read_text())["stages"]
        return [Planned(row["key"], row["kind"], row["seconds"]) for row in told]

    def partial(self, kinds: set[str]) -> Path:
        """Return a copy of the reference cache without the stages of some kinds."""
        cache = self.fresh("cache")
        shutil.copytree(self.reference / "cache", cache)
        for kind in kinds:
            shutil.rmtree(cache / kind, ignore_errors=True)  # a small spec has not all of them
        return cache

    def differences(self, cache: Path, out: Path) -> list[str]:
        """Name records and values that are not those of the undisturbed run."""
        found = []
        if comparable_records(out) != comparable_records(self.reference / "run"):
            found.append("records")
        whole = self.reference / "cache"
        for folder in stage_folders(whole):
            name = folder.relative_to(whole)
            theirs, ours = content(folder), content(cache / name)
            if theirs.keys() != ours.keys() or not all(same(theirs[k], ours[k]) for k in theirs):
                found.append(str(name))
        return found


def comparable_records(run: Path) -> list[dict[str, Any]]:
    """Return the records of a run without what a clock says, or the system of memory."""
    rows = [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in row.items() if name != "seconds"}
        for row in rows
        if row["metric"] not in CLOCK
    ]


def content(folder: Path) -> dict[str, Any]:
    """Return all that a value holds, by file and array, but times and memory."""
    found: dict[str, Any] = {}
    if not (folder / META).is_file():
        return found
    for path in sorted(folder.iterdir()):
        if path.suffix == ".h5":
            found |= {f"{path.name}/{name}": array for name, array in arrays(path)}
        elif path.suffix == ".json" and path.name != META:
            rows = json.loads(path.read_text())
            if isinstance(rows, list):
                rows = [r for r in rows if not (isinstance(r, dict) and r.get("metric") in CLOCK)]
            found[path.name] = rows
        elif path.is_file() and path.name != META:
            found[path.name] = path.read_bytes()
    return found


def arrays(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the arrays of an HDF5 file with their names."""
    with h5py.File(path, "r") as file:
        names: list[str] = []
        file.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
        for name in names:
            if name.split("/")[-1] not in CLOCK:
                yield name, file[name][()]


def same(one: Any, other: Any) -> bool:
    """Whether two contents are equal, bit for bit."""
    if isinstance(one, np.ndarray):
        nan = one.dtype.kind == "f"
        return one.dtype == other.dtype and bool(np.array_equal(one, other, equal_nan=nan))
    return bool(one == other)


def whole_values(cache: Path) -> dict[str, int]:
    """Return when each complete value was written, by the key in its folder's name."""
    metas = (folder / META for folder in stage_folders(cache) if (folder / META).is_file())
    return {meta.parent.name[-16:]: meta.stat().st_mtime_ns for meta in metas}


def drafts(cache: Path) -> set[str]:
    """Return the names of the folders in which processes write, or wrote, stages."""
    folder = cache / DRAFTS
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def until(condition: Any, process: subprocess.Popen[bytes], seconds: float = TIMEOUT) -> bool:
    """Wait for a condition; false if the process ended before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.001)
    raise TimeoutError
