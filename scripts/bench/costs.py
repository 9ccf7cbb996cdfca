"""Measure what stages cost, and write what `gvr-bench run --dry-run` tells where a cache is empty.

    python scripts/bench/costs.py                    # gvr_bench/costs.json, about an hour
    python scripts/bench/costs.py --job small --rounds 1 --add

Every job is an ordinary run with few images and steps, in a cache of its own and without the
networks that come with the package. Kept is the shortest time of all rounds, for other work on the
machine only adds to it, and the median of the memory. With `--add` the rounds of the file that is
there count as well, for the same machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from timing import processor, say

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.serialization import read_json, write_json
from gvr_bench.core.stage import canonical
from gvr_bench.pipeline.estimates import COSTS, Measured, as_row, measured_in

RUN = """
import sys
from pathlib import Path
from gvr_bench.cli.main import main
from gvr_bench.cache.artifacts import Store

Store.__init__.__defaults__ = (Path(sys.argv.pop(1)),)  # nothing comes with the package
main()
"""
SMALL = (
    "--dataset", "phantom:train=2000,validation=200,test=400",
    "--generator", "wgan-gp:iterations=100", "--encoder", "conv:steps=100", "--max-cases", "50",
)  # fmt: skip
JOBS = {
    "small": SMALL,
    "all": (*SMALL, "--metrics", "all"),
    "choices": (
        "--dataset", "phantom:train=2000,validation=200,test=400",
        "--generator", "vae:steps=100", "--generator", "ae:steps=100",
        "--encoder", "conv:steps=100", "--encoder", "supervised:steps=100",
        "--head", "linear", "--head", "mlp", "--head", "residual", "--head", "robust-mlp",
        "--explainer", "random", "--metrics", "cost",
    ),
    "digits": (
        "--dataset", "digits", "--generator", "wgan-gp:iterations=100",
        "--encoder", "conv:steps=100", "--max-cases", "50", "--explainer", "random",
        "--metrics", "cost",
    ),
    "standard": (
        "--profile", "standard", "--dataset", "phantom:train=600,validation=100,test=200",
        "--generator", "wgan-gp:iterations=10", "--encoder", "conv:steps=10",
        "--explainer", "gvr:steps=50", "--explainer", "gvr-robust:steps=20",
        "--explainer", "saliency", "--explainer", "integrated-gradients",
        "--explainer", "occlusion", "--explainer", "lime:samples=300", "--explainer", "random",
        "--max-cases", "8", "--metrics", "truth", "--metrics", "validity", "--metrics", "oracle",
        "--metrics", "decoding",
    ),
    "paper": (
        "--profile", "paper", "--dataset", "phantom:train=256,validation=40,test=80",
        "--generator", "wgan-gp:iterations=2", "--encoder", "conv:steps=3",
        "--explainer", "gvr:steps=20", "--explainer", "gvr-robust:steps=10",
        "--explainer", "saliency", "--explainer", "integrated-gradients:steps=10",
        "--explainer", "random", "--max-cases", "4", "--metrics", "truth", "--metrics", "validity",
        "--metrics", "oracle",
    ),
}  # fmt: skip


def run(arguments: Iterable[str]) -> tuple[list[Measured], float]:
    """Carry out a run in an empty cache; return what its stages took, and the memory at its end.

    Every stage starts the peak anew, so at the end it is that of the program and its leftovers.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        command = ["run", *arguments, "--device", "cpu", "--cache-dir", str(root / "cache")]
        command += ["--out", str(root / "run")]
        with (root / "log").open("w") as log:
            started = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-c", RUN, str(root / "none"), *command], stdout=log, stderr=log
            )
            _, status, used = os.wait4(started.pid, 0)
        if os.waitstatus_to_exitcode(status) > 1:
            raise SystemExit(f"error: {' '.join(command)}: {(root / 'log').read_text()[-500:]}")
        found = list(measured_in(ArtifactCache(root / "cache", root / "none")))
    return found, used.ru_maxrss * 1024.0


def together(rows: list[Measured]) -> dict[str, Any]:
    """Return a row of what the same job took in several rounds."""
    row = {**as_row(rows[0]), "rounds": len(rows)}
    row["seconds"] = round(min(one.seconds for one in rows), 4)
    memory = [one.memory for one in rows if one.memory is not None]
    row["memory"] = statistics.median(memory) if memory else None
    return row


def measure(names: Iterable[str], rounds: int) -> dict[str, Any]:
    """Return the content of `costs.json`."""
    found: dict[str, list[Measured]] = defaultdict(list)
    floors, loads = [], []
    for name in names:
        for number in range(rounds):
            started = time.monotonic()
            rows, peak = run(JOBS[name])
            floors.append(peak)
            for row in rows:
                found[canonical(as_row(row)["job"])].append(row)
            took = time.monotonic() - started
            loads.append(os.getloadavg()[0])
            say(f"{name}: round {number + 1} of {rounds}, {took:.0f} s, load {loads[-1]:.1f}")
    threads = torch.get_num_threads()
    machine = f"{processor()}, {threads} thread{'s' if threads > 1 else ''}"
    return {
        "machine": machine,
        "torch": str(torch.__version__),
        "load": statistics.median(loads),
        "floor": min(floors),
        "measured": [together(rows) for _, rows in sorted(found.items())],
    }


def added(before: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """Return the content of both, the shorter time of each stage. Exits for another machine."""
    if before["machine"] != told["machine"]:
        raise SystemExit(f"error: the file is of {before['machine']}, this is {told['machine']}")
    rows = {canonical(row["job"]): row for row in before["measured"]}
    for row in told["measured"]:
        known = rows.get(canonical(row["job"]), row)
        shorter = min(known, row, key=lambda one: one["seconds"])
        rounds = row["rounds"] + (known["rounds"] if known is not row else 0)
        rows[canonical(row["job"])] = {**row, "seconds": shorter["seconds"], "rounds": rounds}
    floor = min(before["floor"], told["floor"])
    return {**told, "floor": floor, "measured": [row for _, row in sorted(rows.items())]}


def main() -> None:
    """Measure what was asked for and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--job", action="append", choices=[*JOBS], help="one; repeatable")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=COSTS)
    parser.add_argument("--add", action="store_true", help="add to the rounds that the file holds")
    given = parser.parse_args()
    told = measure(given.job or JOBS, given.rounds)
    if given.add and given.out.is_file():
        told = added(read_json(given.out), told)
    write_json(given.out, told)
    say(f"wrote {given.out}: {len(told['measured'])} stages, {len(json.dumps(told)):,} bytes")


if __name__ == "__main__":
    main()
