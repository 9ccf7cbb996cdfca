"""Several processes at work in one cache."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

from damage import cache
from lab import Lab, Started, comparable_records, drafts, until
from outcome import Outcome, scenario

PROCESSES = 8
COMMON = [
    "--dataset", "phantom:size=32,train=30,validation=16,test=40",
    "--generator", "wgan-gp:iterations=40,width=4,batch=8",
    "--encoder", "conv:steps=60,width=4",
    "--max-cases", "4", "--device", "cpu",
    "--metrics", "truth", "--metrics", "validity", "--metrics", "sanity",
]  # fmt: skip
EXPLAINERS = ("saliency", "gvr:steps=5", "occlusion", "edge", "cam", "latent-shift")
HEADS = ("linear:steps=60", "mlp:steps=40")


def specs(rng: random.Random) -> list[list[str]]:
    """Draw overlapping specs: some explainers, and one head or both."""
    drawn = []
    for _ in range(PROCESSES):
        named = [("--explainer", name) for name in rng.sample(EXPLAINERS, rng.randint(2, 4))]
        named += [("--head", name) for name in rng.sample(HEADS, rng.randint(1, 2))]
        drawn.append([*COMMON, *(word for pair in named for word in pair)])
    return drawn


@scenario(
    "Eight processes share a cache",
    "eight runs with overlapping specs, started together",
    "Each stage is computed once, by whoever comes first; the others wait for it.",
)
def crowd(lab: Lab, outcome: Outcome, rng: random.Random) -> None:
    """Let eight processes share a cache."""
    process_group = ProcessGroup(lab.home, rng, outcome)
    process_group.finish()
    twice = [key for key, count in process_group.made().items() if count != 1]
    if twice:
        outcome.wrong.append(f"{len(twice)} stages were computed more than once")
    process_group.compare()


@scenario(
    "A process that others wait for is killed",
    "SIGKILL for the first of eight to hold a lock, a random time after it took it",
    "Its lock dies with it; another process goes on with the stage. None waits.",
)
def owner_killed(lab: Lab, outcome: Outcome, rng: random.Random) -> None:
    """Kill the process that the others wait for."""
    process_group = ProcessGroup(lab.home, rng, outcome)
    first = process_group.first_owner()
    time.sleep(rng.uniform(0, 1.5))
    held = time.monotonic()
    process_group.kill(first)
    process_group.finish()
    outcome.figures["seconds to the end"] = round(time.monotonic() - held, 1)
    process_group.compare()


@scenario(
    "Locks are lost",
    "all lock files removed every 50 ms while eight runs share a cache",
    "Stages are computed more than once. What is stored in the end is whole, and the records "
    "are the same.",
)
def locks_lost(lab: Lab, outcome: Outcome, rng: random.Random) -> None:
    """Remove all lock files again and again."""
    process_group = ProcessGroup(lab.home, rng, outcome)
    while any(one.process.poll() is None for one in process_group.runs):
        for lock in (process_group.cache / "locks").glob("*.lock"):
            lock.unlink(missing_ok=True)
        time.sleep(0.05)
    process_group.finish()
    double = sum(count - 1 for count in process_group.made().values())
    outcome.figures["stages computed again"] = (
        outcome.figures.get("stages computed again", 0) + double
    )
    process_group.compare()


class ProcessGroup:
    """Eight processes at work in a new cache."""

    def __init__(self, home: Path, rng: random.Random, outcome: Outcome) -> None:
        self.outcome = outcome
        self.drawn = specs(rng)
        self.labs = [
            Lab(home / f"crew-{time.monotonic_ns()}-{i}", spec) for i, spec in enumerate(self.drawn)
        ]
        self.cache = self.labs[0].fresh("cache")
        self.outs = [lab.fresh("run") for lab in self.labs]
        self.runs: list[Started] = [
            lab.start(self.cache, out) for lab, out in zip(self.labs, self.outs, strict=True)
        ]
        outcome.times += 1
        outcome.runs += PROCESSES

    def first_owner(self) -> Started:
        """Wait until some process writes a stage; return one that does."""
        until(lambda: bool(drafts(self.cache)), self.runs[0].process)
        for path in Path("/proc").glob("[0-9]*/fd/*"):
            try:
                target = path.readlink()
            except OSError:
                continue
            if target.suffix == ".lock" and target.parent == self.cache / "locks":
                pid = int(path.parts[2])
                found = [one for one in self.runs if one.process.pid == pid]
                if found and holds(pid):
                    return found[0]
        return self.runs[0]

    def kill(self, one: Started) -> None:
        """Kill a process of the crew."""
        one.process.send_signal(signal.SIGKILL)
        one.wait()
        index = self.runs.index(one)
        del self.runs[index], self.outs[index], self.labs[index]

    def finish(self) -> None:
        """Wait for all, and check the cache."""
        for one in self.runs:
            if one.wait():
                self.outcome.wrong.append(f"exit {one.wait()}: {one.said[-1:]}")
        if cache("verify", "--cache-dir", str(self.cache)).returncode:
            self.outcome.wrong.append("a damaged value")

    def made(self) -> Counter[str]:
        """Count how often each stage was computed, over all runs."""
        count: Counter[str] = Counter()
        for out in self.outs:
            if (out / "environment.json").is_file():
                for row in json.loads((out / "environment.json").read_text())["stages"]:
                    count[row["key"]] += row["status"] == "done"
        return count

    def compare(self) -> None:
        """Compare the records with those of the same spec alone on the finished cache."""
        for lab, out in zip(self.labs, self.outs, strict=True):
            if not (out / "records.jsonl").is_file():
                continue
            alone = lab.fresh("alone")
            if lab.run(self.cache, alone).wait():
                self.outcome.wrong.append("a run on the finished cache failed")
            elif comparable_records(alone) != comparable_records(out):
                self.outcome.differing.append("records")
        shutil.rmtree(self.cache)


def holds(pid: int) -> bool:
    """Whether a process holds a file lock of the kind that we use."""
    rows = Path("/proc/locks").read_text().splitlines()
    return any(
        row.split()[1] == "FLOCK" and row.split()[4] == str(pid) for row in rows if "->" not in row
    )
