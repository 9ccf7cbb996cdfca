"""The commands `gvr-bench cache ...`. Bodies are short, and slow imports are inside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gvr_bench.cli.shell import SOME_FAILED, errors_in_one_line, print_table

if TYPE_CHECKING:
    from gvr_bench.cache.artifacts import ArtifactCache

cache_app = typer.Typer(
    help="Look after the cache of models, latents and scores.", no_args_is_help=True
)

CacheDir = Annotated[
    Path | None,
    typer.Option(
        "--cache-dir",
        metavar="DIR",
        help="The cache.  [default: $GVR_BENCH_CACHE or the user's cache]",
        show_default=False,
    ),
]


def open_store(root: Path | None) -> ArtifactCache:
    """Open the cache that is meant. Raises `UsageError` where there is none."""
    from gvr_bench.cache.artifacts import ArtifactCache, default_cache_dir
    from gvr_bench.core.errors import UsageError

    cache = ArtifactCache(root or default_cache_dir())
    if not cache.root.is_dir():
        raise UsageError(f"there is no cache at {cache.root}; name another with --cache-dir DIR")
    return cache


@cache_app.command("info")
def cache_info(cache: CacheDir = None) -> None:
    """Say what lies in the cache."""
    with errors_in_one_line():
        from gvr_bench.cache.gc import collect, contents

        opened = open_store(cache)
        rows = contents(opened)
        print(f"cache  {opened.root}")
        print_table(
            ("stage", "values", "unfinished", "size"),
            [(r.kind, str(r.values), str(r.unfinished or ""), megabytes(r.size)) for r in rows],
        )
        left = collect(opened, dry=True)
        print(f"{megabytes(sum(r.size for r in rows))} in {sum(r.values for r in rows)} values")
        if left:
            print(f"gvr-bench cache gc frees {megabytes(sum(piece.size for piece in left))}")


@cache_app.command("verify")
def cache_verify(
    cache: CacheDir = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Remove what is damaged; the next run computes it again.")
    ] = False,
) -> None:
    """Compare every value with its checksums and name each damaged one; exit 1 if there is one.

    A run checks what it reads and computes damaged values again by itself.
    """
    with errors_in_one_line():
        from gvr_bench.cache.gc import remove_damaged, verify

        opened = open_store(cache)
        found = verify(opened)
        for fault in found.faults:
            print(f"damaged: {fault.folder}: {fault.text}")
        removed = remove_damaged(opened, found.faults) if fix else []
        print(f"{found.values - len(found.faults)} of {found.values} values are whole")
        if removed:
            print(f"{len(removed)} removed; the next run computes them again")
        left = [fault for fault in found.faults if fault not in removed]
        if any(fault.ours for fault in left):
            print("remove the damaged ones with: gvr-bench cache verify --fix")
        if any(not fault.ours for fault in left):
            print("some came with the package: pip install --force-reinstall gvr-bench")
        if left:
            raise typer.Exit(SOME_FAILED)


@cache_app.command("gc")
def cache_gc(
    cache: CacheDir = None,
    unused_for: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="DAYS", help="Also remove what was part of no run for so long."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Remove what nothing refers to; safe beside runs.

    That is what killed processes left half written, checkpoints of complete
    stages, locks of stages that are gone, and values that no spec leads to in
    this version: written, or their inputs, by one with another schema.

    Checkpoints of unfinished trainings stay, for the command that was killed
    goes on from them, and so do values of plugins that are not installed here.
    Old ones of all of these go with --unused-for.
    """
    with errors_in_one_line():
        from gvr_bench.cache.gc import collect

        found = collect(open_store(cache), unused_for, dry_run)
        reasons = dict.fromkeys(piece.why for piece in found)
        for why in reasons:
            sizes = [piece.size for piece in found if piece.why == why]
            print(f"{len(sizes):5}  {megabytes(sum(sizes)):>10}  {why}")
        freed = megabytes(sum(piece.size for piece in found))
        print(f"{freed} would be freed" if dry_run else f"{freed} freed")


def megabytes(size: int) -> str:
    """Write bytes for people."""
    return f"{size / 1e6:,.1f} MB"
