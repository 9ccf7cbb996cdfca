"""A site of runs as it behaves in a browser: from its first page to a run, to a method and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from test_browser_page import opened
from test_report_site import make

from gvr_bench.report.site import write_site

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_site_leads_to_runs_and_methods(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, write_site([make(tmp_path / "first")], tmp_path / "site")) as page:
        pages = page.locator("#pages")
        assert pages.locator("tbody tr").count() == 1
        pages.get_by_role("link", name="gvr", exact=True).click()
        assert page.locator("h1").inner_text() == "gvr"
        assert page.locator("#scores table").first.is_visible()
        page.get_by_role("link", name="All runs and methods").click()
        page.locator("#pages").get_by_role("link", name="first").click()
        assert "gvr" in page.locator(".verdict").first.inner_text()
