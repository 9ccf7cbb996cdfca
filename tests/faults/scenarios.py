"""The faults: signals, damaged files, full disks, several processes in one cache.

Each function injects its fault once; `SCENARIOS` says what it is and what is promised.
"""

from __future__ import annotations

import errno
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from harness import (
    NETWORKS,
    Command,
    Lab,
    Outcome,
    cache_command,
    complete,
    drafts,
    records,
    stages,
    written,
)
from killed_workers import kill_local_workers, kill_ray_workers
from moments import stop_at_any_moment

LONGEST_PAUSE = 2.0  # seconds into a stage
RESUME_HINT = "; run the same command again to resume"
DISK = 2**28  # bytes of the small disk
FULL_DISK = Path(__file__).with_name("full_disk.py")
RECOMPUTED = (("scores",), ("perturbed_explanations", "scores"), ("prediction", "decoding"))
HARM = ("a flipped bit", "half the file", "an empty file", "no file")
EXPLAINERS = ("saliency", "gvr:steps=5", "occlusion", "edge", "grad-cam", "latent-shift")
PROCESSES = 8


def interrupt(number: signal.Signals, lab: Lab, outcome: Outcome, rng: random.Random) -> None:
    """Send a signal in the midst of random stages until a run reaches its end."""
    cache, out = lab.new_folder("cache"), lab.new_folder("run")
    interval = "0.5" if number == signal.SIGKILL else "1e6"  # seconds between checkpoints
    for _ in range(3):
        before, old_drafts = written(cache), drafts(cache)
        command = lab.start(cache, out, "--checkpoint-every", interval)
        stage = rng.choice([s for s in lab.stages if s["key"][:16] not in before][:8])
        key = stage["key"][:16]

        def begun() -> bool:
            writes = any(name.startswith(key) for name in drafts(cache) - old_drafts)  # noqa: B023
            return command.handles_signals() and (writes or key in written(cache))  # noqa: B023

        if not command.wait_for(begun):
            break
        time.sleep(rng.uniform(0, min(1.2 * stage["seconds"], LONGEST_PAUSE)))
        if command.process.poll() is not None:
            break
        command.process.send_signal(number)
        code = command.end()
        outcome.injections += 1
        outcome.count_lost(cache, before)
        if number != signal.SIGKILL and code:
            outcome.expect(code == 128 + number, f"exit {code}")
            ends = command.lines and command.lines[-1].endswith(RESUME_HINT)
            outcome.expect(ends, f"last line {command.lines[-1:]}")
            outcome.expect("Traceback" not in "".join(command.lines), "a traceback")
    lab.finish(cache, out, outcome)


def damage(lab: Lab, outcome: Outcome, rng: random.Random) -> None:
    """Damage a random file of a finished cache, verify the cache, run again."""
    cache = lab.partial_cache()
    path = rng.choice([p for f in complete(cache).values() for p in sorted(f.iterdir())])
    kind = rng.choice(HARM)
    harm(path, kind, rng)
    outcome.injections += 1
    if kind != "no file" or path.name != "meta.json":  # without it a value is merely absent
        report = cache_command("verify", cache)
        names_it = report.returncode == 1 and str(path.parent) in report.stdout
        outcome.expect(names_it, f"verify is silent about {path}: {kind}")
    lab.finish(cache, lab.new_folder("run"), Outcome())
    outcome.expect(cache_command("verify", cache, "--fix").returncode == 0, "damage after --fix")
    lab.finish(cache, lab.new_folder("run"), outcome)


def harm(path: Path, kind: str, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if kind == "a flipped bit":
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
    elif kind == "no file":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if kind == "half the file" else b"")


def collect_garbage(lab: Lab, outcome: Outcome, rng: random.Random) -> None:
    """Run `cache gc` beside a run, and once remove every value in its midst."""
    cache, out = lab.partial_cache("student", "oracle"), lab.new_folder("run")
    before = written(cache)
    command = lab.start(cache, out)
    command.wait_for(lambda: drafts(cache))
    result = cache_command("gc", cache)
    outcome.expect(result.returncode == 0, result.stderr)
    outcome.lost += len(before.keys() - written(cache).keys())
    count = rng.uniform(0.2, 0.9) * len(lab.stages)
    command.wait_for(lambda: len(written(cache)) > count)
    cache_command("gc", cache, "--unused-for", "0")
    outcome.injections += 1
    outcome.expect_success(command)
    lab.finish(cache, out, outcome)


def refuse_write(number: int, lab: Lab, outcome: Outcome, rng: random.Random) -> None:
    """Let a random write fail half-way with an error number, as a full disk does."""
    cache, out = lab.partial_cache(*rng.choice(RECOMPUTED)), lab.new_folder("run")
    before = written(cache)
    program = (str(FULL_DISK), str(number), str(rng.randrange(1, 40)))
    check_refusal(lab.start(cache, out, program=program), cache, before, outcome)
    lab.finish(cache, out, outcome)


def spoil_disk(read_only: bool, lab: Lab, outcome: Outcome, rng: random.Random) -> None:
    """Run on a disk that is read-only or nearly full, then on the same one with that undone."""
    disk = lab.new_folder("disk")
    disk.mkdir()
    if not mount("-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)):
        outcome.impossible = "mounting is not allowed here"
        return
    try:
        cache, out = disk / "cache", lab.new_folder("run")
        shutil.copytree(lab.partial_cache(*rng.choice(RECOMPUTED)), cache)
        before = written(cache)
        size = shutil.disk_usage(disk).used + rng.randrange(4096, 150_000)
        mount("-o", "remount," + ("ro" if read_only else f"size={size}"), str(disk))
        check_refusal(lab.start(cache, out), cache, before, outcome)
        mount("-o", f"remount,rw,size={DISK}", str(disk))
        lab.finish(cache, out, outcome)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def mount(*arguments: str) -> bool:
    if not shutil.which("mount"):
        return False
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


def check_refusal(command: Command, cache: Path, before: dict[str, int], outcome: Outcome) -> None:
    code = command.end()
    if code == 0:
        return  # there was space enough
    outcome.injections += 1
    errors = [line for line in command.lines if line.startswith("error: cannot write ")]
    one_line = code == 2 and len(errors) == 1 and command.lines[-1:] == errors
    outcome.expect(one_line, f"exit {code}: {command.lines[-1:]}")
    outcome.expect("Traceback" not in "".join(command.lines), "a traceback")
    outcome.count_lost(cache, before)
    outcome.expect(cache_command("verify", cache).returncode == 0, "a damaged value")


def share_cache(fault: str, lab: Lab, outcome: Outcome, rng: random.Random) -> None:
    """Start eight runs with overlapping specs in one cache, and disturb them."""
    cache, runs = lab.new_folder("cache"), []
    for i in range(PROCESSES):
        spec = [*NETWORKS, "--max-cases", "4", "--metrics", "truth", "--metrics", "validity"]
        for name in rng.sample(EXPLAINERS, rng.randint(2, 4)):
            spec += ["--explainer", name]
        for name in ("linear:steps=60", "mlp:steps=40")[: 1 + i % 2]:
            spec += ["--head", name]
        one = Lab(lab.new_folder(f"process-{i}"), spec)
        out = one.new_folder("run")
        runs.append((one, out, one.start(cache, out)))
    outcome.injections += 1
    outcome.runs += PROCESSES
    if fault == "kill":
        runs[0][2].wait_for(lambda: drafts(cache))
        time.sleep(rng.uniform(0, 1.5))
        *_, victim = runs.pop(rng.randrange(PROCESSES))
        victim.process.kill()
    while fault == "unlock" and any(command.process.poll() is None for *_, command in runs):
        for lock in (cache / "locks").glob("*.lock"):
            lock.unlink(missing_ok=True)
        time.sleep(0.05)
    for *_, command in runs:
        outcome.expect_success(command)
    outcome.expect(cache_command("verify", cache).returncode == 0, "a damaged value")
    if fault == "none":
        rows = [row for _, out, _ in runs for row in stages(out) if row["status"] == "done"]
        computed = Counter(row["key"] for row in rows)
        outcome.expect(max(computed.values()) == 1, "a stage was computed twice")
    for one, out, _ in runs:
        alone = one.new_folder("alone")
        if outcome.expect_success(one.start(cache, alone)) and records(alone) != records(out):
            outcome.different.append("records")


class Scenario(NamedTuple):
    """A fault: what happens, how it is injected, what is promised."""

    title: str
    injection: str
    promise: str
    inject: Callable[[Lab, Outcome, random.Random], None]


DISK_FULL = "One line names the folder, exit code 2. With space again, the same command goes on."
STOP = "A training saves its step, all else stops at once; one line says how to go on."
SCENARIOS = {
    "kill": Scenario(
        "The process is killed", "SIGKILL in the midst of random stages",
        "The same command goes on from the last complete stage or checkpoint.",
        partial(interrupt, signal.SIGKILL),
    ),
    "interrupt": Scenario(
        "Ctrl-C", "SIGINT in the midst of random stages", STOP, partial(interrupt, signal.SIGINT)
    ),
    "terminate": Scenario(
        "The system ends the process", "SIGTERM in the midst of random stages", STOP,
        partial(interrupt, signal.SIGTERM),
    ),
    "moment": Scenario(
        "A signal at any moment", "SIGINT or SIGTERM between the first import and the last file",
        "Exit code 130 or 143; every file is whole or absent.", stop_at_any_moment,
    ),
    "full-disk": Scenario(
        "The disk is full", "a tmpfs with a random number of bytes left", DISK_FULL,
        partial(spoil_disk, False),
    ),
    "no-space": Scenario(
        "A write fails", "ENOSPC from a random write, after half of it", DISK_FULL,
        partial(refuse_write, errno.ENOSPC),
    ),
    "quota": Scenario(
        "The quota is used up", "EDQUOT from a random write, after half of it", DISK_FULL,
        partial(refuse_write, errno.EDQUOT),
    ),
    "read-only": Scenario(
        "The cache is read-only", "a tmpfs mounted read-only", DISK_FULL, partial(spoil_disk, True)
    ),
    "damage": Scenario(
        "A file is damaged", "a random cached file: a flipped bit, cut in half, emptied, removed",
        "`cache verify` names it; a run computes the value again, with the same records.", damage,
    ),
    "gc": Scenario(
        "The cache is cleaned during a run", "`cache gc`, then `cache gc --unused-for 0`",
        "The stage in progress stays; values removed before they are read are recomputed.",
        collect_garbage,
    ),
    "shared": Scenario(
        "Eight processes share a cache", "eight runs with overlapping specs",
        "Each stage is computed once; the other processes wait for it.",
        partial(share_cache, "none"),
    ),
    "victim": Scenario(
        "One of eight processes is killed", "SIGKILL while eight runs share a cache",
        "Its locks die with it; another process takes its stage over.",
        partial(share_cache, "kill"),
    ),
    "workers": Scenario(
        "A worker of a run is killed", "SIGKILL of one of two processes in random stages",
        "The run warns and goes on with another worker.", kill_local_workers,
    ),
    "ray": Scenario(
        "A worker of a Ray cluster is killed", "SIGKILL of a worker on one of two nodes",
        "The run warns and goes on with another worker.", kill_ray_workers,
    ),
    "locks": Scenario(
        "Locks are lost", "all lock files removed every 50 ms while eight runs share a cache",
        "Stages are computed more than once; values are intact and records equal.",
        partial(share_cache, "unlock"),
    ),
}  # fmt: skip


def inject(name: str, lab: Lab, times: int, seed: int) -> Outcome:
    """Inject a fault so many times, or fewer where it cannot be injected here."""
    outcome, rng = Outcome(), random.Random(f"{seed} {name}")
    while outcome.injections < times and not outcome.impossible:
        SCENARIOS[name].inject(lab, outcome, rng)
    return outcome
