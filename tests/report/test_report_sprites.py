from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from made_up_run import add_ways
from PIL import Image

from gvr_bench.report.cases import sprites
from gvr_bench.report.cases.reading import Combination, read_cases
from gvr_bench.report.cases.sprites import (
    Bytes,
    CheckReport,
    Encoding,
    budget,
    layers_of,
    sheet_of,
    sheets,
    signed_bytes,
)

Make = Callable[..., Path]


def read(folder: Path) -> Combination:
    (combination,) = read_cases(folder)
    return combination


@pytest.fixture
def moving(make_run: Make) -> Combination:
    """Three cases of 28 pixels, with the way to each counterfactual."""
    return read(add_ways(make_run(n=3, size=28)))


def planes(sheet: CheckReport, n: int) -> Bytes:
    """The layers of a sheet as a browser cuts them out."""
    picture = np.asarray(Image.open(io.BytesIO(sheet.data)).convert("L"))
    wide, tall = sheet.cell
    corners = [(at // sheet.columns * tall, at % sheet.columns * wide) for at in range(n)]
    return np.stack([picture[y : y + sheet.height, x : x + sheet.width] for y, x in corners])


def test_what_is_no_number_is_drawn_as_nothing() -> None:
    values = np.array([np.nan, 0, 2, -2, 4, -np.inf, 99], np.float32)
    assert signed_bytes(values, 4).tolist() == [128, 128, 192, 64, 255, 1, 255]


def test_without_loss_every_byte_of_every_picture_comes_back(moving: Combination) -> None:
    layers = layers_of(moving)
    for i in range(3):
        found = planes(sheet_of(layers, i, Encoding()), len(layers.case(i)))
        found[layers.moved] = found[layers.base] - found[layers.moved]
        np.testing.assert_array_equal(found, layers.case(i))


def test_a_way_is_kept_from_after_its_start_to_the_counterfactual(moving: Combination) -> None:
    layers, gvr = layers_of(moving), moving.explainers[1]
    assert (gvr.name, layers.places["frames 0"]) == ("gvr", layers.moved[0])
    assert gvr.path is not None
    assert gvr.counterfactual is not None
    way = layers.case(1)[layers.moved]
    np.testing.assert_array_equal(way, [*gvr.path[1, 1:-1, 0], gvr.counterfactual[1, 0]])


def test_an_explainer_without_a_way_keeps_its_counterfactual_alone(make_run: Make) -> None:
    layers = layers_of(read(make_run(n=1, size=8)))
    assert len(layers.moved) == 1
    assert layers.reach > 0


def test_colours_move_from_the_same_channel_of_the_reconstruction(make_run: Make) -> None:
    folder = add_ways(make_run(n=1, size=8))
    with h5py.File(folder / "cases.h5", "a") as file:
        for name in ("input", "reconstruction", "samples", "explainers/gvr/counterfactual"):
            data = np.repeat(file[f"0/{name}"][:], 3, axis=1)
            del file[f"0/{name}"]
            file[f"0/{name}"] = data
        path = np.repeat(file["0/explainers/gvr/path"][:], 3, axis=2)
        del file["0/explainers/gvr/path"]
        file["0/explainers/gvr/path"] = path
    layers = layers_of(read(folder))
    assert layers.places["reconstruction"] == 3
    assert layers.base.tolist() == [3, 4, 5] * 7


def test_with_loss_pictures_stay_close_and_nothing_stays_nothing(moving: Combination) -> None:
    layers = layers_of(moving)
    sheet = sheet_of(layers, 0, Encoding(95))
    found = planes(sheet, len(layers.case(0))).astype(np.float32)
    moved = (found[layers.moved] - 128) / 127 * layers.reach
    found[layers.moved] = found[layers.base] - moved
    assert np.abs(found - layers.case(0)).mean() < 4
    assert sheet.cell == (32, 32)  # no block holds parts of two layers


@pytest.mark.parametrize("most", [1200, 2800, 5200])
def test_pictures_lose_quality_until_all_cases_fit(
    make_run: Make, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    every = [layers_of(read(make_run(n=6, size=40)))]
    monkeypatch.setattr(sprites, "PER_CASE", most)
    monkeypatch.setattr(sprites, "_FEWEST", 1)
    encoding, (drawn,) = sheets(every)
    assert not encoding.exact
    assert sum(len(sheet.text) for sheet in drawn) <= budget(6) * 1.01
    better = sprites.LADDER[sprites.LADDER.index(encoding) - 1]
    assert len(sheet_of(every[0], 0, better).text) * 1.2 > most
    assert [sheet.data for sheet in drawn] == [sheet.data for sheet in sheets(every)[1][0]]


def test_an_estimate_that_was_too_small_is_mended(
    moving: Combination, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = [layers_of(moving)]
    monkeypatch.setattr(sprites, "_estimate", lambda layers, encoding: 0.0)
    monkeypatch.setattr(sprites, "PER_CASE", 4000)
    monkeypatch.setattr(sprites, "_FEWEST", 1)
    _, (drawn,) = sheets(every)
    assert sum(len(sheet.data) for sheet in drawn) * 4 / 3 <= budget(3)


def test_pictures_wider_than_a_screen_shows_are_made_smaller(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        del file["0/explainers"], file["0/reconstruction"], file["0/mask"], file["0/true_change"]
        del file["0/input"], file["0/samples"]
        file["0/input"] = np.full((1, 1, 600, 1200), 77, np.uint8)
    encoding, ((sheet,),) = sheets([layers_of(read(folder))])
    assert (encoding.exact, encoding.shrink) == (True, 4)
    assert (sheet.width, sheet.height) == (300, 150)
    assert (planes(sheet, 1) == 77).all()


def test_the_budget_of_a_page_grows_with_its_cases_and_leaves_room_for_the_rest() -> None:
    assert budget(12) == budget(100) == 8_000_000  # of 15 million
    assert budget(500) == budget(5000) == 40_000_000  # of 60 million
