"""A network that was trained on test images is noticed, by their names or by their pixels."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import records_of

NETWORK = """
from torch import nn

def network():
    return nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 1))
"""
PER_SPLIT = 4


@pytest.fixture
def explain(cli, monkeypatch: pytest.MonkeyPatch):
    """Run a made-up network on made-up images, with a list of what it was trained on."""
    monkeypatch.delitem(sys.modules, "made_up_linear", raising=False)
    Path("made_up_linear.py").write_text(NETWORK)
    rows, rng = ["file,patient,split,spot"], np.random.default_rng(0)
    Path("scans").mkdir()
    for n in range(3 * PER_SPLIT):
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(f"scans/{n}.png")
        part = ("train", "validation", "test")[n // PER_SPLIT]
        rows.append(f"{n}.png,p{n // 2},{part},{n % 2}")
    Path("scans/table.csv").write_text("\n".join(rows) + "\n")

    def run(trained_on: str):
        known = f"untrained=true,probabilities=false,trained_on={trained_on}"
        head = f"torch-model:made_up_linear:network,{known}"
        return cli("run", "--dataset", "folder:size=8", "--data-root", "scans", "--head", head,
                   "--explainer", "edge", "--metrics", "truth", "--no-controls", "--out", "run",
                   "--device", "cpu")  # fmt: skip

    return run


def unseen() -> float:
    (row,) = [row for row in records_of(Path("run")) if row["metric"] == "unseen_images"]
    return float(row["value"])


def test_own_splits_are_unseen(cli, explain) -> None:
    split = cli("datasets", "split", "folder", "--data-root", "scans", "--out", "split.csv")
    assert split.code == 0
    done = explain("split.csv")
    assert done.code == 0, done
    assert unseen() == 1.0
    assert "trained on" not in done.err


def test_listed_test_images_are_counted(explain) -> None:
    with Path("mine.csv").open("w", newline="") as file:  # 9 and, of the same patient, 8
        csv.writer(file).writerows([("file", "patient"), ("0.png", "p0"), ("9.png", "p4")])
    done = explain("mine.csv")
    assert done.code == 0, done
    assert unseen() == 0.5
    assert "trained on 2 of the 4 test images, or on their patients" in " ".join(done.err.split())
    assert "Unseen test images of" in done.out


def test_copies_are_found_by_pixels(explain) -> None:
    folder = Path("training/NORMAL")
    folder.mkdir(parents=True)
    for n in (0, 1, 11):
        Image.open(f"scans/{n}.png").save(folder / f"copy-of-{n}.tif")
    (folder / "notes.txt").write_text("no image")
    assert explain("training").code == 0
    assert unseen() == 0.75


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name\n0.png\n", "has no column 'file'"),
        ("file\n/other/0.png\n", "no file of mine.csv is one of the data set's"),
    ],
)
def test_useless_lists_are_refused(explain, text: str, said: str) -> None:
    Path("mine.csv").write_text(text)
    done = explain("mine.csv")
    assert done.code == 2
    assert said in done.err
