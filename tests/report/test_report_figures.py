from __future__ import annotations

import io
import itertools
import json
import pkgutil
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from made_up_run import EXPLAINERS, record
from PIL import Image

from gvr_bench.report import figures
from gvr_bench.report.cases.cases_file import read_cases
from gvr_bench.report.figures import Chart, Source, charts
from gvr_bench.report.figures.agreement import Agreement
from gvr_bench.report.figures.calibration import Bin, Calibration
from gvr_bench.report.figures.predicted_against_true import Regression
from gvr_bench.report.figures.quality_against_time import Point, Scatter
from gvr_bench.report.figures.roc import Roc
from gvr_bench.report.figures.style import COLOURS, tick_label
from gvr_bench.report.figures.svg import FORMATS, draw, on_page, to_bytes
from gvr_bench.report.figures.training import Losses
from gvr_bench.report.html import render
from gvr_bench.report.run import load
from gvr_bench.report.scoreboards import scoreboards

Make = Callable[..., Path]
HOSTILE = "<b>\"$x_1\"</b> & ]]> '$' \x07\ufffe\ud800 \u202eאב 🫁 " + "long" * 100


def chart(data: object, **changes: str) -> Chart:
    words = {"name": "x", "title": "title", "caption": "c", "description": "d"}
    return Chart(**{**words, **changes}, data=data)


def charts_of(folder: Path) -> list[Chart]:
    run = load(folder)
    boards = scoreboards([run])
    return list(charts(Source(read_cases(folder), boards, run.records, run.values)))


def axes_of(data: object) -> Any:
    (axes,) = draw(chart(data)).axes
    return axes


def lines_of(axes: Any) -> list[tuple[list[float], list[float]]]:
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]


def scatter(*points: tuple[str, float, float], log: bool = True) -> Scatter:
    drawn = (Point(name, name == "random", x, y, None, None) for name, x, y in points)
    return Scatter("time", "quality", log, tuple(drawn))


EXAMPLES = {
    "roc": lambda name: Roc(tuple((name, np.array([0, 1]), np.array([0, 1])) for _ in "ab"), None),
    "regression": lambda name: Regression(name, np.arange(3.0), np.arange(3.0), False, (1.0,)),
    "scatter": lambda name: scatter((name, 1, 1), (name, 1, 1)),
    "agreement": lambda name: Agreement((name, "b"), (False, True), np.eye(2)),
}


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("file_format", FORMATS)
def test_hostile_names_can_be_drawn(kind: str, file_format: str) -> None:
    data = to_bytes(draw(chart(EXAMPLES[kind](HOSTILE))), file_format)
    if file_format == "svg":
        assert any("$" in (text or "") for text in ET.fromstring(data).itertext())


@pytest.mark.parametrize("kind", EXAMPLES)
def test_hostile_names_stay_text_on_pages(kind: str) -> None:
    shown = on_page(chart(EXAMPLES[kind](HOSTILE), title=HOSTILE), "a")
    root = ET.fromstring(shown)
    assert {element.tag for element in root.iter()} <= {
        "svg", "g", "defs", "path", "use", "text", "clipPath", "rect", "tspan",
    }  # fmt: skip


def test_every_chart_is_a_figure(ranked: Path) -> None:
    assert {item.name for item in charts_of(ranked)} == {
        "roc", "predicted", "training generator: critic",
        "training generator: wasserstein", "training encoder: mse", "overview",
        "critical difference", "Quality against time", "Oracle validity against change",
        "agreement", "funnel", "cases",
    }  # fmt: skip


def test_each_module_declares_its_figure() -> None:
    names = {module.name for module in pkgutil.iter_modules(figures.__path__)}
    shared = {"style", "svg"}
    assert len(figures.all_figures()) == len(names - shared)
    assert {figure.section for figure in figures.all_figures()} == {
        "", "overview", "models", "training", "tradeoffs", "agreement",
    }  # fmt: skip


def test_run_without_cases_has_no_figures(make_run: Make) -> None:
    folder = make_run(records=[], n=1, size=8)
    (folder / "cases.h5").unlink()
    assert charts_of(folder) == []


@pytest.mark.parametrize("file_format", FORMATS)
def test_files_are_equal_each_time(file_format: str) -> None:
    roc = chart(EXAMPLES["roc"]("x"))
    assert to_bytes(draw(roc), file_format) == to_bytes(draw(roc), file_format)


def test_png_is_large_enough_for_print() -> None:
    png = to_bytes(draw(chart(EXAMPLES["roc"]("x"))), "png")
    with Image.open(io.BytesIO(png)) as image:
        assert image.width > 1500
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3).astype(int)
    assert (pixels[0] == 255).all()
    assert (np.ptp(pixels, axis=1) > 40).any()  # the accent, not black alone


def test_page_figures_need_no_styles(run: Path) -> None:
    drawn = [item for item in charts_of(run) if item.name != "cases"]  # a page has its own
    for number, item in enumerate(drawn):
        svg = str(on_page(item, f"f{number}"))
        assert "style" not in svg
        assert "http" not in svg
        assert not re.search(r'"#[0-9a-f]{6}"', svg), item.name  # all colours follow the theme
        assert 'role="img"' in svg
        assert item.caption.replace("&", "&amp;") in svg


def test_page_has_no_id_twice(ranked: Path) -> None:
    ids = re.findall(r'\bid="([^"]+)"', render(ranked))
    assert len(ids) == len(set(ids))


def test_colours_are_those_of_the_page() -> None:
    assets = resources.files("gvr_bench.report") / "assets"
    css = (assets / "colours.css").read_text("utf-8")
    light = dict(re.findall(r"--([\w-]+): light-dark\((#\w+),", css))
    assert COLOURS.items() <= light.items()


def test_many_points_stay_small() -> None:
    values = np.random.default_rng(0).random(1500)
    data = Regression("BNP", values, values[::-1], False, ())
    assert len(on_page(chart(data), "a")) < 90_000


def test_roc_draws_each_curve() -> None:
    fpr, tpr = np.array([0, 0.2, 1]), np.array([0, 0.9, 1])
    axes = axes_of(Roc((("Mass", fpr, tpr),), (np.zeros(101), np.ones(101))))
    assert ([0, 0.2, 1], [0, 0.9, 1]) in lines_of(axes)
    assert len(axes.collections) == 1  # the band


def test_calibration_draws_bins_and_counts() -> None:
    bins = (Bin(0.0, 0.1, 8, 0.04, 0.25, (0.1, 0.4)), Bin(0.9, 1.0, 2, 0.95, 1.0, (0.5, 1.0)))
    upper, lower = draw(chart(Calibration(bins))).axes
    assert ([0.04, 0.95], [0.25, 1.0]) in lines_of(upper)
    assert ([0.04, 0.04], [0.1, 0.4]) in lines_of(upper)
    assert [bar.get_height() for bar in lower.patches] == [8, 2]


def test_regression_axes_are_the_same() -> None:
    true, predicted = np.array([1.0, 1000.0]), np.array([2.0, 300.0])
    axes = axes_of(Regression("BNP", true, predicted, True, (100.0,)))
    assert axes.get_xlim() == axes.get_ylim()
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert ([1.0, 1000.0], [2.0, 300.0]) in lines_of(axes)


def test_losses_draw_both_lines() -> None:
    data = Losses((np.arange(3.0), np.arange(3.0)), (np.arange(2.0), np.ones(2)))
    assert lines_of(axes_of(data)) == [([0, 1, 2], [0, 1, 2]), ([0, 1], [1, 1])]


def test_agreement_tiles_follow_values() -> None:
    means = np.array([[1, 0.8, np.nan], [0.8, 1, -0.4], [np.nan, -0.4, 1]])
    axes = axes_of(Agreement(("a", "b", "c"), (False, False, True), means))
    texts = [text.get_text() for text in axes.texts]
    assert sorted(texts) == ["0.80", "0.80", "–", "–", "−0.40", "−0.40"]
    assert sorted({tile.get_alpha() for tile in axes.patches}) == pytest.approx([0.2, 0.4])


@pytest.mark.parametrize("seed", range(3))
def test_names_in_scatter_do_not_overlap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = [(name, *rng.uniform(0.3, 0.7, 2)) for name in EXPLAINERS]
    axes = axes_of(scatter(*points, log=False))
    axes.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    shared = [a.intersection(a, b) for a, b in itertools.combinations(boxes, 2)]
    assert sum(b.width * b.height > 20 for b in shared if b is not None) <= 1


def test_equal_scores_have_axes() -> None:
    axes = axes_of(scatter(("gvr", 0.5, 0.1), ("lime", 0.5, 0.1)))
    assert np.ptp(axes.get_xlim()) > 0
    assert np.ptp(axes.get_ylim()) > 0


@pytest.mark.parametrize(
    ("value", "label"), [(0.02, "0.02"), (1e-5, "10⁻⁵"), (2e6, "2·10⁶"), (-0.2, "−0.2"), (0, "0")]
)
def test_tick_labels_are_short(value: float, label: str) -> None:
    assert tick_label(value) == label


def test_reports_load_matplotlib_late() -> None:
    code = (
        "import sys, gvr_bench.report.html, gvr_bench.report.export;"
        "assert not {'matplotlib', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_classes_have_a_calibration_chart(make_run: Make) -> None:
    folder = make_run(records=[], n=1, size=8, kind="binary", outputs=json.dumps(["mass"]),
                      unit="", threshold=np.nan)  # fmt: skip
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/test/prediction"][:] = 0.5
    kinds = [item.name for item in charts_of(folder)]
    assert "calibration" in kinds
    assert "predicted" not in kinds


def test_hostile_run_has_a_page(make_run: Make) -> None:
    hostile = HOSTILE.replace("\ud800", "")
    rows = [
        record(explainer=name, metric=metric, better=better, value=0.5 + 0.1 * n)
        for n, name in enumerate((hostile, "lime"))
        for metric, better in (("pixel_ap", "up"), ("seconds_per_image", "down"))
    ]
    assert "<b>" not in render(make_run(records=rows, n=2, size=8, head=hostile))
