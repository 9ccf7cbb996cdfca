"""Run benchmarks one after another and write what they print to `reports/performance.md`.

    python scripts/bench/report.py
    python scripts/bench/report.py training "rationales RUN --cache-dir DIR"
    python scripts/bench/report.py --add processes

Each argument is a script of this folder with its own arguments. With `--add` the page keeps what
other commands have measured.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from timing import machine, say

HERE = Path(__file__).parent
FAILED = "stopped early with code"
DEFAULT = ["training", "explainers", "phantom"]  # those that need no arguments
INTRODUCTION = """# Performance

Medians, with the smallest and the largest value in brackets. What is compared took turns in one
process, and ratios are taken round by round. To measure again: `python scripts/bench/report.py`.
"""


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmark", nargs="*", default=DEFAULT)
    parser.add_argument("--add", action="store_true", help="keep the page's other sections")
    parser.add_argument("--out", type=Path, default=Path("reports/performance.md"))
    given = parser.parse_args()
    jobs = [shlex.split(job) for job in given.benchmark]
    for name, *_ in jobs:
        if not (HERE / f"{name}.py").is_file():
            raise SystemExit(
                f"error: no benchmark '{name}' in {HERE}; one of: {', '.join(DEFAULT)}"
            )
    head, before = machine(), {}
    if given.add:
        before = read_sections(given.out)
        head = before.pop("", head)
    sections = [f"{INTRODUCTION}\n{head}", *(before | measured(jobs)).values()]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text("\n".join(sections), encoding="utf-8")
    say(f"wrote {given.out}")
    if any(FAILED in part for part in sections):
        raise SystemExit("error: not all of it could be measured; see the page")


def measured(jobs: list[list[str]]) -> dict[str, str]:
    """Run benchmarks; return sections by command."""
    return {command_of(text): text for job in jobs for text in [section(*job)]}


def read_sections(page: Path) -> dict[str, str]:
    """Return the sections of a page by command, and by an empty one the table of the machine."""
    if not page.is_file():
        return {}
    head, *parts = page.read_text(encoding="utf-8").split("\n## ")
    sections = {command_of(part): f"## {part}" for part in parts}
    return {"": head.removeprefix(INTRODUCTION).strip("\n") + "\n", **sections}


def command_of(section: str) -> str:
    """Return the first command that a section names."""
    return section.split("`")[1]


def section(name: str, *arguments: str) -> str:
    """Run one benchmark; return its heading, the command that repeats it, and its output."""
    say(f"{name} {shlex.join(arguments)}")
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(HERE / f"{name}.py"), *arguments], stdout=subprocess.PIPE, text=True
    )
    shown = shlex.join("DIR" if Path(word).is_absolute() else word for word in arguments)
    command = f"python scripts/bench/{name}.py {shown}".strip()
    text = done.stdout.strip("\n")
    body = text if "| --- |" in text else f"```\n{text}\n```"
    failed = f"\n\nIt {FAILED} {done.returncode}." if done.returncode else ""
    return f"## {name}\n\n`{command}`\n\n{body}{failed}\n"


if __name__ == "__main__":
    main()
