"""Injects faults into runs and counts what is lost.

    python scripts/faults --times 100 --seed 0 --results docs/faults.json
    python scripts/faults/page.py

A run that goes through every kind of stage is disturbed again and again, taken up with the same
command, and what it came to is compared bit for bit with an undisturbed run. `--times` is the
number of kills; the other faults come less often, in proportion. Mounting small disks needs root.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from crowd import crowd, locks_lost, owner_killed
from damage import damage, tidying
from disks import full, read_only, refused_writes
from lab import Lab
from outcome import Outcome, Scenario
from strikes import kills, stops

SCENARIOS: dict[str, tuple[float, Scenario]] = {  # name -> how often, of `--times`
    "kill": (1.0, kills),
    "sigint": (0.2, lambda lab, n, rng: stops(lab, signal.SIGINT, n, rng)),
    "sigterm": (0.2, lambda lab, n, rng: stops(lab, signal.SIGTERM, n, rng)),
    "full": (0.1, full),
    "enospc": (0.1, lambda lab, n, rng: refused_writes(lab, "ENOSPC", n, rng)),
    "quota": (0.1, lambda lab, n, rng: refused_writes(lab, "EDQUOT", n, rng)),
    "read-only": (0.03, read_only),
    "damage": (0.3, damage),
    "gc": (0.03, tidying),
    "crowd": (0.03, crowd),
    "owner": (0.03, owner_killed),
    "locks": (0.02, locks_lost),
}


def main() -> int:
    """Run the scenarios that are asked for; exit 1 where something was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=100, help="kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=SCENARIOS, nargs="+", default=list(SCENARIOS))
    parser.add_argument("--results", type=Path, help="a JSON file; other faults in it stay")
    parser.add_argument("--home", type=Path, help="work here, and leave everything there")
    given = parser.parse_args()
    home = given.home or Path(tempfile.mkdtemp(prefix="faults-"))
    lab = Lab(home)
    fine = True
    for name in given.only:
        share, scenario = SCENARIOS[name]
        began = time.monotonic()
        rng = random.Random(f"{given.seed} {name}")
        outcome = scenario(lab, max(1, round(share * given.times)), rng)
        fine &= outcome.fine
        print(f"{outcome.line()}  ({time.monotonic() - began:.0f} s)", flush=True)
        if given.results:
            keep(given.results, name, outcome, f"--times {given.times} --seed {given.seed}")
    if not given.home:
        shutil.rmtree(home)
    return 0 if fine else 1


def keep(path: Path, name: str, outcome: Outcome, arguments: str) -> None:
    """Put what came of a fault into the file with results."""
    known = json.loads(path.read_text()) if path.is_file() else {}
    known[name] = {**outcome.as_json(), "arguments": arguments}
    ordered = {one: known[one] for one in SCENARIOS if one in known}
    path.write_text(json.dumps(ordered, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
