"""The code on the pages works."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import typer
from code_blocks import Block, blocks_of

from gvr_bench.cli.main import app
from gvr_bench.cli.report import names_in
from gvr_bench.config.spec import parse_choice
from gvr_bench.core.errors import UsageError
from gvr_bench.core.types import KINDS
from gvr_bench.registry.registry import installed

ROOT = Path(__file__).parents[2]
RUNNER = ROOT / "tests" / "helpers" / "code_blocks.py"
PARSED = {  # pages whose commands are parsed but not run
    "README.md": "it takes minutes, data or a network",
    "CONTRIBUTING.md": "it runs these tests",
}
QUICK = {*PARSED, "index.md", "get-data.md", "repeat-the-papers.md"}  # the others train something
LIMIT = 600  # seconds for a page


def pages() -> list[Path]:
    """Return the pages with code."""
    paths = [*(ROOT / name for name in PARSED), *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in paths if blocks_of(page)]


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, with a reason where they are not run."""
    why = PARSED.get(page.name)
    return [
        Block(b.language, b.code, b.line, why) if why and b.language == "console" else b
        for b in blocks_of(page)
    ]


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def page_param(page: Path) -> Any:
    marks = [] if page.name in QUICK else [pytest.mark.slow]
    return pytest.param(page, marks=marks, id=page_name(page))


def commands_in(code: str) -> Iterator[list[str]]:
    """Yield the arguments of each `gvr-bench` in console code."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        for i, word in enumerate(words):
            if Path(word).name == "gvr-bench" and words[i - 1 : i] != ["install"]:
                rest = words[i + 1 :]
                ends = [j for j, w in enumerate(rest) if w in ("&&", "||", "|", ";", ">", "2>")]
                yield rest[: ends[0]] if ends else rest


def parse(arguments: list[str]) -> dict[str, Any]:
    """Parse a command without carrying it out; return its options."""
    parsed: dict[str, Any] = {}
    root = typer.main.get_command(app)

    def silence(command: Any) -> None:
        for below in getattr(command, "commands", {}).values():
            below.callback = lambda **options: parsed.update(options)
            silence(below)

    silence(root)
    try:
        root(arguments, standalone_mode=False)
    except Exception as error:
        pytest.fail(f"gvr-bench {shlex.join(arguments)}: {error}")
    return parsed


def check(arguments: list[str]) -> None:
    """Fail where a command has options, components or settings that are not there."""
    options = parse(arguments)
    for kind in KINDS:
        typed = options.get(kind) or ()
        for text in names_in(typed) if isinstance(typed, str) else typed:  # of `explain`, `report`
            choice = parse_choice(text)
            if choice.name != "all":
                installed().settings(kind, choice.name, "quick", choice.settings)


NOT_RUN = [
    pytest.param(block, id=f"{page_name(page)}:{block.line}")
    for page in pages()
    for block in blocks(page)
    if block.not_run and block.language == "console"
]
RUNNABLE = [page for page in pages() if not all(block.not_run for block in blocks(page))]


@pytest.mark.parametrize("page", [page_param(page) for page in RUNNABLE])
def test_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    places = {"GVR_BENCH_CACHE": tmp_path / "cache", "HOME": tmp_path, "XDG_CACHE_HOME": tmp_path}
    done = subprocess.run(
        [sys.executable, RUNNER, page, *(["python"] if page.name in PARSED else [])],
        cwd=work,
        env=os.environ | {name: str(place) for name, place in places.items()},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("block", NOT_RUN)
def test_commands_not_run_are_valid(block: Block) -> None:
    for arguments in commands_in(block.code):
        check(arguments)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("gvr-bench run --explaner gvr", "explaner"),
        ("gvr-bench run --explainer gvrr", "did you mean 'gvr'"),
        ("gvr-bench run --explainer gvr:steps=0", "steps"),
        ("gvr-bench rum", "rum"),
        ("cd x && .venv/bin/gvr-bench run --max-cases ten", "ten"),
    ],
)
def test_invalid_commands_are_noticed(text: str, fault: str) -> None:
    (arguments,) = commands_in(text)
    with pytest.raises((pytest.fail.Exception, UsageError), match=fault):
        check(arguments)


def write_page(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(dedent(text))
    return page


def run_page(page: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, RUNNER, page], cwd=page.parent, capture_output=True, text=True
    )


def test_failed_blocks_name_their_line(tmp_path: Path) -> None:
    done = run_page(write_page(tmp_path, "# Page\n\n```console\ntrue\nfalse\ntrue\n```\n"))
    assert done.returncode == 1
    assert "page.md:3: exit code 1" in done.stderr
    done = run_page(write_page(tmp_path, "# Page\n\n```python\nx = 1\nassert x == 2\n```\n"))
    assert done.returncode == 1
    assert 'page.md", line 5' in done.stderr


def test_blocks_run_in_order(tmp_path: Path) -> None:
    page = write_page(
        tmp_path,
        """
        <!-- file: one/two.txt -->

        ```text
        three
        ```

        ```python
        from pathlib import Path
        read = Path("one/two.txt").read_text()
        ```

        1. In a list:

            ```console
            echo four >> one/two.txt
            ```

        <!-- not run: it would fail -->

        ```console
        false
        ```

        ```python
        print(read, Path("one/two.txt").read_text())
        ```
        """,
    )
    done = run_page(page)
    assert done.stdout.split() == ["three", "three", "four"], done
    assert [block.not_run for block in blocks_of(page)] == ["", "", "", "it would fail", ""]
