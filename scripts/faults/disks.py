"""Disks that are full, or may not be written."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab import Lab, Started, whole_values
from outcome import NotPossible, Outcome, scenario

BAD_INPUT = 2
SPACE = 2**28  # bytes of a small disk
BROKEN = Path(__file__).with_name("broken_disk.py")
MADE_AGAIN: tuple[set[str], ...] = (  # kinds of stage, with all that is made of them
    {"scores"},
    {"perturbed_explanations", "scores"},
    {"class_autoencoders", "scores"},
    {"explanations", "perturbed_explanations", "scores"},
    {"prediction", "decoding"},
)


@contextlib.contextmanager
def small_disk(lab: Lab, rng: random.Random) -> Iterator[Path]:
    """Mount a small file system with a cache for a run to go on with. Raises `NotPossible`."""
    source, at = lab.partial(rng.choice(MADE_AGAIN)), lab.fresh("disk")
    at.mkdir(parents=True)
    if not mount("-t", "tmpfs", "-o", f"size={SPACE}", "tmpfs", str(at)):
        raise NotPossible("mounting is not allowed here")
    try:
        shutil.copytree(source, at / "cache")
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)
    shutil.rmtree(source)


def mount(*arguments: str) -> bool:
    """Mount something; false where that is not allowed."""
    try:
        return (
            subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0
        )
    except FileNotFoundError:
        return False


@scenario(
    "The disk is full",
    "a tmpfs with a random number of bytes left",
    "One line names the folder, and the exit code is 2. With space again, the same command "
    "goes on.",
)
def full(lab: Lab, outcome: Outcome, rng: random.Random) -> None:
    """Run on a disk that is full at a random moment, then on the same one enlarged."""
    with small_disk(lab, rng) as disk:
        cache, out = disk / "cache", disk / "run"
        size = shutil.disk_usage(disk).used + rng.randrange(4096, 150_000)
        mount("-o", f"remount,size={size}", str(disk))
        before = whole_values(cache)
        check_refusal(lab.run(cache, out), cache, before, outcome)
        mount("-o", f"remount,size={SPACE}", str(disk))
        go_on(lab, cache, out, outcome)


@scenario(
    "The cache may not be written",
    "a tmpfs mounted read-only",
    "One line names the folder, and the exit code is 2; nothing is computed in vain. What is "
    "stored can be used with `--cached-only`.",
)
def read_only(lab: Lab, outcome: Outcome, rng: random.Random) -> None:
    """Run on a cache that may not be written, then on the same one that may."""
    with small_disk(lab, rng) as disk:
        cache, out = disk / "cache", lab.fresh("run")
        before = whole_values(cache)
        mount("-o", "remount,ro", str(disk))
        check_refusal(lab.run(cache, out), cache, before, outcome)
        mount("-o", "remount,rw", str(disk))
        go_on(lab, cache, out, outcome)
        mount("-o", "remount,ro", str(disk))
        if lab.run(cache, out, "--cached-only").wait():
            outcome.wrong.append("--cached-only failed")


def refused_writes(lab: Lab, name: str, times: int, rng: random.Random) -> Outcome:
    """Let a random write of a run fail half-way with an error number of that name."""
    outcome = Outcome(
        {"EDQUOT": "The quota is used up", "ENOSPC": "A write fails for want of space"}[name],
        f"{name} from a random write of a run, after half of it",
        "One line names the file, and the exit code is 2. With space again, the same command "
        "goes on.",
    )
    while outcome.times < times:
        cache, out = lab.partial(rng.choice(MADE_AGAIN)), lab.fresh("run")
        before = whole_values(cache)
        program = (str(BROKEN), name, str(rng.randrange(1, 40)))
        refused = lab.start(cache, out, program=program)
        check_refusal(refused, cache, before, outcome)
        go_on(lab, cache, out, outcome)
        shutil.rmtree(cache)
    return outcome


def check_refusal(refused: Started, cache: Path, before: dict[str, int], outcome: Outcome) -> None:
    """Hold a run that could not write to what is promised of it."""
    code, said = refused.wait(), refused.said
    if code == 0:
        return  # there was space enough
    outcome.times += 1
    errors = [line for line in said if line.startswith("error: cannot write ")]
    if code != BAD_INPUT or len(errors) != 1 or said[-1:] != errors:
        outcome.wrong.append(f"exit {code}: {said[-1:]}")
    if any("Traceback" in line for line in said):
        outcome.wrong.append("a traceback")
    after = whole_values(cache)
    outcome.values_lost += sum(after.get(key) != when for key, when in before.items())
    if cache("verify", "--cache-dir", str(cache)).returncode:
        outcome.wrong.append("a damaged value")


def go_on(lab: Lab, cache: Path, out: Path, outcome: Outcome) -> None:
    """Run again, with space."""
    outcome.runs += 1
    ran = lab.run(cache, out)
    if ran.wait():
        outcome.wrong.append(f"exit {ran.wait()}: {ran.said[-1:]}")
        return
    outcome.differing += lab.differences(cache, out)
