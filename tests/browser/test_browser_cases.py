"""The gallery of cases as it behaves in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from made_up_run import add_trajectories, add_values, write_cases, write_run
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
    ids = page.locator("article.case:visible").evaluate_all("all => all.map(item => item.id)")
    return [int(name.split("-")[2]) for name in ids]


def sort_by(page: Page, what: str, of: str | None = None) -> None:
    page.get_by_role("combobox", name="sort by", exact=True).select_option(label=what)
    if of:
        page.get_by_role("combobox", name="of", exact=True).select_option(label=of)


def frames(case: Locator, explainer: str) -> list[str]:
    """What the frames of a search say, the visible ones first marked."""
    images = case.locator(f"[data-explainer='{explainer}'] .trajectory img")
    texts: list[str] = images.evaluate_all(
        "all => all.map(item => (item.hidden ? '' : '* ') + item.dataset.text)"
    )
    return texts


def test_pictures_load_when_near(page: Page) -> None:
    pictures = case(page, 39).locator("img")
    assert pictures.count() == 3 + 2 * (1 + 8 + 1) + 4 + 3
    assert pictures.evaluate_all("all => all.every(item => item.loading === 'lazy')")
    case(page, 39).scroll_into_view_if_needed()
    page.wait_for_function(
        "one => [...one.querySelectorAll('img:not([hidden])')].every(item => item.naturalWidth)",
        arg=case(page, 39).element_handle(),
    )


def test_keyboard_moves_the_slider(page: Page) -> None:
    item = case(page, 0)
    slider = item.get_by_role("slider", name="gvr: step of the search for").first
    assert (slider.get_attribute("aria-valuetext") or "").startswith("step 28 of 28 · prediction ")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    text = slider.get_attribute("aria-valuetext") or ""
    assert text.startswith("step 24 of 28 · prediction ")
    assert [frame for frame in frames(item, "gvr") if frame.startswith("* ")] == [f"* {text}"]
    page.keyboard.press("Home")
    before = item.locator("header").inner_text().split("prediction ")[1].split("\n")[0]
    assert (slider.get_attribute("aria-valuetext") or "").endswith(f"prediction {before}")
    assert item.locator(".trajectory figcaption").first.inner_text() == "reconstruction"


def test_play_ends_at_the_counterfactual(page: Page) -> None:
    slider = case(page, 0).get_by_role("slider").first
    case(page, 0).get_by_role("button", name="Play the search of gvr").click()
    page.wait_for_function("at => Number(at.value) < 7", arg=slider.element_handle())
    page.wait_for_function("at => at.value === '7'", arg=slider.element_handle())


def test_reduced_motion_has_no_play_button(browser: Browser, gallery: Path) -> None:
    with opened(browser, gallery / "index.html", reduced_motion="reduce") as page:
        assert case(page, 0).get_by_role("slider").count() == 2
        assert page.get_by_role("button", name="Play").count() == 0


def test_outcomes_filter_cases(page: Page) -> None:
    page.get_by_role("button", name=f"decision not changed {len(LOST)}").click()
    assert shown(page) == LOST
    assert page.locator(".toolbar .count").inner_text() == f"{len(LOST)} of 40 cases"
    page.get_by_role("button", name=f"not seen by the model {len(UNSEEN)}").click()
    assert shown(page) == UNSEEN
    page.get_by_role("combobox", name="by", exact=True).select_option(label="latent-shift")
    page.get_by_role("button", name="decision not changed 0").click()
    assert shown(page) == []
    page.get_by_role("button", name="show all").click()
    assert shown(page) == list(range(N))


def test_filter_scrolls_to_the_first_case(page: Page) -> None:
    case(page, 30).scroll_into_view_if_needed()
    page.get_by_role("button", name="decision not changed").click()
    page.wait_for_function(AT_THE_TOP, arg=case(page, LOST[0]).element_handle())


def test_oracle_verdicts_filter_cases(browser: Browser, tmp_path: Path) -> None:
    folder = add_values(add_trajectories(write_run(tmp_path / "run", n=5, size=8)), 5)
    with h5py.File(folder / "values.h5", "a") as file:
        part = file["0/gvr"]
        row = [name.decode() for name in part["metrics"][:]].index("oracle_validity")
        part["values"][row] = np.array([1, 0, np.nan, 1, 1])
    with opened(browser, write_html(folder)) as page:
        page.get_by_role("button", name="oracle abstains 1").click()
        assert shown(page) == [2]
        page.get_by_role("button", name="oracle not convinced 1").click()
        assert shown(page) == [1]


def test_scores_sort_with_unknown_last(page: Page, gallery: Path) -> None:
    with h5py.File(gallery / "values.h5") as file:
        part = file["0/saliency"]
        names = [name.decode() for name in part["metrics"][:]]
        values = part["values"][names.index("pixel_ap")]
    order = sorted(range(N - 1), key=lambda i: values[i])
    sort_by(page, "pixel AP", "saliency")
    assert shown(page) == [*order, N - 1]
    first = case(page, order[0]).locator(".sorted").text_content()
    assert first == f"pixel AP of saliency {values[order[0]]:.3g}"
    assert "not known" in (case(page, N - 1).locator(".sorted").text_content() or "")
    page.get_by_role("button", name="lowest first").click()
    assert shown(page) == [*reversed(order), N - 1]
    sort_by(page, "order of the run")
    assert shown(page) == list(range(N))


def test_labels_and_steps_sort_cases(page: Page, gallery: Path) -> None:
    with h5py.File(gallery / "cases.h5") as file:
        label, steps = file["0/label"][:], file["0/explainers/gvr/steps"][:]
    sort_by(page, "label")
    page.get_by_role("button", name="lowest first").click()
    assert shown(page) == sorted(range(N), key=lambda i: -label[i])
    sort_by(page, "steps", "gvr")
    assert [steps[i] for i in shown(page)] == sorted(steps, reverse=True)


def test_search_finds_cases_by_name(page: Page) -> None:
    page.get_by_role("searchbox", name="Search cases").fill("003")
    assert shown(page) == [3, *range(30, 40)]
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
        assert clean(HOSTILE) in case(page, 3).locator("h4").inner_text()


def test_unchecked_explainers_are_hidden(page: Page) -> None:
    page.locator(".toolbar summary", has_text="explainers").click()
    for name in ("latent-shift", "saliency", "random", "edge", "intensity"):
        page.get_by_role("checkbox", name=name, exact=True).uncheck()
    page.keyboard.press("Escape")
    item = case(page, 30)
    assert item.locator("h5:visible").all_inner_texts() == ["image", "gvr", "attribution maps"]
    assert item.locator("figcaption:visible", has_text="saliency").count() == 0
    assert item.locator("figcaption:visible", has_text="occlusion").count() == 1


def test_address_opens_a_filtered_case(browser: Browser, gallery: Path) -> None:
    with opened(browser, gallery / "index.html") as page:
        page.get_by_role("button", name="decision not changed").click()
        page.evaluate("location.hash = '#case-0-30'")
        page.wait_for_function(AT_THE_TOP, arg=case(page, 30).element_handle())
        assert page.evaluate("document.activeElement.id") == "case-0-30"


def test_print_shows_pictures_without_controls(page: Page) -> None:
    page.emulate_media(media="print")
    assert page.locator(".toolbar:visible, .slider:visible").count() == 0
    assert case(page, 39).locator("img:visible").count() > 0


def test_cases_are_readable_without_scripts(browser: Browser, gallery: Path) -> None:
    with opened(browser, gallery / "index.html", java_script_enabled=False) as page:
        assert "→" in case(page, 0).locator(".outcome").first.inner_text()
        assert case(page, 0).locator("img:visible").count() == 3 + 2 * 3 + 4 + 3
        assert page.locator(".toolbar:visible, .slider:visible").count() == 0


def test_model_switch_shows_one_table(browser: Browser, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", n=2, size=8)
    write_cases(tmp_path / "other.h5", n=2, size=8, head="mlp")
    with h5py.File(folder / "cases.h5", "a") as file, h5py.File(tmp_path / "other.h5") as other:
        other.copy("0", file, "1")
    with opened(browser, write_html(folder)) as page:
        title = page.locator("#maps h3:visible")
        assert title.all_inner_texts() == ["wgan_gp · conv · linear, seed 0"]
        page.get_by_role("combobox", name="model").select_option(index=1)
        assert title.all_inner_texts() == ["wgan_gp · conv · mlp, seed 0"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_gallery_fits_a_phone_accessibly(browser: Browser, gallery: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    options: dict[str, Any] = {"viewport": {"width": 390, "height": 800}, "color_scheme": scheme}
    with opened(browser, gallery / "index.html", **options) as page:
        page.locator(".toolbar summary", has_text="filter and sort").click()
        page.locator(".toolbar summary", has_text="explainers").click()
        names = page.locator(".explainers > div")  # laid over the page they could reach past it
        assert names.evaluate("item => getComputedStyle(item).position") == "static"
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        sort_by(page, "pixel AP", "saliency")
        violations = axe.run(page, context="#cases").response["violations"]
    faults = [fault for fault in violations if fault["impact"] in ("serious", "critical")]
    assert [(fault["id"], fault["nodes"][0]["target"]) for fault in faults] == []
