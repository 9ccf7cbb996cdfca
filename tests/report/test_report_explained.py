"""The page and the pictures of new images, from the files of their folder alone."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from PIL import Image

from gvr_bench.cache.hdf5 import write_arrays
from gvr_bench.core.errors import DataError
from gvr_bench.report.explain_page import table, write_explained
from gvr_bench.report.rationale_picture import EDGE, Bytes, Float, RationalePicture
from gvr_bench.results.explained_images import (
    ExplainedImage,
    ExplainedImages,
    ExplainerResult,
    OutputExplanation,
    read_explanations,
    write_explanations,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = "<img src=x onerror=alert(1)>\"'& 🫁 אב.png"
WARNING = "unlike the images of the run, so do not trust its explanations: reconstruction error 9"


def result(explainer: str = "gvr", **changes: Any) -> ExplainerResult:
    base: dict[str, Any] = {
        "explainer": explainer, "key": "0" * 64, "status": "ok",
        "picture": f"pictures/a/{explainer}.png",
    }  # fmt: skip
    return ExplainerResult(**base | changes)


SUCCESS = result(success=True, steps=7, prediction_after=0.2)
LOST = result(success=False, steps=500, prediction_after=0.8, reason="still at 0.8")


def image(name: str = "a.png", *outputs: OutputExplanation, **changes: Any) -> ExplainedImage:
    base: dict[str, Any] = {
        "name": name, "path": f"in/{name}", "sha256": "1" * 64, "reconstruction_error": 0.1,
        "latent_distance": 9.0, "warning": "", "predictions": {"mass": 0.9}, "note": "",
    }  # fmt: skip
    return ExplainedImage(explanations=outputs, **base | changes)


def output(*results: ExplainerResult, predicted: bool = True) -> OutputExplanation:
    return OutputExplanation("mass", None, predicted, 0.9, None, results)


def made_up(*images: ExplainedImage) -> ExplainedImages:
    return ExplainedImages(
        gvr_bench="1.2.3", run="phantom-1c3d", dataset="phantom", generator="wgan-gp",
        encoder="conv", head="linear", seed=0, kind="binary", outputs=("mass",), unit="",
        keys={"head": "2" * 64}, reconstruction_error_limit=0.2, latent_distance_limit=12.0,
        test_images=100, images=images, unreadable=(),
    )  # fmt: skip


def write(
    folder: Path, explained: ExplainedImages, count: int | None = None, size: int = 8
) -> Path:
    """Write a folder as `gvr-bench explain` does, with `count` cases and two explainers."""
    folder.mkdir()
    write_explanations(folder, explained)
    names = [item.name for item in explained.images for _ in item.explanations]
    n = len(names) if count is None else count
    rng = np.random.default_rng(0)
    with h5py.File(folder / "cases.h5", "w") as file:
        group = file.create_group("0")
        group.attrs.update(dataset="phantom", generator="wgan-gp", encoder="conv", head="linear",
                           seed=0, kind="binary", outputs='["mass"]', unit="",
                           threshold=np.nan, total=n)  # fmt: skip
        explainers = group.create_group("explainers", track_order=True)
        if n == 0:
            return folder
        pixels = rng.integers(0, 256, (n, 1, size, size), np.uint8)
        text = np.array((names * n)[:n], object)
        columns = {
            "input": pixels, "reconstruction": pixels, "source_class": np.zeros(n, np.int64),
            "target_class": np.zeros(n, np.int64), "label": np.full(n, np.nan, np.float32),
            "prediction": np.full(n, 0.9, np.float32), "predicts_source": np.ones(n, bool),
        }  # fmt: skip
        for name, array in columns.items():
            group[name] = array
        for name in ("sample_id", "patient_id"):
            group.create_dataset(name, data=text, dtype=h5py.string_dtype())
        for name in ("gvr", "saliency"):
            part = explainers.create_group(name)
            role = "counterfactual" if name == "gvr" else "attribution"
            part.attrs.update(role=role, status="ok", reason="")
            part["attribution"] = rng.normal(size=(n, size, size)).astype(np.float32)
            if name == "gvr":
                part["counterfactual"] = pixels[::-1]
                part["success"] = np.ones(n, bool)
                part["prediction_after"] = np.full(n, 0.2, np.float32)
    return folder


def page(folder: Path) -> str:
    write_explained(folder)
    return (folder / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("harm", ["cut", "[]", "{}", "NaN", "other field"])
def test_damaged_explanations_are_named(harm: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "new", made_up(image("a.png", output(SUCCESS))))
    file = folder / "explanations.json"
    text = file.read_text(encoding="utf-8")
    changed = {
        "cut": text[:-30],
        "NaN": text.replace("0.2", "NaN", 1),
        "other field": text.replace('"run"', '"ran"'),
    }
    file.write_text(changed.get(harm, harm), encoding="utf-8")
    with pytest.raises(DataError, match=r"explanations\.json.*gvr-bench explain"):
        write_explained(folder)


def test_mismatched_cases_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "new", made_up(image("a.png", output(SUCCESS))), count=2)
    with pytest.raises(DataError, match="do not belong together"):
        write_explained(folder)


@pytest.mark.parametrize("where", ["../out.png", "/tmp/out.png", "pictures/a.html"])
def test_pictures_stay_in_folder(where: str, tmp_path: Path) -> None:
    bad = dataclasses.replace(SUCCESS, picture=where)
    folder = write(tmp_path / "new", made_up(image("a.png", output(bad))))
    with pytest.raises(DataError, match="is no picture of this folder"):
        write_explained(folder)
    assert not list(tmp_path.glob("*.png"))


def test_explained_page_escapes_names(tmp_path: Path) -> None:
    item = image(HOSTILE, output(SUCCESS, result("saliency")), warning=WARNING)
    text = page(write(tmp_path / "new", made_up(item)))
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "default-src 'none'" in text
    assert "http" not in text.replace("http-equiv", "")
    assert text.count(WARNING) >= 2


def test_page_gives_reason_without_explanations(tmp_path: Path) -> None:
    item = image("a.png", note="the model does not see mass: nothing to explain")
    text = page(write(tmp_path / "new", made_up(item)))
    assert "the model does not see mass: nothing to explain" in text
    assert 'class="gallery"' not in text


def test_image_without_explanations_is_shown(tmp_path: Path) -> None:
    folder = write(tmp_path / "new", made_up(image("a.png", note="nothing to explain")))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 1, 8, 8), np.uint8)
    write_arrays(folder / "images.h5", {"image": pixels, "reconstruction": pixels})
    text = page(folder)
    assert 'alt="Image a.png"' in text
    assert 'alt="Reconstruction of image a.png"' in text
    assert "Map of" not in text


def test_damaged_images_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "new", made_up(image("a.png", note="nothing to explain")))
    (folder / "images.h5").write_bytes(b"no HDF5")
    with pytest.raises(DataError, match=r"images\.h5.*gvr-bench explain"):
        write_explained(folder)


def test_image_links_to_its_case(tmp_path: Path) -> None:
    both = image("a.png", output(SUCCESS), output(LOST)), image("b.png", output(LOST))
    text = page(write(tmp_path / "new", made_up(*both)))
    assert '<a href="#case-0-0"><bdi>a.png</bdi></a>' in text
    assert '<a href="#case-0-2"><bdi>b.png</bdi></a>' in text
    assert 'id="case-0-2"' in text
    assert "decision not changed: still at 0.8" in text
    assert "not labelled" not in text


def test_warning_is_beside_maps(tmp_path: Path) -> None:
    item = image("a.png", output(SUCCESS, result("saliency")), warning=WARNING)
    folder = write(tmp_path / "new", made_up(item))
    with h5py.File(folder / "cases.h5", "a") as file:
        explainers = file["0/explainers"]
        explainers.copy("saliency", explainers, "lime")  # from three on there is a table of maps
    text = page(folder)
    maps = text[text.index('<section id="maps"') : text.index('<section id="cases"')]
    assert WARNING in maps
    assert "not labelled" not in text


def test_each_rationale_has_a_picture(tmp_path: Path) -> None:
    lines = []
    item = image("a.png", output(SUCCESS, result("saliency")))
    folder = write(tmp_path / "new", made_up(item))
    write_explained(folder, lambda done, total, _: lines.append((done, total)))
    assert sorted(p.name for p in (folder / "pictures/a").iterdir()) == ["gvr.png", "saliency.png"]
    assert lines == [(1, 2), (2, 2)]


def test_second_page_has_equal_bytes(tmp_path: Path) -> None:
    folder = write(tmp_path / "new", made_up(image("a.png", output(SUCCESS))))
    first = page(folder), (folder / "pictures/a/gvr.png").read_bytes()
    assert (page(folder), (folder / "pictures/a/gvr.png").read_bytes()) == first


def drawing_of(
    name: str, image: Bytes, attribution: Float, counterfactual: Bytes | None
) -> RationalePicture:
    return RationalePicture(
        name, name, name, None, "", image, attribution, counterfactual, prediction=0.9,
        prediction_after=None, predicted=True, success=None, reason="", warning="", scale=1.0,
    )  # fmt: skip


def test_rationale_picture_has_its_colours() -> None:
    grey = np.full((1, 4, 4), 100, np.uint8)
    attribution = np.zeros((4, 4), np.float32)
    attribution[0, 0], attribution[3, 3] = 1, -1
    drawing = drawing_of("a", grey, attribution, np.full((1, 4, 4), 200, np.uint8))
    with Image.open(io.BytesIO(drawing.png())) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    top, first, second, third = 98, 24, 24 + EDGE + 16, 24 + 2 * (EDGE + 16)
    cell = EDGE // 4
    assert pixels[top + 5, first + 5].tolist() == [100] * 3
    assert pixels[top + 5, third + 5].tolist() == [200] * 3
    assert np.ptp(pixels[top + 2 * cell, second + cell]) < 10
    red, green, blue = pixels[top + 5, second + 5].tolist()
    assert blue > red > green  # purple
    red, green, blue = pixels[top + 4 * cell - 5, second + 4 * cell - 5].tolist()
    assert red > green > blue  # orange


@pytest.mark.parametrize("title", [HOSTILE, "\x00\ud800 \x1b[31m", "x" * 5000, ""])
def test_hostile_title_can_be_drawn(title: str) -> None:
    plain = np.zeros((3, 40, 40), np.uint8)
    drawing = drawing_of(title, plain, np.zeros((40, 40), np.float32), None)
    with Image.open(io.BytesIO(drawing.png())) as picture:
        assert picture.size[0] == 3 * EDGE + 2 * 16 + 2 * 24


def test_table_lists_each_outcome() -> None:
    failed = result("cam", status="failed", reason="no map", picture="")
    explained = output(
        SUCCESS, dataclasses.replace(LOST, explainer="other"), result("a"), result("b"), failed
    )
    rows = [
        cells for cells, _ in table(made_up(image("x.png", explained), image("y.png", note="why")))
    ]
    assert rows == [
        ("x.png", "mass", "0.90", "gvr", "0.20", "decision changed in 7 steps"),
        ("", "", "", "other", "0.80", "decision not changed: still at 0.8"),
        ("", "", "", "cam", "–", "failed: no map"),
        ("", "", "", "a, b", "–", "maps"),
        ("y.png", "–", "mass 0.90", "–", "–", "why"),
    ]


def test_explanations_survive_round_trip(tmp_path: Path) -> None:
    explained = made_up(
        image(HOSTILE, output(SUCCESS, LOST)), image("b", predictions={"mass": None})
    )
    write_explanations(tmp_path, explained)
    assert read_explanations(tmp_path) == explained
    assert (
        json.loads((tmp_path / "explanations.json").read_text())["images"][1]["explanations"] == []
    )


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_explained_page_is_accessible(
    width: int, scheme: Any, browser: Browser, tmp_path: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    maps = [result(name) for name in ("saliency",)]
    images = [image(HOSTILE, output(SUCCESS, *maps), warning=WARNING), image("b", note="why")]
    folder = write(tmp_path / "new", made_up(*images))
    page(folder)
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    shown = context.new_page()
    wrong: list[str] = []
    shown.on("console", lambda message: wrong.append(message.text))
    shown.on("pageerror", lambda error: wrong.append(str(error)))
    shown.goto((folder / "index.html").as_uri())
    shown.locator(".case > summary").first.click()
    shown.locator(".case img").first.wait_for()
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    report = axe.run(shown).response["violations"]
    context.close()
    assert [v["id"] for v in report if v["impact"] in ("serious", "critical")] == []
    assert wrong == []
