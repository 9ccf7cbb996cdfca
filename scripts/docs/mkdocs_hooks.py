"""Hooks of `mkdocs build`: generated pages, and files outside of `docs`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from gen_metric_docs import metric_pages  # mkdocs looks beside this file
from gen_reference_docs import pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
REPORTS = ("phantom", "mnist", "digits")
OUTSIDE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "reports/performance.md",
    *(f"reports/{name}.{suffix}" for name in REPORTS for suffix in ("html", "png")),
)  # the site keeps these paths


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add generated pages, and files outside of `docs`."""
    for name, text in (*pages(), *metric_pages()):
        files.append(File.generated(config, name, content=text))
    for name in OUTSIDE:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        name = f"notebooks/{path.stem}.md"
        files.append(File.generated(config, name, content=notebook_page(path)))
    return files


def notebook_page(path: Path) -> str:
    """The cells of a notebook as a page, with a link to the file behind its title."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    parts = [
        text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
        for cell, text in zip(cells, texts, strict=True)
    ]
    parts.insert(
        1, f"[Download this notebook]({path.name}), and run it with `pip install notebook`."
    )
    return "\n\n".join(parts) + "\n"


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Rewrite links that leave `docs`, and show the file name of code that is a file."""
    path = page.file.src_uri
    if path in OUTSIDE:
        markdown = re.sub(r"\]\((\.\./)*docs/", r"](\1", markdown)
    else:
        up = "../" * path.count("/")
        markdown = markdown.replace(f"]({up}../", f"]({up}")
    return re.sub(r"<!-- file: (\S+) -->\s*\n```(\w+)", r'```\2 title="\1"', markdown)
