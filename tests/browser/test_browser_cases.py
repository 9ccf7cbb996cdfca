"""The gallery of cases as it behaves in a browser."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from made_up_run import add_values, add_ways, write_run
from numpy.typing import NDArray
from PIL import Image
from test_browser_page import opened
from test_report_html import HOSTILE

from gvr_bench.report.cases import pictures
from gvr_bench.report.cases.sprites import Encoding
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
    add_values(add_ways(folder, twins=["latent-shift"]), N)
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/asked"] = np.arange(N) % 9 != 4
        file["0/explainers/latent-shift/found"][:] = True
        file["0/explainers/gvr/steps"][0] = 28
    write_html(folder)
    return folder


@pytest.fixture
def page(browser: Browser, gallery: Path) -> Iterator[Page]:
    with opened(browser, gallery / "index.html") as page:
        yield page


def case(page: Page, i: int) -> Locator:
    return page.locator(f"#case-0-{i}")


def drawn(page: Page, i: int) -> Locator:
    """A case, scrolled to, once its pictures are there."""
    found = case(page, i)
    found.scroll_into_view_if_needed()
    page.locator(f"#case-0-{i}.drawn").wait_for()
    return found


def shown(page: Page) -> list[int]:
    """The cases that can be seen, from the top."""
    ids = page.locator("article.case:visible").evaluate_all("all => all.map(one => one.id)")
    return [int(name.split("-")[2]) for name in ids]


def sort_by(page: Page, what: str, of: str | None = None) -> None:
    page.get_by_role("combobox", name="sort by", exact=True).select_option(label=what)
    if of:
        page.get_by_role("combobox", name="of", exact=True).select_option(label=of)


def pixels(picture: Locator) -> NDArray[np.uint8]:
    """What is on a canvas: (H, W, 4)."""
    uri: str = picture.evaluate("canvas => canvas.toDataURL()")
    data = base64.b64decode(uri.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def python(uri: str) -> NDArray[np.uint8]:
    data = base64.b64decode(uri.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def assert_alike(found: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> None:
    """Equal but for rounding, which is coarser where a colour is nearly transparent."""
    assert found.shape == wanted.shape
    a, b = found.astype(int), wanted.astype(int)
    assert np.abs(a[..., 3] - b[..., 3]).max() <= 2
    opaque = b[..., 3] > 128
    assert opaque.any()
    assert np.abs(a - b)[opaque].max() <= 3


def test_a_case_far_away_has_no_picture_until_it_comes_near(page: Page) -> None:
    assert page.locator("#case-0-39 canvas").count() == 0
    pictures_there = drawn(page, 39).locator("canvas")
    assert pictures_there.count() == 3 + 2 * 3 + 4 + 3
    assert pixels(pictures_there.first).shape == (16, 16, 4)


def test_pictures_that_are_far_away_again_take_no_memory(page: Page) -> None:
    drawn(page, 0)
    drawn(page, 39)
    page.wait_for_function("document.querySelector('#case-0-0 canvas').width === 0")
    assert case(page, 0).locator("canvas").count() > 0
    drawn(page, 0)
    assert pixels(case(page, 0).locator("canvas").first).shape == (16, 16, 4)


def test_the_script_draws_what_the_tables_show(page: Page, gallery: Path) -> None:
    with h5py.File(gallery / "cases.h5") as file:
        image, change = file["0/input"][1], file["0/true_change"][:]
        start = file["0/reconstruction"][1].astype(np.float32)
        end = file["0/explainers/gvr/counterfactual"][1].astype(np.float32)
        attribution = file["0/explainers/occlusion/attribution"][:]
    one, scale = drawn(page, 1), pictures.symmetric_scale(change)
    picture = lambda name: pixels(one.get_by_role("img", name=name, exact=True))  # noqa: E731
    assert_alike(picture("Input image test-0001"), python(pictures.plain(image, 16)))
    assert_alike(
        picture("Heat of occlusion over image test-0001"),
        python(pictures.overlay(image, attribution[1], pictures.symmetric_scale(attribution), 16)),
    )
    assert_alike(
        picture("Reconstruction of test-0001 minus its counterfactual by gvr"),
        python(pictures.difference((start - end)[0] / 127.5, scale, 16)),
    )
    assert_alike(
        picture("Counterfactual of image test-0001 by gvr"),
        python(pictures.plain(end.astype(np.uint8), 16)),
    )
    page.get_by_label("maps without the image").check()
    assert_alike(
        picture("Heat of occlusion over image test-0001"),
        python(pictures.difference(attribution[1], pictures.symmetric_scale(attribution), 16)),
    )


def test_pictures_in_colour_that_were_compressed_are_drawn_alike(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gvr_bench.report.cases.sprites.LADDER", (Encoding(90),))
    folder = write_run(tmp_path / "run", n=2, size=48)
    with h5py.File(folder / "cases.h5", "a") as file:
        for name in ("input", "reconstruction", "samples", "explainers/gvr/counterfactual"):
            data = file[f"0/{name}"][:]
            del file[f"0/{name}"]
            file[f"0/{name}"] = np.concatenate([data, data // 2, 255 - data], axis=1)
        image, end = file["0/input"][0], file["0/explainers/gvr/counterfactual"][0]
    with opened(browser, write_html(folder)) as page:
        one = drawn(page, 0)
        found = pixels(one.get_by_role("img", name="Input image test-0000")).astype(int)
        moved = pixels(one.get_by_role("img", name="Counterfactual of image test-0000 by gvr"))
    assert np.abs(found - python(pictures.plain(image, 48))).mean() < 6
    assert np.abs(moved.astype(int) - python(pictures.plain(end, 48))).mean() < 6


def test_the_slider_is_moved_with_the_keyboard_and_says_where_it_is(page: Page) -> None:
    one = drawn(page, 0)
    slider = one.get_by_role("slider", name="gvr: step on the way to the counterfactual").first
    change = one.locator("[data-explainer=gvr] canvas").nth(2)
    whole = pixels(change)
    assert (slider.get_attribute("aria-valuetext") or "").startswith("step 28 of 28 · prediction ")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    told = slider.get_attribute("aria-valuetext") or ""
    assert told.startswith("step 24 of 28 · prediction ")
    assert "≈" not in told  # a moment that was recorded
    page.keyboard.press("ArrowLeft")
    assert "step 23 of 28 · prediction ≈ " in (slider.get_attribute("aria-valuetext") or "")
    assert pixels(change)[..., 3].sum() < whole[..., 3].sum()
    page.keyboard.press("Home")
    assert not pixels(change)[..., 3].any()
    start = pixels(one.get_by_role("img", name="Image test-0000, reconstruction by gvr"))
    assert_alike(start, pixels(one.get_by_role("img", name="Image test-0000 as the generator")))
    before = case(page, 0).locator("header").inner_text().split("prediction ")[1].split("\n")[0]
    assert (slider.get_attribute("aria-valuetext") or "").endswith(f"prediction {before}")


def test_a_way_can_be_played_and_ends_at_the_counterfactual(page: Page) -> None:
    one = drawn(page, 0)
    slider = one.get_by_role("slider").first
    one.get_by_role("button", name="Play the way of gvr").click()
    page.wait_for_function("at => Number(at.value) < 20", arg=slider.element_handle())
    page.wait_for_function("at => at.value === '28'", arg=slider.element_handle())


def test_nothing_moves_by_itself_for_readers_who_want_no_motion(
    browser: Browser, gallery: Path
) -> None:
    with opened(browser, gallery / "index.html", reduced_motion="reduce") as page:
        assert drawn(page, 0).get_by_role("slider").count() == 2
        assert page.get_by_role("button", name="Play").count() == 0


def test_failures_are_counted_and_one_click_away(page: Page) -> None:
    page.get_by_role("button", name=f"not found {len(LOST)}").click()
    assert shown(page) == LOST
    assert page.locator(".count").inner_text() == f"{len(LOST)} of 40 cases"
    page.get_by_role("button", name=f"not seen by the model {len(UNSEEN)}").click()
    assert shown(page) == UNSEEN
    page.get_by_role("combobox", name="by", exact=True).select_option(label="latent-shift")
    page.get_by_role("button", name="not found 0").click()
    assert shown(page) == []
    page.get_by_role("button", name="show all").click()
    assert shown(page) == list(range(N))


def test_a_filter_leads_back_to_the_first_case_that_passes(page: Page) -> None:
    drawn(page, 30)
    page.get_by_role("button", name="not found").click()
    page.locator(f"#case-0-{LOST[0]}.drawn").wait_for()
    page.wait_for_function(AT_THE_TOP, arg=case(page, LOST[0]).element_handle())


def test_what_the_oracle_makes_of_a_counterfactual_is_an_outcome(page: Page, gallery: Path) -> None:
    buttons = page.locator(".outcomes button").all_inner_texts()
    convinced, not_convinced = (
        int(text.split()[-1]) for text in buttons if text.startswith("oracle")
    )
    assert convinced + not_convinced == N
    page.get_by_role("button", name="oracle not convinced").click()
    assert len(shown(page)) == not_convinced


def test_cases_of_which_the_oracle_says_nothing_are_counted_apart(
    browser: Browser, tmp_path: Path
) -> None:
    folder = add_values(add_ways(write_run(tmp_path / "run", n=5, size=8)), 5)
    with h5py.File(folder / "values.h5", "a") as file:
        part = file["0/gvr"]
        row = [name.decode() for name in part["metrics"][:]].index("oracle_validity")
        part["values"][row] = np.array([1, 0, np.nan, 1, 1])
    with opened(browser, write_html(folder)) as page:
        page.get_by_role("button", name="oracle abstains 1").click()
        assert shown(page) == [2]


def test_cases_are_sorted_by_any_score_with_the_unknown_last(page: Page, gallery: Path) -> None:
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
    assert page.locator(".sorted").count() == 0


def test_cases_are_sorted_by_label_and_steps_both_ways(page: Page, gallery: Path) -> None:
    with h5py.File(gallery / "cases.h5") as file:
        label, steps = file["0/label"][:], file["0/explainers/gvr/steps"][:]
    sort_by(page, "label")
    page.get_by_role("button", name="lowest first").click()
    assert shown(page) == sorted(range(N), key=lambda i: -label[i])
    sort_by(page, "steps", "gvr")
    assert [steps[i] for i in shown(page)] == sorted(steps, reverse=True)


def test_a_case_is_found_by_its_name(page: Page) -> None:
    page.get_by_role("searchbox", name="Search cases").fill("003")
    assert shown(page) == [3, *range(30, 40)]
    page.get_by_role("searchbox", name="Search cases").fill("nobody")
    assert page.locator(".count").inner_text() == "0 of 40 cases"


def test_cases_are_filtered_by_finding(browser: Browser, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", n=4, size=8, kind="multilabel", unit="", threshold=0.5,
                       outputs=json.dumps(["effusion", HOSTILE]))  # fmt: skip
    with h5py.File(folder / "cases.h5", "a") as file:
        for name in ("source_class", "target_class"):
            del file[f"0/{name}"]
            file[f"0/{name}"] = np.array([0, 1, 0, 1])
        del file["0/sample_id"]
        file["0/sample_id"] = [f"</script>{HOSTILE}{i}" for i in range(4)]
    with opened(browser, write_html(folder)) as page:
        page.get_by_role("combobox", name="finding", exact=True).select_option(label=HOSTILE)
        assert shown(page) == [1, 3]
        assert clean(HOSTILE) in drawn(page, 3).locator("h4").inner_text()


def test_explainers_that_are_not_wanted_are_hidden_in_all_cases(page: Page) -> None:
    drawn(page, 0)
    page.locator(".toolbar summary", has_text="explainers").click()
    for name in ("latent-shift", "saliency", "random", "edge", "intensity"):
        page.get_by_role("checkbox", name=name, exact=True).uncheck()
    page.keyboard.press("Escape")
    one = drawn(page, 30)
    titles = one.locator("h5:visible").all_inner_texts()
    assert titles == ["image", "gvr", "attribution maps"]
    assert one.locator("figcaption:visible", has_text="saliency").count() == 0
    assert one.locator("figcaption:visible", has_text="occlusion").count() == 1


def test_an_address_opens_its_case_even_past_a_filter(browser: Browser, gallery: Path) -> None:
    with opened(browser, gallery / "index.html") as page:
        page.get_by_role("button", name="not found").click()
        page.evaluate("location.hash = '#case-0-30'")
        page.locator("#case-0-30.drawn").wait_for()
        page.wait_for_function(AT_THE_TOP, arg=case(page, 30).element_handle())
        assert page.evaluate("document.activeElement.id") == "case-0-30"


def test_the_first_cases_shown_are_printed_with_pictures(page: Page) -> None:
    sort_by(page, "label")
    first = shown(page)[:24]
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    for i in first:
        page.locator(f"#case-0-{i}.drawn").wait_for()
    page.emulate_media(media="print")
    assert page.locator(".toolbar button:visible").count() == 0
    assert "printed with the pictures of the first 24" in page.locator(".count").inner_text()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.wait_for_function("document.querySelectorAll('.case.drawn').length < 24")


def test_without_scripts_the_words_remain(browser: Browser, gallery: Path) -> None:
    with opened(browser, gallery / "index.html", java_script_enabled=False) as page:
        assert case(page, 39).locator("header").is_visible()
        assert "→" in case(page, 0).locator(".outcome").first.inner_text()
        assert "drawn by a script" in page.locator("#cases").inner_text()
        assert page.locator(".toolbar").count() == 0


def test_an_older_run_shows_counterfactuals_without_a_slider(
    browser: Browser, tmp_path: Path
) -> None:
    folder = write_run(tmp_path / "run", n=2, size=8)
    with opened(browser, write_html(folder)) as page:
        one = drawn(page, 1)
        assert one.get_by_role("slider").count() == 0
        assert one.get_by_role("img", name="Counterfactual of image test-0001 by gvr").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_of_it_fits_a_telephone_and_axe_finds_no_serious_fault(
    browser: Browser, gallery: Path, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    options: dict[str, Any] = {"viewport": {"width": 390, "height": 800}, "color_scheme": scheme}
    with opened(browser, gallery / "index.html", **options) as page:
        drawn(page, 0)
        page.locator(".toolbar summary", has_text="filter and sort").click()
        page.locator(".toolbar summary", has_text="explainers").click()
        names = page.locator(".explainers > div")  # laid over the page they could reach past it
        assert names.evaluate("one => getComputedStyle(one).position") == "static"
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        sort_by(page, "pixel AP", "saliency")
        drawn(page, shown(page)[0])
        found = axe.run(page, context="#cases").response["violations"]
    faults = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    assert [(fault["id"], fault["nodes"][0]["target_class"]) for fault in faults] == []
