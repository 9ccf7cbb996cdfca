"""The page as it behaves in a browser: of one run and of several, without a network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import pytest
from made_up_run import SOME, whole_scoreboard, write_run, write_whole_run

from gvr_bench.report.html import write_html, write_shared_html

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "<img src=x onerror=alert(1)>\"'& 🫁 אב"


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of one run, and that of several."""
    folder = tmp_path_factory.mktemp("pages")
    single = write_whole_run(folder / "phantom-1c3d", whole_scoreboard(metrics=SOME))
    other = write_whole_run(folder / "phantom-99ab", whole_scoreboard(1, metrics=SOME))
    return {
        "one": write_html(single),
        "several": write_shared_html([single, other], folder / "comparison.html"),
    }


@contextmanager
def opened(browser: Browser, path: Path, **options: Any) -> Iterator[Page]:
    """A page that asks for nothing but itself, and whose scripts complain of nothing."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None if re.match(r"(file|data|blob):", request.url) else wrong.append(request.url)
        ),
    )
    page.goto(path.as_uri())
    yield page
    context.close()
    assert wrong == []


@pytest.fixture
def page(browser: Browser, pages: dict[str, Path]) -> Iterator[Page]:
    with opened(browser, pages["one"]) as page:
        yield page


UNFOLD = "document.querySelectorAll('details').forEach(item => { item.open = true })"


def names(page: Page, block: int = 0) -> list[str]:
    """The explainers of a block of the scoreboard that can be seen, from the top."""
    return page.locator(f"#scoreboard table >> nth={block} >> tbody tr:visible").evaluate_all(
        "rows => rows.map(row => row.dataset.name)"
    )


def heading(page: Page, title: str) -> Any:
    """The heading of the first table that has this score."""
    return page.locator("#scoreboard").get_by_role("button", name=title, exact=True).first


@pytest.mark.parametrize("which", ["one", "several"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_scrolls_sideways(
    browser: Browser, pages: dict[str, Path], which: str, width: int
) -> None:
    with opened(browser, pages[which], viewport={"width": width, "height": 800}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("which", ["one", "several"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(
    browser: Browser, pages: dict[str, Path], which: str, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with opened(browser, pages[which], color_scheme=scheme) as page:
        page.evaluate(UNFOLD)
        page.locator("#scoreboard .ask").first.click()
        violations = axe.run(page).response["violations"]
    assert [
        (fault["id"], [node["target"] for node in fault["nodes"]][:5])
        for fault in violations
        if fault["impact"] in ("serious", "critical")
    ] == []


def test_hostile_name_stays_text(browser: Browser, tmp_path: Path) -> None:
    board = whole_scoreboard(n=10, metrics=SOME)
    folder = write_whole_run(tmp_path / "run", board)
    lines = (folder / "records.jsonl").read_text(encoding="utf-8")
    name = HOSTILE.replace('"', '\\"')
    text = lines.replace('"saliency"', f'"{name}"')
    (folder / "records.jsonl").write_text(text, encoding="utf-8")
    with opened(browser, write_html(folder)) as page:
        assert HOSTILE in names(page)


def test_heading_cycles_sort_order(page: Page) -> None:
    original = names(page)
    button = heading(page, "true-change correlation")
    head = page.locator("#scoreboard th[data-metric=true_change_correlation]").first
    states = []
    for _ in range(3):
        button.click()
        states.append((head.get_attribute("aria-sort"), names(page)))
    (first, best), (second, worst), (third, back) = states
    assert (first, second, third) == ("descending", "ascending", None)
    assert best[0] == worst[-1] == "gvr"
    assert original[-3:] != best[-3:]
    assert best.index("intensity") < best.index("cam")  # controls stand where their scores are
    assert back == original


def test_lower_is_better_sorts_ascending(page: Page) -> None:
    page.evaluate(UNFOLD)
    heading(page, "time per image").click()
    head = page.locator("#scoreboard th[data-metric=seconds_per_image]")
    assert head.get_attribute("aria-sort") == "ascending"
    values = head.locator("xpath=ancestor::table//tbody/tr/td").evaluate_all(
        "cells => cells.map(cell => Number(cell.dataset.value))"
    )
    assert values == sorted(values)


def test_enter_sorts_missing_values_last(browser: Browser, run: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for file in run.iterdir():
        (tmp_path / "run" / file.name).write_bytes(file.read_bytes())
    with opened(browser, write_html(tmp_path / "run")) as page:
        for order in ("descending", "ascending"):
            heading(page, "true-change correlation").press("Enter")
            head = page.locator("#scoreboard th[data-metric=true_change_correlation]").first
            assert head.get_attribute("aria-sort") == order
            assert set(names(page)[-3:]) == {"saliency", "layer_gradcam", "lime"}


def test_keyboard_opens_and_closes_meaning(page: Page) -> None:
    meaning = page.locator(".tip").filter(has_text="Average precision").first
    page.evaluate(UNFOLD)
    button = page.get_by_role("button", name="What pixel AP means").first
    assert not meaning.is_visible()
    button.focus()
    page.keyboard.press("Enter")
    text = meaning.inner_text()
    for part in ("pixel AP", "0 to 1; higher is better", "Fooled by", "Source"):
        assert part in text
    page.keyboard.press("Escape")
    assert not meaning.is_visible()


def test_tap_elsewhere_closes_meaning(browser: Browser, pages: dict[str, Path]) -> None:
    options = {"viewport": {"width": 390, "height": 800}, "has_touch": True}
    with opened(browser, pages["one"], **options) as page:
        page.evaluate(UNFOLD)
        page.get_by_role("button", name="What pixel AP means").first.tap()
        meaning = page.locator(".tip:popover-open")
        assert "pixel AP" in meaning.inner_text()
        box = meaning.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        page.locator("#scoreboard h2").tap()
        assert meaning.count() == 0


def paper(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_chosen_theme_overrides_system_and_persists(
    browser: Browser, pages: dict[str, Path]
) -> None:
    with opened(browser, pages["one"], color_scheme="light") as page:
        light = paper(page)
        page.get_by_label("dark", exact=True).check(force=True)
        dark = paper(page)
        assert dark != light
        page.reload()
        assert paper(page) == dark
        assert page.get_by_label("dark", exact=True).is_checked()
        page.get_by_label("auto", exact=True).check(force=True)
        assert paper(page) == light
        page.emulate_media(color_scheme="dark")
        assert paper(page) == dark


def test_theme_works_without_local_storage(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["one"], color_scheme="light") as page:
        light = paper(page)
        page.add_init_script(
            "Object.defineProperty(window, 'localStorage', {get() { throw new Error('no') }})"
        )
        page.reload()
        page.get_by_label("dark", exact=True).check(force=True)
        assert paper(page) != light


def test_print_is_light_without_controls(browser: Browser, pages: dict[str, Path]) -> None:
    sheet = {"width": 1032, "height": 703}  # A4 across, less the margins
    with opened(browser, pages["one"], viewport=sheet, color_scheme="dark") as page:
        page.emulate_media(media="print")
        assert paper(page) == "rgb(255, 255, 255)"
        for gone in (".contents", ".theme", ".ask", ".skip"):
            assert not page.locator(gone).first.is_visible()
        right = page.locator("table").evaluate_all(
            "tables => Math.max(...tables.map(one => one.getBoundingClientRect().right))"
        )
        assert right <= sheet["width"]


def test_page_is_readable_without_scripts(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["one"], java_script_enabled=False) as page:
        assert not page.locator(".theme").is_visible()
        assert page.locator("#scoreboard table").first.is_visible()
        page.locator("#models > summary").click()
        assert page.locator("#models table").first.is_visible()


def test_skip_link_comes_first(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


@pytest.mark.parametrize("width", [1280, 390])
def test_long_name_keeps_numbers_visible(browser: Browser, tmp_path: Path, width: int) -> None:
    folder = write_run(tmp_path / "run", n=2, size=8)
    lines = (folder / "records.jsonl").read_text(encoding="utf-8")
    text = lines.replace('"saliency"', f'"{"x" * 300}"')
    (folder / "records.jsonl").write_text(text, encoding="utf-8")
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/explainers"].move("saliency", "x" * 200)
    with opened(browser, write_html(folder), viewport={"width": width, "height": 800}) as page:
        cell = page.locator("#scoreboard tr[data-name^=xxx] td").first
        assert cell.evaluate("one => one.getBoundingClientRect().right") <= width
        page.evaluate(UNFOLD)
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_details_unfold_without_sideways_scroll(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["one"], viewport={"width": 390, "height": 800}) as page:
        page.evaluate(UNFOLD)
        assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize("width", [1400, 390])
def test_links_open_folded_sections(browser: Browser, pages: dict[str, Path], width: int) -> None:
    with opened(browser, pages["one"], viewport={"width": width, "height": 800}) as page:
        assert not page.locator("#provenance pre").is_visible()
        for title in ("Provenance", "Glossary"):
            page.get_by_role("navigation", name="Sections").get_by_role("link", name=title).click()
        page.locator("#provenance pre").wait_for()
        page.locator("#scores dl").first.wait_for()
        page.locator("#scores[open] summary").click()
        page.get_by_role("navigation", name="Sections").get_by_role("link", name="Glossary").click()
        page.locator("#scores dl").first.wait_for()  # the address is the same as before


@pytest.mark.parametrize("which", ["one", "several"])
def test_folded_page_is_short(browser: Browser, pages: dict[str, Path], which: str) -> None:
    with opened(browser, pages[which], viewport={"width": 1400, "height": 900}) as page:
        assert page.evaluate("document.documentElement.scrollHeight") < 6000
        assert page.locator("#scoreboard table:visible").count() == 1


def test_terms_explain_themselves(page: Page) -> None:
    page.locator("#scoreboard").get_by_role("button", name="oracle", exact=True).first.click()
    assert "never saw a latent" in page.locator(".tip:popover-open").inner_text()


def test_pixel_view_is_a_switch(page: Page) -> None:
    picture = page.locator("#maps .frame img:not(.contour)").nth(2)
    rendering = "item => getComputedStyle(item).imageRendering"
    assert picture.evaluate(rendering) == "auto"
    page.get_by_label("pixel view").check()
    assert picture.evaluate(rendering) == "pixelated"
