"""What a page tells people to type works."""

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
from gvr_bench.config.spec import parse_choice
from gvr_bench.core.errors import UsageError
from gvr_bench.core.types import KINDS
from gvr_bench.registry.registry import installed

ROOT = Path(__file__).parents[2]
RUNNER = ROOT / "tests" / "helpers" / "code_blocks.py"
READ = {  # pages whose commands are only read
    "README.md": "it takes minutes, data or a network",
    "CONTRIBUTING.md": "it runs these tests",
}
QUICK = {*READ, "index.md", "get-data.md", "repeat-the-papers.md"}  # the others train something
LIMIT = 600  # seconds for a page


def pages() -> list[Path]:
    """The pages with code."""
    found = [*(ROOT / name for name in READ), *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if blocks_of(page)]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, those that are only read marked so."""
    why = READ.get(page.name)
    return [
        Block(b.language, b.code, b.line, why) if why and b.language == "console" else b
        for b in blocks_of(page)
    ]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def marked(page: Path) -> Any:
    marks = [] if page.name in QUICK else [pytest.mark.slow]
    return pytest.param(page, marks=marks, id=named(page))


def spoken(code: str) -> Iterator[list[str]]:
    """Yield the arguments of each `gvr-bench` in console code."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        for i, word in enumerate(words):
            if Path(word).name == "gvr-bench" and words[i - 1 : i] != ["install"]:
                rest = words[i + 1 :]
                ends = [j for j, w in enumerate(rest) if w in ("&&", "||", "|", ";", ">", "2>")]
                yield rest[: ends[0]] if ends else rest


def understood(arguments: list[str]) -> dict[str, Any]:
    """Parse a command without carrying it out; return its options."""
    told: dict[str, Any] = {}
    root = typer.main.get_command(app)

    def silence(command: Any) -> None:
        for below in getattr(command, "commands", {}).values():
            below.callback = lambda **options: told.update(options)
            silence(below)

    silence(root)
    try:
        root(arguments, standalone_mode=False)
    except Exception as error:
        pytest.fail(f"gvr-bench {shlex.join(arguments)}: {error}")
    return told


def check(arguments: list[str]) -> None:
    """Fail where a command has options, components or settings that are not there."""
    told = understood(arguments)
    for kind in KINDS:
        for text in told.get(kind) or ():
            choice = parse_choice(text)
            if choice.name != "all":
                installed().settings(kind, choice.name, "quick", choice.settings)


ALL = [(page, block) for page in pages() for block in blocks(page)]
LEFT = [
    pytest.param(page, block, id=f"{named(page)}:{block.line}")
    for page, block in ALL
    if block.not_run
]


@pytest.mark.parametrize("page", [marked(page) for page in pages()])
def test_what_a_page_tells_to_type_works(page: Path, tmp_path: Path) -> None:
    if all(block.not_run for block in blocks(page)):
        pytest.skip("nothing on it is run")
    work = tmp_path / "work"
    work.mkdir()
    places = {"GVR_BENCH_CACHE": tmp_path / "cache", "HOME": tmp_path, "XDG_CACHE_HOME": tmp_path}
    done = subprocess.run(
        [sys.executable, RUNNER, page, *(["python"] if page.name in READ else [])],
        cwd=work,
        env=os.environ | {name: str(place) for name, place in places.items()},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(("page", "block"), LEFT)
def test_what_is_not_run_can_be_understood(page: Path, block: Block) -> None:
    for arguments in spoken(block.code) if block.language == "console" else ():
        check(arguments)
    pytest.skip(f"not run: {block.not_run}")


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
def test_a_command_that_does_not_exist_is_noticed(text: str, fault: str) -> None:
    (arguments,) = spoken(text)
    with pytest.raises((pytest.fail.Exception, UsageError), match=fault):
        check(arguments)


def written(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(dedent(text))
    return page


def typed(page: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, RUNNER, page], cwd=page.parent, capture_output=True, text=True
    )


def test_a_block_that_fails_is_named_with_its_line(tmp_path: Path) -> None:
    done = typed(written(tmp_path, "# Page\n\n```console\ntrue\nfalse\ntrue\n```\n"))
    assert done.returncode == 1
    assert "page.md:3: exit code 1" in done.stderr
    done = typed(written(tmp_path, "# Page\n\n```python\nx = 1\nassert x == 2\n```\n"))
    assert done.returncode == 1
    assert 'page.md", line 5' in done.stderr


def test_blocks_run_in_order_and_say_what_they_are_for(tmp_path: Path) -> None:
    page = written(
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
    done = typed(page)
    assert done.stdout.split() == ["three", "three", "four"], done
    assert [block.not_run for block in blocks_of(page)] == ["", "", "", "it would fail", ""]
