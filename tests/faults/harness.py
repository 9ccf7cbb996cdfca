"""A small run through every kind of stage that a fault disturbs, and what is lost by it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

NETWORKS = [
    *("--dataset", "phantom:size=32,train=30,validation=16,test=40", "--device", "cpu"),
    *("--generator", "wgan-gp:iterations=40,width=4,batch=8", "--encoder", "conv:steps=60,width=4"),
]
SPEC = [
    *NETWORKS,
    *("--head", "linear:steps=60", "--metrics", "all"),
    *("--explainer", "gvr:steps=100,cutoff=1e-9"),  # never reached, so that a shard takes a second
    *("--max-cases", "8", "--batch-size", "1"),  # two shards of four cases
]
CLOCK = {"seconds_per_image", "peak_memory_mb"}  # no two runs share these
TIMEOUT = 900.0  # seconds for a run, however busy the machine


@dataclass
class Outcome:
    """What a fault came to, summed over its injections.

    `lost` counts complete values that were gone or recomputed though they were intact; `different`
    names records and values unlike those of an undisturbed run; `wrong` lists broken promises.
    """

    injections: int = 0
    runs: int = 0
    lost: int = 0
    different: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    impossible: str = ""

    def expect(self, condition: object, complaint: str) -> None:
        if not condition:
            self.wrong.append(complaint)

    def expect_success(self, command: Command) -> bool:
        code = command.end()
        self.expect(code == 0, f"exit {code}: {command.lines[-1:]}")
        return code == 0

    def count_lost(self, cache: Path, before: dict[str, int]) -> None:
        after = written(cache)
        self.lost += sum(after.get(key) != when for key, when in before.items())


@dataclass
class Command:
    """A `gvr-bench` process with its output."""

    process: subprocess.Popen[bytes]
    log: Path

    def end(self) -> int:
        return self.process.wait(TIMEOUT)

    @property
    def lines(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()

    def handles_signals(self) -> bool:
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return False
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)

    def wait_for(self, condition: Callable[[], object]) -> bool:
        """Wait for a condition; false if the process ends before it holds."""
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            if condition():
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(0.02)  # conditions read folders, and the process needs the core
        raise TimeoutError(f"{self.log} waits for {condition}")


class Lab:
    """Runs one spec in folders of its own, and compares the results with an undisturbed run."""

    def __init__(self, home: Path, spec: Sequence[str] = SPEC) -> None:
        self.home = home
        self.spec = list(spec)
        self.folders = 0
        self.seconds = 0.0  # that the reference took
        self.others: dict[str, Lab] = {}
        home.mkdir(parents=True, exist_ok=True)

    def named(self, name: str, spec: Sequence[str]) -> Lab:
        """A lab for another spec, with its own reference."""
        return self.others.setdefault(name, Lab(self.home / name, spec))

    def new_folder(self, name: str) -> Path:
        self.folders += 1
        return self.home / f"{self.folders:03}-{name}"

    def start(
        self, cache: Path, out: Path, *more: str, program: Sequence[str] = ("-m", "gvr_bench")
    ) -> Command:
        options = [*self.spec, "--cache-dir", str(cache), "--out", str(out), *more]
        log = self.new_folder("log")
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, *program, "run", *options],
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        return Command(process, log)

    @cached_property
    def reference(self) -> Path:
        """A folder with the `cache` and the `run` of an undisturbed run."""
        home = self.home / "reference"
        began = time.monotonic()
        command = self.start(home / "cache", home / "run")
        if command.end():
            raise RuntimeError("\n".join(command.lines))
        self.seconds = time.monotonic() - began
        return home

    @cached_property
    def stages(self) -> list[dict[str, Any]]:
        return stages(self.reference / "run")

    def partial_cache(self, *missing: str) -> Path:
        """A copy of the reference cache without the stages of some kinds."""
        cache = self.new_folder("cache")
        shutil.copytree(self.reference / "cache", cache)
        for kind in missing:
            shutil.rmtree(cache / kind, ignore_errors=True)
        return cache

    def remove(self, *folders: Path) -> None:
        """Make room for further runs."""
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def finish(self, cache: Path, out: Path, outcome: Outcome) -> None:
        """Run undisturbed to the end and note what differs from the reference."""
        outcome.runs += 1
        if outcome.expect_success(self.start(cache, out)):
            outcome.different += self.differences(cache, out)

    def differences(self, cache: Path, out: Path) -> list[str]:
        """Names of missing values and of records and weights unlike those of the reference."""
        names = [] if records(out) == records(self.reference / "run") else ["records"]
        reference = self.reference / "cache"
        for folder in complete(reference).values():
            name = folder.relative_to(reference)
            intact = (cache / name / "meta.json").is_file()
            if not intact or weights(cache / name) != weights(folder):
                names.append(str(name))
        return names


def cache_command(verb: str, cache: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gvr_bench", "cache", verb, "--cache-dir", str(cache)]
    return subprocess.run([*command, *options], capture_output=True, text=True, check=False)


def weights(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.safetensors"))]


def stages(run: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((run / "environment.json").read_text())["stages"]
    return rows


def records(run: Path) -> list[dict[str, Any]]:
    """The records of a run without times and memory."""
    rows = [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]
    return [{**row, "seconds": None} for row in rows if row["metric"] not in CLOCK]


def complete(cache: Path) -> dict[str, Path]:
    """Folders of complete values by the key in their name."""
    return {meta.parent.name[-16:]: meta.parent for meta in sorted(cache.glob("*/*/meta.json"))}


def written(cache: Path) -> dict[str, int]:
    """When each complete value was written."""
    times = {}
    for key, folder in complete(cache).items():
        try:
            times[key] = (folder / "meta.json").stat().st_mtime_ns
        except FileNotFoundError:  # removed in the meantime
            continue
    return times


def drafts(cache: Path) -> set[str]:
    """Names of the folders into which processes write, or wrote, stages."""
    return {path.name for path in cache.glob("drafts/*")}
