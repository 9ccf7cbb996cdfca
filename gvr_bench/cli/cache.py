"""The commands `gvr-bench cache ...`. Slow imports are inside the functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gvr_bench.cli.options import option
from gvr_bench.cli.shell import SOME_FAILED, errors_in_one_line, print_table

if TYPE_CHECKING:
    from gvr_bench.cache.artifacts import ArtifactCache

cache_app = typer.Typer(
    help="Show, check and clean the cache of models, latents and scores.", no_args_is_help=True
)

CacheDir = Annotated[
    Path | None,
    option(
        "--cache-dir",
        metavar="DIR",
        help="Cache folder.  [default: $GVR_BENCH_CACHE or the user's cache]",
    ),
]


def open_cache(root: Path | None) -> ArtifactCache:
    """Open an existing cache. Raises `UsageError` if the folder does not exist."""
    from gvr_bench.cache.artifacts import ArtifactCache, default_cache_dir
    from gvr_bench.core.errors import UsageError

    cache = ArtifactCache(root or default_cache_dir())
    if not cache.root.is_dir():
        raise UsageError(f"there is no cache at {cache.root}; name another with --cache-dir DIR")
    return cache


@cache_app.command("info")
def cache_info(cache: CacheDir = None) -> None:
    """Show the number and size of cached values by stage."""
    with errors_in_one_line():
        from gvr_bench.cache.gc import collect, contents

        opened = open_cache(cache)
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
        bool, typer.Option("--fix", help="Remove damaged values; the next run recomputes them.")
    ] = False,
) -> None:
    """Check the checksums of all values and list the damaged ones; exit 1 if there are any.

    Runs do this for the values they read, and recompute damaged ones by themselves.
    """
    with errors_in_one_line():
        from gvr_bench.cache.gc import remove_damaged, verify

        opened = open_cache(cache)
        values, faults = verify(opened)
        for fault in faults:
            print(f"damaged: {fault.folder}: {fault.text}")
        removed = remove_damaged(opened, faults) if fix else []
        print(f"{values - len(faults)} of {values} values are intact")
        if removed:
            print(f"{len(removed)} removed; the next run recomputes them")
        left = [fault for fault in faults if fault not in removed]
        if any(fault.ours for fault in left):
            print("to remove the damaged values: gvr-bench cache verify --fix")
        if any(not fault.ours for fault in left):
            print(
                "to replace damaged files of the package: pip install --force-reinstall gvr-bench"
            )
        if left:
            raise typer.Exit(SOME_FAILED)


@cache_app.command("gc")
def cache_gc(
    cache: CacheDir = None,
    unused_for: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="DAYS",
            help="Also remove values that no run has used for this many days.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed.")] = False,
) -> None:
    """Remove unused files; safe while runs are active.

    Removed are partial files of killed processes, checkpoints of complete
    stages, locks of removed stages, and values written by a version with
    another schema (or computed from such values).

    Checkpoints of unfinished trainings are left, so that the run can resume,
    and so are values of plugins that are not installed. Use --unused-for to
    remove old ones too.
    """
    with errors_in_one_line():
        from gvr_bench.cache.gc import collect

        pieces = collect(open_cache(cache), unused_for, dry_run)
        for why in dict.fromkeys(piece.why for piece in pieces):
            sizes = [piece.size for piece in pieces if piece.why == why]
            print(f"{len(sizes):5}  {megabytes(sum(sizes)):>10}  {why}")
        freed = megabytes(sum(piece.size for piece in pieces))
        print(f"{freed} would be freed" if dry_run else f"{freed} freed")


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
