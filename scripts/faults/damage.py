"""Files that rot, and tidying up beside a run."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

from lab import Lab, Started, drafts, until, whole_values
from outcome import Outcome, scenario

from gvr_bench.cache.gc import stage_folders
from gvr_bench.cache.integrity import META

WAYS = ("a flipped bit", "half the file", "an empty file", "no file")
NAMED = 1  # exit code of `cache verify` where something is damaged


@scenario(
    "A file of the cache is damaged",
    "a random file of a finished cache: a flipped bit, cut in half, emptied or removed",
    "`gvr-bench cache verify` names it; a run that reads it warns, computes the value again "
    "and ends with the same records.",
)
def damage(lab: Lab, outcome: Outcome, rng: random.Random) -> None:
    """Damage a random file of a finished cache, check it, and run again."""
    cache, out = lab.partial(set()), lab.fresh("run")
    path = rng.choice([p for folder in stage_folders(cache) for p in sorted(folder.iterdir())])
    way = rng.choice(WAYS)
    harm(path, way, rng)
    outcome.times += 1
    outcome.where[way] += 1
    if way != "no file" or path.name != META:  # a value without meta.json is simply absent
        named = cache("verify", "--cache-dir", str(cache))
        if named.returncode != NAMED or f"damaged: {path.parent}: " not in named.stdout:
            outcome.wrong.append(f"verify is silent about {path}: {way}")
    rerun(lab, cache, out, outcome)
    shutil.rmtree(cache)


def rerun(lab: Lab, cache: Path, out: Path, outcome: Outcome) -> None:
    """Run on a damaged cache; damage that nothing read is mended at last."""
    outcome.runs += 1
    ran = lab.run(cache, out)
    if ran.wait():
        outcome.wrong.append(f"exit {ran.wait()}: {ran.said[-1:]}")
        return
    warned = any(line.startswith("warning: ") for line in ran.said)
    outcome.figures["noticed by the run"] = outcome.figures.get("noticed by the run", 0) + warned
    if cache("verify", "--cache-dir", str(cache), "--fix").returncode:
        outcome.wrong.append("verify --fix left damage")
    if lab.run(cache, out).wait():
        outcome.wrong.append("the run after the cure failed")
        return
    outcome.differing += lab.differences(cache, out)


def harm(path: Path, way: str, rng: random.Random) -> None:
    """Damage a file."""
    content = bytearray(path.read_bytes())
    match way:
        case "a flipped bit":
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            path.write_bytes(content)
        case "half the file":
            path.write_bytes(content[: len(content) // 2])
        case "an empty file":
            path.write_bytes(b"")
        case _:
            path.unlink()


def cache(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `gvr-bench cache ...`."""
    typed = [sys.executable, "-m", "gvr_bench", "cache", *arguments]
    return subprocess.run(typed, capture_output=True, text=True, check=False)


@scenario(
    "Somebody tidies up beside a run",
    "`gvr-bench cache gc` again and again during a run, and once, at a random stage, "
    "`gvr-bench cache gc --unused-for 0`, which removes every value",
    "What the run is at stays. What is removed before the run has read it is computed again.",
)
def tidying(lab: Lab, outcome: Outcome, rng: random.Random) -> None:
    """Tidy up again and again beside a run, and remove all values once in its midst."""
    cache, out = lab.partial({"student", "oracle"}), lab.fresh("run")
    started = lab.start(cache, out)
    tidy(cache, started, outcome)
    remove_all(cache, started, rng.uniform(0.2, 0.9) * len(lab.plan))
    outcome.times += 1
    outcome.runs += 1
    finish(lab, started, cache, out, outcome)
    shutil.rmtree(cache)


def tidy(cache: Path, started: Started, outcome: Outcome) -> None:
    """Collect garbage a few times, which must not touch a value."""
    before = whole_values(cache)
    until(lambda: bool(drafts(cache)), started.process)
    for _ in range(3):
        done = cache("gc", "--cache-dir", str(cache))
        outcome.times += 1
        if done.returncode:
            outcome.wrong.append(done.stderr)
    outcome.values_lost += sum(key not in whole_values(cache) for key in before)


def remove_all(cache: Path, started: Started, count: float) -> None:
    """Remove all values as soon as there are so many."""
    until(lambda: len(whole_values(cache)) > count, started.process)
    cache("gc", "--cache-dir", str(cache), "--unused-for", "0")


def finish(lab: Lab, started: Started, cache: Path, out: Path, outcome: Outcome) -> None:
    """Wait for a run, and compare its records; its values may have been removed."""
    code = started.wait()
    if code:
        outcome.wrong.append(f"exit {code}: {started.said[-1:]}")
    elif lab.run(cache, out).wait():
        outcome.wrong.append("the run after failed")
    else:
        outcome.differing += lab.differences(cache, out)
