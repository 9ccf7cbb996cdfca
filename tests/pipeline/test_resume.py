"""A run that is killed goes on where it was, and ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import command, outcomes_of, records_of

ARGUMENTS = {
    "generator": "wgan-gp:iterations=40,width=4,batch=8",
    "encoder": "conv:steps=60,width=4",
    "explainer": ["saliency", "gvr:steps=5", "random"],
}

# The command, which says on stderr from which step each training starts, keeps a checkpoint after
# every seventh step, and kills itself after the step of the training that its environment names.
DYING = """
import os, signal, sys
from gvr_bench.cli.main import main
from gvr_bench.cache.checkpoints import FileCheckpoints

kind, step = os.environ["KILL_IN"].split()
load, steps = FileCheckpoints.load, {}

def saying(self):
    found = load(self)
    steps[self.work] = found[0] if found else 0
    print("starts", self.work.parents[1].name, steps[self.work], file=sys.stderr, flush=True)
    return found

def due(self):
    steps[self.work] += 1
    if self.work.parents[1].name == kind and steps[self.work] == int(step):
        os.kill(os.getpid(), signal.SIGKILL)
    return steps[self.work] % 7 == 0

FileCheckpoints.load, FileCheckpoints.due = saying, due
main()
"""


def run(cache: Path, out: Path, *, kill_in: str = "nothing 0") -> tuple[int, dict[str, int]]:
    """Run to the end or to the kill; return the exit code and the first step of each training."""
    typed = command("--cache-dir", str(cache), "--out", str(out), **ARGUMENTS)
    done = subprocess.run(
        [sys.executable, "-c", DYING, *typed],
        capture_output=True, text=True, timeout=300, env={**os.environ, "KILL_IN": kill_in},
    )  # fmt: skip
    printed = [line.split() for line in done.stderr.splitlines() if line.startswith("starts ")]
    return done.returncode, {kind: int(step) for _, kind, step in printed}


def comparable(out: Path) -> list[dict[str, Any]]:
    """Records without what a clock says, or the system of memory."""
    return [
        {name: value for name, value in record.items() if name != "seconds"}
        for record in records_of(out)
        if record["metric"] not in {"seconds_per_image", "peak_memory_mb"}
    ]


@pytest.mark.slow
def test_killed_run_gives_the_same_records(
    tmp_path: Path,
) -> None:
    cache, out = tmp_path / "cache", tmp_path / "killed"
    assert run(cache, out, kill_in="generator 25") == (-signal.SIGKILL, {"generator": 0})
    code, starts = run(cache, out, kill_in="encoder 40")
    assert (code, starts) == (-signal.SIGKILL, {"generator": 21, "encoder": 0})
    assert not out.exists() or not list(out.iterdir())
    code, starts = run(cache, out)
    assert (code, starts["encoder"], starts["head"]) == (0, 35, 0)
    assert "generator" not in starts
    assert outcomes_of(out)["cached"] == ["data phantom", "cases phantom", "generator wgan-gp"]

    code, starts = run(tmp_path / "another cache", tmp_path / "whole")
    assert (code, set(starts.values())) == (0, {0})
    assert comparable(out) == comparable(tmp_path / "whole")
