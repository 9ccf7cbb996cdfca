from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from gvr_bench.core.errors import DataError
from gvr_bench.report.cases.reading import read_cases
from gvr_bench.report.charts.space import HEIGHT, WIDTH, SpaceChart, space_chart
from gvr_bench.report.html import render, write_html

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Make = Callable[..., Path]


def change(folder: Path, **arrays: np.ndarray) -> Path:
    """Put other arrays in place of those of the run, by their path with `__` for `/`."""
    with h5py.File(folder / "cases.h5", "a") as file:
        for name, array in arrays.items():
            path = "0/" + name.replace("__", "/")
            if path in file:
                del file[path]
            file[path] = array
    return folder


def drawn(folder: Path) -> SpaceChart:
    (combination,) = read_cases(folder, 12)
    chart = space_chart(combination)
    assert chart is not None
    return chart


def numbers(path: str) -> np.ndarray:
    """Where the marks of an SVG path are."""
    found = re.findall(r"M([-\d.]+),([-\d.]+)", path)
    return np.array(found, dtype=float)


def test_latents_without_findings_for_each_are_named_as_damage(make_run: Make) -> None:
    folder = change(make_run(n=1, size=8), space__positive=np.zeros((3, 1), bool))
    with pytest.raises(DataError, match="latents of shape"):
        render(folder)


@pytest.mark.parametrize("value", [np.nan, 1.0], ids=["not finite", "all in one place"])
def test_latents_that_cannot_be_drawn_are_not(make_run: Make, value: float) -> None:
    folder = change(make_run(n=1, size=8), space__points=np.full((150, 2), value, np.float32))
    assert "Latent space" not in render(folder)


def test_a_run_that_kept_no_latents_has_no_chart(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        del file["0/space"]
    assert "Latent space" not in render(folder)


def test_shares_counts_and_classes_are_told(make_run: Make) -> None:
    chart = drawn(make_run(n=6, size=8))
    assert chart.frame.x_title == "first component, 41 % of the variance"
    assert chart.frame.y_title == "second component, 13 % of the variance"
    assert chart.caption == "n = 150 test images"
    assert "holds 54 % of the variance" in chart.note
    assert [(g.name, g.n) for g in chart.groups] == [
        ("without", 75), ("BNP of at least 100 ng/L", 75),
    ]  # fmt: skip


def test_a_step_is_as_long_in_both_directions(make_run: Make) -> None:
    corners = np.array([[0, 0], [10, 0], [0, 1]], np.float32)
    folder = change(
        make_run(n=1, size=8),
        space__points=corners,
        space__positive=np.ones((3, 1), bool),
        space__start=corners[:1],
        explainers__gvr__end=corners[1:2],
    )
    at = numbers(drawn(folder).groups[1].points)
    width, height = np.ptp(at, axis=0)
    assert width / height == pytest.approx(10, rel=0.05)


def test_an_arrow_leads_from_a_case_to_its_counterfactual(make_run: Make) -> None:
    folder = change(
        make_run(n=2, size=8),
        space__start=np.array([[0, 0], [1, 1]], np.float32),
        explainers__gvr__end=np.array([[0, 1], [1, 1]], np.float32),
        explainers__gvr__success=np.array([True, False]),
    )
    (journey,) = drawn(folder).journeys
    assert journey.note == "gvr: 1 of 2 cases flipped"
    ((x1, y1),) = numbers(journey.flipped)
    x2, y2 = map(float, re.findall(r"L([\d.]+),([\d.]+)", journey.flipped)[0])
    assert x1 == x2
    assert y2 < y1  # up
    assert journey.missed.startswith("M")


def test_a_counterfactual_far_away_does_not_squeeze_the_rest(make_run: Make) -> None:
    far = np.full((6, 2), 1e6, np.float32)
    chart = drawn(change(make_run(n=6, size=8), explainers__gvr__end=far))
    assert chart.journeys[0].note.endswith("6 beyond the edge")
    at = np.concatenate([numbers(group.points) for group in chart.groups])
    assert np.ptp(at[:, 0]) > WIDTH / 3
    ends = re.findall(r"L([\d.]+),([\d.]+)", chart.journeys[0].flipped)
    assert all(float(x) <= WIDTH and 0 <= float(y) <= HEIGHT for x, y in ends)


def test_a_counterfactual_that_failed_has_no_arrow(make_run: Make) -> None:
    end = np.full((3, 2), np.nan, np.float32)
    end[0] = 0
    (journey,) = drawn(change(make_run(n=3, size=8), explainers__gvr__end=end)).journeys
    assert "of 1 cases" in journey.note
    assert len(numbers(journey.flipped)) == 1


def many_classes(make_run: Make, k: int, images: int = 240) -> Path:
    folder = make_run(records=[], n=2, size=8, kind="multiclass", unit="", threshold=np.nan,
                      outputs=json.dumps([f"class {i}" for i in range(k)]))  # fmt: skip
    label = np.arange(images) % k
    return change(
        folder,
        source=np.array([1, 1]), target=np.array([0, 0]), label=np.ones(2, np.float32),
        prediction=np.full(2, 0.9, np.float32),
        space__points=np.random.default_rng(0).normal(0, 1, (images, 2)).astype(np.float32),
        space__positive=label[:, None] == np.arange(k),
    )  # fmt: skip


def test_each_of_ten_classes_has_a_colour_and_a_shape(make_run: Make) -> None:
    groups = drawn(many_classes(make_run, 10)).groups
    assert len({group.style for group in groups}) == 10
    assert len({group.shape for group in groups}) == 10
    assert all(f".{group.style} {{" in render(many_classes(make_run, 10)) for group in groups)


def test_classes_that_no_case_is_about_stand_back(make_run: Make) -> None:
    groups = drawn(many_classes(make_run, 10)).groups
    assert [group.name for group in groups if not group.aside] == ["class 0", "class 1"]


def test_more_than_ten_classes_share_the_last_colour(make_run: Make) -> None:
    other, *named = drawn(many_classes(make_run, 12)).groups
    assert (other.name, other.style, other.n) == ("other classes", "rest", 40)
    assert len(named) == 10


def test_thousands_of_latents_stay_small_on_the_page(make_run: Make) -> None:
    chart = drawn(many_classes(make_run, 2, images=20_000))
    assert sum(group.points.count("M") for group in chart.groups) <= 2000
    assert sum(group.n for group in chart.groups) == 20_000
    assert sum(len(group.points) for group in chart.groups) < 80_000


def test_names_in_the_legend_do_not_run_into_each_other_or_off_the_chart(make_run: Make) -> None:
    chart = drawn(many_classes(make_run, 10))
    for a, b in zip(chart.legend, chart.legend[1:], strict=False):
        assert a.x + 6 * len(a.name) < b.x or b.y > a.y
    assert all(entry.x + 6 * len(entry.name) <= WIDTH for entry in chart.legend)


HOSTILE = "<b>two</b> & 'three'"


def two_explainers(make_run: Make) -> Path:
    """A run in which a second explainer, of an awkward name, makes counterfactuals."""
    folder = make_run(n=4, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        explainers = file["0/explainers"]
        explainers.copy("gvr", HOSTILE.replace("/", "\u2215"))
    return folder


def test_without_scripts_the_first_arrows_are_shown_and_no_choice(make_run: Make) -> None:
    page = render(two_explainers(make_run))
    groups = re.findall(r'<g class="journey"[^>]*>', page)
    assert ['display="none"' in group for group in groups].count(False) == 1
    assert "Counterfactuals of" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_a_reader_chooses_whose_arrows_are_shown_with_the_keyboard(
    make_run: Make, browser: Browser
) -> None:
    folder = two_explainers(make_run)
    page = browser.new_page()
    page.goto(write_html(folder).as_uri())
    choice = page.get_by_role("group", name="Counterfactuals of")
    assert choice.get_by_role("radio", checked=True).count() == 1
    before = page.locator(".latents .shown").inner_text()
    choice.get_by_role("radio").first.focus()
    page.keyboard.press("ArrowDown")
    shown = page.locator(".latents .journey:not([display])")
    assert shown.count() == 1
    after = page.locator(".latents .shown").inner_text()
    assert after == shown.get_attribute("data-note") != before
    page.close()
