"""Hooks of `mkdocs build`: pages made from the code, and files that lie outside of `docs`."""

from __future__ import annotations

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
    *(
        f"reports/{name}.{end}"
        for name in ("phantom", "mnist", "digits")
        for end in ("html", "png")
    ),
)  # in the site they lie where they lie in the repository, seen from docs


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is not in `docs`."""
    for name, text in (*pages(), *metric_pages()):
        files.append(File.generated(config, name, content=text))
    for name in OUTSIDE:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Lead links out of `docs` into the site, and give code that is a file its name as title."""
    here = page.file.src_uri
    if here in OUTSIDE:
        markdown = re.sub(r"\]\((\.\./)*docs/", r"](\1", markdown)
    else:
        up = "../" * here.count("/")
        markdown = markdown.replace(f"]({up}../", f"]({up}")
    return re.sub(r"<!-- file: (\S+) -->\s*\n```(\w+)", r'```\2 title="\1"', markdown)
