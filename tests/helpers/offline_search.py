"""Types into the search of a site on disk and prints what it finds: a process of its own.

Two of playwright's loops in one process disturb each other, and other tests have one.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from playwright.sync_api import Request, sync_playwright


def main(site: Path, words: str, chromium: str) -> None:
    """Print the links that were found, and what a page without a network should not have done."""
    wrong: list[str] = []

    def allow(asked: Request) -> None:
        if not re.match(r"(file|data|blob):", asked.url):
            wrong.append(asked.url)

    with sync_playwright() as run:
        page = run.chromium.launch(executable_path=chromium).new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", allow)
        page.goto((site / "index.html").as_uri())
        page.get_by_role("textbox", name="Search").click()
        page.keyboard.type(words)
        found = page.locator(".md-search-result__item a")
        found.first.wait_for(timeout=20_000)
        links = found.evaluate_all("all => all.map(a => a.href)")
    sys.stdout.write(json.dumps({"links": links, "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
