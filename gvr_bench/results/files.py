"""The names of the files of a run folder, and the command that writes them again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

RECORDS, SPEC, ENVIRONMENT = "records.jsonl", "spec.toml", "environment.json"
CASES, VALUES, PROTOCOLS, DATA = "cases.h5", "values.h5", "protocols.json", "data.json"
FILES = RECORDS, SPEC, ENVIRONMENT  # what a finished run has


def run_names(folders: Sequence[Path]) -> list[str]:
    """Return what each run is called: the name of its folder, its path where several share it."""
    names = [folder.resolve().name for folder in folders]
    return [
        name if names.count(name) == 1 else str(folder)
        for name, folder in zip(names, folders, strict=True)
    ]


def rerun_command(folder: Path, *options: str) -> str:
    """Return what to type to make the run in a folder again, with these options."""
    return shlex.join(("gvr-bench", "run", str(folder / SPEC), *options, "--out", str(folder)))
