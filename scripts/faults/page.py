"""Writes `docs/faults.md` from what the faults came to: `python scripts/faults/page.py`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
HEAD = """\
# What happens when...

A run is a chain of stages. The value of each is written under another name, and renamed into the
cache when it is whole; `meta.json`, with size and SHA-256 of every file, comes last. A training
keeps a checkpoint besides. So whatever ends a run, the same command goes on: it reuses the stages
that are complete and takes a training up from its checkpoint.

The table is written from measurements: a small run through all kinds of stage is disturbed, taken
up with the same command, and its records and stored values are compared, bit for bit, with those of
a run that nothing disturbed. Only times and memory may differ. "Lost" counts stored values that had
to be made again without being damaged, and results that are not those of the undisturbed run.

<!-- not run: it takes an hour, and root -->

```console
{commands}
python scripts/faults/page.py
```
"""
TAIL = """
## What is not kept

- Of a training, the steps since its last checkpoint (`--checkpoint-every`, 30 seconds) when the
  process is killed outright; none when it is asked to stop.
- Of explanations and scores, the part (four batches of cases) that was being computed, and parts
  that took less than half a second; of a data set, the chunk that was being read.
- Of any other stage, what it had computed. Such stages take seconds to minutes.
- Values are renamed, not flushed to the disk: after a power cut the last ones may be empty or cut
  short. Sizes are compared whenever a value is looked up and digests when a file is first read, so
  that such values are computed again, with a warning.
- A signal in the first tenths of a second, while Python itself starts, is Python's to answer.
"""


def page(results: dict[str, Any]) -> str:
    """Return the page."""
    commands = commands_of(results)
    lines = [HEAD.format(commands="\n".join(commands))]
    lines += ["| what happens | how it was injected | times | runs | what came of it | lost |"]
    lines += ["| --- | --- | ---: | ---: | --- | --- |"]
    for row in results.values():
        cells = (
            row["name"],
            row["injected"],
            row["times"],
            row["runs"],
            row["came_of"],
            lost(row),
        )
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    lines += ["", "## Where it struck", ""]
    for row in results.values():
        if row["where"]:
            counts = sorted(row["where"].items(), key=lambda item: -item[1])
            said = ", ".join(f"{where} {count}" for where, count in counts)
            lines += [f"- {row['name']}: {said}."]
    lines += [f"- {row['name']}: {figures(row)}." for row in results.values() if row["figures"]]
    return "\n".join(lines) + "\n" + TAIL


def commands_of(results: dict[str, Any]) -> list[str]:
    """Return the commands that the results are from."""
    by_arguments: dict[str, list[str]] = {}
    for name, row in results.items():
        by_arguments.setdefault(row["arguments"], []).append(name)
    return [
        f"python scripts/faults {arguments} --results docs/faults.json --only {' '.join(names)}"
        for arguments, names in by_arguments.items()
    ]


def lost(row: dict[str, Any]) -> str:
    """Say what was lost."""
    if not row["times"]:
        return "not tried"
    parts = [f"{row['values_lost']} values"] if row["values_lost"] else []
    parts += [f"{len(row['differing'])} results differ"] if row["differing"] else []
    parts += sorted(set(row["wrong"]))
    return "; ".join(parts).replace("|", "\\|") or "nothing"


def figures(row: dict[str, Any]) -> str:
    """Write the figures of a fault."""
    return ", ".join(f"{name} {round(value, 1):g}" for name, value in row["figures"].items())


if __name__ == "__main__":
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "faults.json"
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else DOCS / "faults.md"
    target.write_text(page(json.loads(source.read_text())), encoding="utf-8")
    print(target)
