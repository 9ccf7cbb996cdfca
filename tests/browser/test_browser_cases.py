"""The gallery of cases as it behaves in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from made_up_run import add_trajectories, add_values, write_run
from test_browser_page import opened
from test_report_html import HOSTILE

from gvr_bench.report.formatting import clean
from gvr_bench.report.html import write_html

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

N = 40
LOST = [i for i in range(N) if i % 5 == 3 and i % 9 != 4]
AT_THE_TOP = """one => {
  const { top } = one.getBoundingClientRect();
  return 0 < top && top < 450;
}"""
UNSEEN = [i for i in range(N) if i % 9 == 4]


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of forty cases and two explainers whose way can be followed; all of one is found."""
    folder = write_run(tmp_path_factory.mktemp("galleries") / "run", n=N, size=16)
    add_values(add_trajectories(folder, twins=["latent-shift"]), N)
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/predicts_source"] = np.arange(N) % 9 != 4
        file["0/explainers/latent-shift/success"][:] = True
        file["0/explainers/gvr/steps"][0] = 28
    write_html(folder)
    return folder


@pytest.fixture
def page(browser: Browser, gallery: Path) -> Iterator[Page]:
    with opened(browser, gallery / "index.html") as page:
        yield page


def case(page: Page, i: int) -> Locator:
    return page.locator(f"#case-0-{i}")


def shown(page: Page) -> list[int]:
    """The cases that can be seen, from the top."""
    ids = page.locator(".case:visible").evaluate_all("all => all.map(item => item.id)")
    return [int(name.split("-")[2]) for name in ids]


def unfold(page: Page, i: int) -> Locator:
    """Open a case of the page that is shown."""
    case(page, i).locator("summary").click()
    return case(page, i)


def choose(page: Page, name: str, label: str) -> None:
    page.get_by_role("combobox", name=name, exact=True).select_option(label=label)


def pages_of(page: Page) -> list[int]:
    """The cases of all pages, in order."""
    found = shown(page)
    while page.get_by_role("button", name="next").is_enabled():
        page.get_by_role("button", name="next").click()
        found += shown(page)
    return found


def sort_by(page: Page, what: str, of: str | None = None) -> None:
    page.get_by_role("combobox", name="sort by", exact=True).select_option(label=what)
    if of:
        page.get_by_role("combobox", name="of", exact=True).select_option(label=of)


def frames(case: Locator, explainer: str) -> list[str]:
    """What the frames of a search say, the visible ones first marked."""
    images = case.get_by_role("group", name=explainer, exact=True).locator(".trajectory img")
    texts: list[str] = images.evaluate_all(
        "all => all.map(item => (item.hidden ? '' : '* ') + item.dataset.text)"
    )
    return texts


def test_pictures_load_when_opened(page: Page) -> None:
    pictures = case(page, 9).locator("img:not(.contour)")
    assert pictures.count() == 1 + 3 + 2 * (1 + 8) + 4 + 3
    assert pictures.evaluate_all("all => all.every(item => item.loading === 'lazy')")
    unfold(page, 9).scroll_into_view_if_needed()
    page.wait_for_function(
        "item => [...item.querySelectorAll('img:not([hidden])')].every(one => one.naturalWidth)",
        arg=case(page, 9).element_handle(),
    )


def test_pages_hold_ten_cases(page: Page) -> None:
    assert shown(page) == list(range(10))
    assert not page.get_by_role("button", name="previous").is_enabled()
    assert pages_of(page) == list(range(N))
    assert page.locator(".toolbar .count").inner_text() == "31 to 40 of 40 cases"


def test_keyboard_moves_the_slider(page: Page) -> None:
    item = unfold(page, 0)
    slider = item.get_by_role("slider", name="gvr: step of the search for").first
    assert (slider.get_attribute("aria-valuetext") or "").startswith("step 28 of 28 · prediction ")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    text = slider.get_attribute("aria-valuetext") or ""
    assert text.startswith("step 24 of 28 · prediction ")
    assert [frame for frame in frames(item, "gvr") if frame.startswith("* ")] == [f"* {text}"]
    page.keyboard.press("Home")
    before = (slider.get_attribute("aria-valuetext") or "").split("prediction ")[1]
    assert f"predicted {before}" in item.locator("summary").inner_text()
    assert item.locator(".trajectory figcaption").first.inner_text() == "reconstruction"


def test_outcomes_filter_cases(page: Page) -> None:
    choose(page, "outcome", "decision not changed")
    assert shown(page) == LOST
    assert (
        page.locator(".toolbar .count").inner_text()
        == f"1 to {len(LOST)} of {len(LOST)} cases, of 40"
    )
    choose(page, "outcome", "not seen by the model")
    assert shown(page) == UNSEEN
    choose(page, "by", "latent-shift")
    choose(page, "outcome", "decision not changed")
    assert shown(page) == []
    assert page.locator(".toolbar .count").inner_text() == "0 of 40 cases"
    choose(page, "outcome", "any")
    assert shown(page) == list(range(10))


def test_oracle_verdicts_filter_cases(browser: Browser, tmp_path: Path) -> None:
    folder = add_values(add_trajectories(write_run(tmp_path / "run", n=5, size=8)), 5)
    with h5py.File(folder / "values.h5", "a") as file:
        part = file["0/gvr"]
        row = [name.decode() for name in part["metrics"][:]].index("oracle_validity")
        part["values"][row] = np.array([1, 0, np.nan, 1, 1])
    with opened(browser, write_html(folder)) as page:
        choose(page, "outcome", "oracle abstains")
        assert shown(page) == [2]
        choose(page, "outcome", "oracle not convinced")
        assert shown(page) == [1]


def test_scores_sort_with_unknown_last(page: Page, gallery: Path) -> None:
    with h5py.File(gallery / "values.h5") as file:
        part = file["0/saliency"]
        names = [name.decode() for name in part["metrics"][:]]
        values = part["values"][names.index("pixel_ap")]
    order = sorted(range(N - 1), key=lambda i: values[i])
    sort_by(page, "pixel AP", "saliency")
    assert pages_of(page) == [*order, N - 1]
    first = case(page, order[0]).locator(".sorted").text_content()
    assert first == f"pixel AP of saliency {values[order[0]]:.3g}"
    assert "not known" in (case(page, N - 1).locator(".sorted").text_content() or "")
    page.locator(".turn").select_option(label="highest first")
    assert pages_of(page) == [*reversed(order), N - 1]
    sort_by(page, "order of the run")
    assert pages_of(page) == list(range(N))


def test_labels_and_steps_sort_cases(page: Page, gallery: Path) -> None:
    with h5py.File(gallery / "cases.h5") as file:
        label, steps = file["0/label"][:], file["0/explainers/gvr/steps"][:]
    sort_by(page, "label")
    page.locator(".turn").select_option(label="highest first")
    assert pages_of(page) == sorted(range(N), key=lambda i: -label[i])
    sort_by(page, "steps", "gvr")
    assert [steps[i] for i in pages_of(page)] == sorted(steps, reverse=True)


def test_search_finds_cases_by_name(page: Page) -> None:
    page.get_by_role("searchbox", name="Search cases").fill("003")
    assert pages_of(page) == [3, *range(30, 40)]
    page.get_by_role("searchbox", name="Search cases").fill("nobody")
    assert page.locator(".toolbar .count").inner_text() == "0 of 40 cases"


def test_hostile_outputs_filter_cases(browser: Browser, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", n=4, size=8, kind="multilabel", unit="", threshold=0.5,
                       outputs=json.dumps(["effusion", HOSTILE]))  # fmt: skip
    with h5py.File(folder / "cases.h5", "a") as file:
        for name in ("source_class", "target_class"):
            del file[f"0/{name}"]
            file[f"0/{name}"] = np.array([0, 1, 0, 1])
        del file["0/sample_id"]
        file["0/sample_id"] = [f"</script>{HOSTILE}{i}" for i in range(4)]
    with opened(browser, write_html(folder)) as page:
        page.get_by_role("combobox", name="output", exact=True).select_option(value=HOSTILE)
        assert shown(page) == [1, 3]
        assert clean(HOSTILE) in case(page, 3).locator("strong").inner_text()


def test_address_opens_a_filtered_case(browser: Browser, gallery: Path) -> None:
    with opened(browser, gallery / "index.html") as page:
        choose(page, "outcome", "decision not changed")
        page.evaluate("location.hash = '#case-0-30'")
        page.wait_for_function(AT_THE_TOP, arg=case(page, 30).element_handle())
        assert page.evaluate("document.activeElement.parentElement.id") == "case-0-30"
        assert shown(page) == list(range(30, 40))


def test_print_shows_pictures_without_controls(page: Page) -> None:
    unfold(page, 9)
    page.emulate_media(media="print")
    assert page.locator(".toolbar:visible, .slider:visible").count() == 0
    assert case(page, 9).locator("img:visible").count() > 3


def test_cases_are_readable_without_scripts(browser: Browser, gallery: Path) -> None:
    with opened(browser, gallery / "index.html", java_script_enabled=False) as page:
        assert shown(page) == list(range(N))
        assert "→" in unfold(page, 0).locator(".outcome").first.inner_text()
        assert case(page, 0).locator("img:visible:not(.contour)").count() == 1 + 3 + 2 * 2 + 4 + 3
        assert page.locator(".toolbar:visible, .slider:visible").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_gallery_fits_a_phone_accessibly(browser: Browser, gallery: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    options: dict[str, Any] = {"viewport": {"width": 390, "height": 800}, "color_scheme": scheme}
    with opened(browser, gallery / "index.html", **options) as page:
        unfold(page, 3)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        sort_by(page, "pixel AP", "saliency")
        violations = axe.run(page, context="#cases").response["violations"]
    faults = [fault for fault in violations if fault["impact"] in ("serious", "critical")]
    assert [(fault["id"], fault["nodes"][0]["target"]) for fault in faults] == []
