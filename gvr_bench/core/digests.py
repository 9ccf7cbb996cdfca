"""Digests of files and of the code of components from elsewhere, which stand for them in keys."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import distributions, entry_points
from pathlib import Path

from gvr_bench.core.dependencies import CACHED, state_of
from gvr_bench.core.errors import UsageError

OURS = "gvr-bench"  # its components carry versions instead


def source_digest(module: str) -> str:
    """Return a digest of a module's code, without importing it; empty for code of gvr-bench.

    It covers the module's whole package, and all of the user's own modules that these files import,
    directly or not. An installed package counts by the digests that its installer recorded.
    """
    content = hashlib.sha256()
    known: set[str] = set()
    waiting = [module.partition(".")[0]]
    if waiting[0] in our_packages():
        return ""
    while waiting:
        top = waiting.pop()
        if top in known or top in our_packages():
            continue
        known.add(top)
        places = places_of(top)
        if any(map(is_installed, places[:1])):
            # What the user's own code imports from there is not theirs.
            if top == module.partition(".")[0]:
                content.update(record_of(top).encode())
            continue
        for file in files_of(places):
            text = file.read_bytes()
            content.update(f"{top} {file.name} {len(text)}\n".encode() + text)
            waiting += sorted(set(imports(text)) - known)
    return content.hexdigest()


def code_digest() -> str:
    """Return a digest of all code that a run can use: ours, that of plugins, and what is installed.

    It knows files by size and time, installed packages by the time of their installation.
    """
    parts = [sys.version]
    for folder in filter(os.path.isdir, sys.path):
        with os.scandir(folder) as entries:
            records = [e for e in entries if e.name.endswith((".dist-info", ".egg-info"))]
            parts += sorted(f"{entry.name} {entry.stat().st_mtime_ns}" for entry in records)
    for top in sorted(our_packages()):
        parts += [f"{folder} {state_of(f'{folder}/')}" for folder in folders_of(top)]
    tops = {point.value.partition(".")[0] for point in entry_points(group="gvr_bench")}
    own = [top for top in sorted(tops) if not any(map(is_installed, places_of(top)[:1]))]
    parts += map(source_digest, own)
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def folders_of(top: str) -> list[Path]:
    """Return the folder of a package and those below it."""
    roots = [place for place in places_of(top) if place.is_dir()]
    paths = [path for root in roots for path in (root, *sorted(root.rglob("*")))]
    return [path for path in paths if path.is_dir() and path.name != CACHED]


def files_of(places: list[Path]) -> list[Path]:
    """Return the Python files of folders, and those that are named themselves."""
    return sorted(
        file for place in places for file in (place.rglob("*.py") if place.is_dir() else [place])
    )


def places_of(top: str) -> list[Path]:
    """Return the folders of a top-level package, or the file of a module; none of one without."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # __main__, and modules that a test made up
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [Path(folder) for folder in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec.has_location and spec.origin else []


def imports(text: bytes) -> Iterator[str]:
    """Yield the top-level names that a file imports; none where it is no Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def is_installed(path: Path) -> bool:
    """Whether a file or folder belongs to Python or to an installed package."""
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    return path.is_relative_to(Path(sysconfig.get_path("stdlib")))


@functools.cache
def our_packages() -> frozenset[str]:
    """Return the top-level packages of gvr-bench."""
    for distribution in distributions(name=OURS):
        points = distribution.entry_points.select(group="gvr_bench")
        return frozenset({"gvr_bench", *(point.value.partition(".")[0] for point in points)})
    return frozenset({"gvr_bench"})


def record_of(top: str) -> str:
    """Return the digests that an installer recorded of a package, or else its files' names."""
    for distribution in distributions():
        if any(part.parts[:1] in ((top,), (f"{top}.py",)) for part in distribution.files or ()):
            return distribution.read_text("RECORD") or distribution.version
    return " ".join(file.name for file in files_of(places_of(top)))


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and sizes of a folder's files.

    Raises `UsageError` that names it.
    """
    try:
        if path.is_dir():
            sizes = (f"{f.relative_to(path)} {f.stat().st_size}\n" for f in files_below(path))
            return hashlib.sha256("".join(sizes).encode("utf-8", "surrogateescape")).hexdigest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error


def files_below(folder: Path) -> list[Path]:
    """Return the files of a folder and its subfolders in order, without hidden ones."""
    paths = sorted(folder.rglob("*"))
    hidden = (any(part.startswith(".") for part in p.relative_to(folder).parts) for p in paths)
    return [path for path, out in zip(paths, hidden, strict=True) if not out and path.is_file()]
