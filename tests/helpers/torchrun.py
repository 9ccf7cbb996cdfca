"""Commands that torchrun starts several times."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
HELPERS = [HERE, HERE.parent / "core", HERE.parent / "plugins"]  # what the scripts import


def start(
    processes: int, script: str, *typed: str, **settings: object
) -> subprocess.CompletedProcess[str]:
    """Run a script of this folder in one process, or in several by torchrun; output as text."""
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(str(folder) for folder in HELPERS),
        **{name.upper(): str(value) for name, value in settings.items()},
    }
    return subprocess.run(
        [sys.executable, *(several if processes > 1 else ()), str(HERE / script), *typed],
        capture_output=True, text=True, timeout=150, env=environment,
    )  # fmt: skip


def end_lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines by which gvr-bench itself ended on stderr, without those of torchrun."""
    ours = ("error: ", "terminated", "interrupted", "warning: ")
    return [line for line in done.stderr.splitlines() if line.startswith(ours)]
