"""Inject every fault many times and write `docs/faults.md`: `python tests/faults --times 20`."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from harness import Lab, Outcome
from scenarios import SCENARIOS, inject

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->"
RARE = {"gc": 10, "shared": 10, "victim": 10, "locks": 10, "read-only": 10}  # times less often


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=SCENARIOS, nargs="+", default=list(SCENARIOS))
    options = parser.parse_args()
    command = f"python tests/faults --times {options.times} --seed {options.seed}"
    outcomes = {}
    with tempfile.TemporaryDirectory(prefix="faults-") as home:
        lab = Lab(Path(home))
        for name in options.only:
            start = time.monotonic()
            times = max(1, options.times // RARE.get(name, 1))
            outcomes[name] = inject(name, lab, times, options.seed)
            seconds = time.monotonic() - start
            print(f"{name}: {losses(outcomes[name])} ({seconds:.0f} s)", flush=True)
            write(command, outcomes)
    raise SystemExit(any(o.lost or o.different or o.wrong for o in outcomes.values()))


def write(command: str, outcomes: dict[str, Outcome]) -> None:
    """Put the table of what is measured so far in the place of an older one."""
    if outcomes.keys() != SCENARIOS.keys():
        command += f" --only {' '.join(outcomes)}"
    lines = [
        f"Measured with `{command}`.",
        "",
        "| what happens | how it is injected | times | runs | what is promised | lost |",
        "| --- | --- | ---: | ---: | --- | --- |",
    ]
    for name, o in outcomes.items():
        title, injection, promise, _ = SCENARIOS[name]
        cells = title, injection, o.injections, o.runs, promise, losses(o)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    text = PAGE.read_text(encoding="utf-8")
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    PAGE.write_text(head + BEGIN + "\n".join(lines) + "\n" + END + tail, encoding="utf-8")


def losses(outcome: Outcome) -> str:
    if outcome.impossible:
        return f"not injected: {outcome.impossible}"
    parts = [f"{outcome.lost} values"] if outcome.lost else []
    parts += [f"{len(outcome.different)} results differ"] if outcome.different else []
    return "; ".join(parts + sorted(set(outcome.wrong))).replace("|", "\\|") or "nothing"


if __name__ == "__main__":
    main()
