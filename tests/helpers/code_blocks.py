"""The code of a page: `python code_blocks.py PAGE` runs it all, in order, in the current folder.

Languages after the page (`python`, `console`) exclude the others. Python blocks share one
namespace,
console blocks go to bash. The comment `<!-- not run: why -->` before a block excludes it, and
`<!-- file: NAME -->` writes it to a file.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

COMMENT = re.compile(r"<!-- (not run|file): (.+?) -->\s*$")
RUN = ("python", "console")


@dataclass(frozen=True)
class Block:
    """A block of code: its line, and the reason why it is not run or the file it is written to."""

    language: str
    code: str
    line: int
    not_run: str = ""
    file: str = ""


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page that are run, written to a file, or marked as not run."""
    blocks, marks = [], {}
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "html_block":
            comment = COMMENT.search(token.content)
            marks = {comment[1].replace(" ", "_"): comment[2]} if comment else {}
        elif token.type == "fence":
            assert token.map
            language = token.info.split()[0] if token.info else ""
            if language in RUN or marks:
                blocks.append(Block(language, token.content, token.map[0] + 1, **marks))
            marks = {}
    return blocks


def run(page: Path, blocks: list[Block]) -> None:
    """Run blocks one after the other. Raises what they raise."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for block in blocks:
        if block.file:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(block.code, encoding="utf-8")
        elif block.not_run:
            continue
        elif block.language == "python":
            source = "\n" * block.line + block.code  # so that a traceback has the page's lines
            exec(compile(source, str(page), "exec"), namespace)
        else:
            command = ["bash", "-e", "-o", "pipefail", "-c", block.code]
            done = subprocess.run(
                command, env=os.environ | {"PATH": path}, stdin=subprocess.DEVNULL
            )
            if done.returncode:
                sys.exit(f"{page}:{block.line}: exit code {done.returncode} of\n{block.code}")


if __name__ == "__main__":
    sys.path[0] = ""  # the working directory, as in an interactive session
    page, languages = Path(sys.argv[1]), sys.argv[2:] or RUN
    run(page, [block for block in blocks_of(page) if block.file or block.language in languages])
