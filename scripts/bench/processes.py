"""How long a training takes with one process and with several: `python scripts/bench/processes.py`.

Each round trains the same WGAN-GP (64 px) once in every way, under torchrun where there are several
processes, each time in an empty cache, and reads what the stage took.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from timing import ratio, say, spread, table

WAYS = ((1, 1), (1, 2), (2, 1))  # processes, threads of each
TRAINING = "wgan-gp:iterations={iterations},batch=64"
REST = (
    "--dataset", "phantom:size=64,train=1000,validation=50,test=100", "--encoder", "conv:steps=1",
    "--head", "linear:steps=1", "--explainer", "random", "--metrics", "cost", "--max-cases", "2",
    "--device", "cpu",
)  # fmt: skip


def seconds_of(processes: int, threads: int, iterations: int) -> float:
    """Train once; return what the stage took."""
    alone = [sys.executable, "-m", "gvr_bench"]
    several = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    several += ["--nproc-per-node", str(processes), "-m", "gvr_bench"]
    with tempfile.TemporaryDirectory() as folder:
        command = [*(alone if processes == 1 else several), "run", *REST]
        command += ["--generator", TRAINING.format(iterations=iterations)]
        command += ["--cache-dir", f"{folder}/cache", "--out", f"{folder}/run"]
        done = subprocess.run(  # noqa: S603 - our own command
            command, env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"error: {' '.join(command)}: {done.stderr[-500:]}")
        (meta,) = Path(folder).glob("cache/generator/*/meta.json")
        return float(json.loads(meta.read_text())["seconds"])


def main() -> None:
    """Measure in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=20)
    given = parser.parse_args()
    found: dict[tuple[int, int], list[float]] = defaultdict(list)
    for number in range(given.rounds):
        for way in WAYS:
            found[way].append(seconds_of(*way, given.iterations))
            say(f"round {number + 1} of {given.rounds}, {way}: {found[way][-1]:.1f} s")
    first = found[WAYS[0]]
    rows = [[*way, spread(times), ratio(first, times)] for way, times in found.items()]
    print(f"WGAN-GP, 64 px, batch 64, {given.iterations} iterations; {given.rounds} rounds\n")
    print(table(["processes", "threads of each", "seconds", "times faster than the first"], rows))


if __name__ == "__main__":
    main()
