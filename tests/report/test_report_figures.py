from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from made_up_run import record, write_cases

from gvr_bench.report.cases.reading import read_cases
from gvr_bench.report.charts.figures import Figure, figures, slug, standalone
from gvr_bench.report.folder import load
from gvr_bench.report.html import render
from gvr_bench.report.scores.tables import scoreboards

Make = Callable[..., Path]
SVG = "{http://www.w3.org/2000/svg}"


def drawn(folder: Path) -> list[Figure]:
    run = load(folder)
    return figures(run, read_cases(folder), scoreboards([run]))


def test_a_run_without_cases_or_scores_has_no_figures(make_run: Make) -> None:
    folder = make_run(records=[], n=1, size=8)
    (folder / "cases.h5").unlink()
    assert drawn(folder) == []


def test_every_kind_of_chart_is_a_figure(ranked: Path) -> None:
    names = [figure.name for figure in drawn(ranked)]
    assert names == [
        "roc", "predicted", "latent-space-gvr", "training-generator-critic",
        "training-generator-wasserstein", "training-encoder-mse", "quality-against-time",
        "what-convinces-against-what-changes", "agreement",
    ]  # fmt: skip


def test_classes_have_a_reliability_diagram(make_run: Make) -> None:
    folder = make_run(records=[], n=1, size=8, kind="binary", outputs=json.dumps(["mass"]),
                      unit="", threshold=np.nan)  # fmt: skip
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/test/prediction"][:] = 0.5
    names = [figure.name for figure in drawn(folder)]
    assert "calibration" in names
    assert "predicted" not in names


def test_names_tell_models_apart(make_run: Make, tmp_path: Path) -> None:
    folder = make_run(n=3, size=8)
    write_cases(tmp_path / "other.h5", n=3, size=8, seed=1)
    with h5py.File(folder / "cases.h5", "a") as file, h5py.File(tmp_path / "other.h5") as other:
        other.copy("0", file, "1")
        other.copy("0", file, "2")  # the same name twice
    names = [figure.name for figure in drawn(folder)]
    assert len(names) == len(set(names))
    assert {
        "roc-wgan-gp-conv-linear-on-phantom-seed-0",
        "roc-wgan-gp-conv-linear-on-phantom-seed-1",
        "roc-wgan-gp-conv-linear-on-phantom-seed-1-2",
    } <= set(names)


@pytest.mark.parametrize(
    ("words", "name"),
    [("Latent space Größe/../x", "latent-space-gr-e-x"), ("肺", "figure"), ("..", "figure")],
)
def test_names_are_safe_as_files(words: str, name: str) -> None:
    assert slug(words) == name


def test_a_figure_is_the_markup_of_the_page(ranked: Path) -> None:
    on_page = [shapes(svg) for svg in re.findall(r"<svg.*?</svg>", render(ranked), re.DOTALL)]
    for figure in drawn(ranked):
        if figure.name != "agreement":  # which the page has as a table
            assert shapes(figure.svg) in on_page, figure.name


def shapes(markup: str) -> list[str]:
    return re.findall(r"<(?:line|path|polyline|polygon|circle|rect)[^>]*>", markup)


def test_a_file_is_whole_in_itself(ranked: Path) -> None:
    for figure in drawn(ranked):
        text = standalone(figure)
        root = ET.fromstring(text)
        assert root.tag == f"{SVG}svg"
        _, _, width, height = root.attrib["viewBox"].split()
        assert (root.attrib["width"], root.attrib["height"]) == (width, height)
        (style,) = root.iter(f"{SVG}style")
        assert not re.search(r"var\(|light-dark|@|url\(|:root", style.text or "")
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
        background = root.findall(f"{SVG}rect")[0].attrib
        assert (background["fill"], background["width"]) == ("#ffffff", width)


def test_names_cannot_break_a_file(make_run: Make) -> None:
    hostile = "<b>\"gvr\"</b> & ]]> 'x' \x07\ufffe 🫁"
    rows = [
        record(explainer=name, metric=metric, better=better, value=0.5 + 0.1 * n)
        for n, name in enumerate((hostile, "lime"))
        for metric, better in (("pixel_ap", "up"), ("seconds_per_image", "down"))
    ]
    for figure in drawn(make_run(records=rows, n=2, size=8, head=hostile)):
        ET.fromstring(standalone(figure))


def test_the_same_run_gives_the_same_files(run: Path) -> None:
    assert [standalone(f) for f in drawn(run)] == [standalone(f) for f in drawn(run)]


def test_a_renderer_that_is_no_browser_draws_the_colours(ranked: Path) -> None:
    resvg = pytest.importorskip("resvg_py")
    image = pytest.importorskip("PIL.Image")
    import io

    for figure in drawn(ranked):
        data = bytes(resvg.svg_to_bytes(svg_string=standalone(figure)))
        pixels = np.asarray(image.open(io.BytesIO(data)).convert("RGB")).reshape(-1, 3).astype(int)
        assert (pixels[0] == 255).all()
        assert (np.ptp(pixels, axis=1) > 40).any(), figure.name  # the accent, not black alone
