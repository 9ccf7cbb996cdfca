"""Which test images are explained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvr_bench.core.types import SPLITS, Split, Task
from gvr_bench.pipeline.steps.data import choose_cases


def split(targets: list[list[float]]) -> Split:
    n = len(targets)
    names = np.array([f"s{i}" for i in range(n)])
    blank = np.zeros((n, 1, 8, 8), np.uint8)
    return Split(names, names, np.array(targets, np.float32), lambda index: blank[index])


def chosen(targets: list[list[float]], task: Task, limit: int) -> list[tuple[int, int]]:
    position, output = choose_cases(split(targets), task, limit)
    assert position.dtype == output.dtype == np.int64
    return list(zip(position.tolist(), output.tolist(), strict=True))


FINDINGS = Task("multilabel", ("nodule", "mass", "effusion"))
MANY = [[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1]]


def test_no_positive_image_is_no_case() -> None:
    assert chosen([[0, 0, 0]] * 4, FINDINGS, 10) == []


def test_outputs_take_turns() -> None:
    assert chosen(MANY, FINDINGS, 5) == [(0, 0), (1, 1), (5, 2), (1, 0), (3, 1)]


def test_rare_output_is_not_crowded_out() -> None:
    targets = [[1, 0, 0]] * 50 + [[0, 0, 1]]
    assert chosen(targets, FINDINGS, 2) == [(0, 0), (50, 2)]


@pytest.mark.parametrize("limit", range(1, 8))
def test_a_larger_limit_only_adds_cases(limit: int) -> None:
    fewer, more = chosen(MANY, FINDINGS, limit), chosen(MANY, FINDINGS, limit + 1)
    assert fewer == more[: len(fewer)]
    assert len(fewer) == min(limit, 7)


def test_unlabelled_image_is_no_case() -> None:
    assert chosen([[np.nan, 1, 0], [1, 0, 0]], FINDINGS, 9) == [(1, 0), (0, 1)]


def test_multiclass_cases_use_the_source_class() -> None:
    task = Task("multiclass", ("0", "1", "2"), source=2, target=0)
    assert chosen([[2], [0], [1], [2], [2]], task, 2) == [(0, 2), (3, 2)]


def test_value_at_threshold_is_positive() -> None:
    task = Task("regression", ("BNP",), unit="ng/L", threshold=100.0)
    assert chosen([[99.9], [100.0], [np.nan], [2000.0]], task, 9) == [(1, 0), (3, 0)]


def write_folder(rows: list[tuple[str, dict[str, int]]]) -> None:
    """Write small images with a table: split, and a cell for each finding."""
    names = list(rows[0][1])
    lines = [f"file,split,{','.join(names)}"]
    for n, (split, cells) in enumerate(rows):
        Image.fromarray(np.full((8, 8), n, np.uint8)).save(f"{n}.png")
        lines.append(f"{n}.png,{split},{','.join(map(str, cells.values()))}")
    Path("table.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("split", "value", "said"),
    [("train", 0, "a in 0 of 4"), ("validation", 0, "a in 0 of 4"), ("train", 1, "a in 4 of 4")],
)
def test_labels_all_alike_are_refused(cli, tmp_path: Path, split: str, value: int, said: str):
    parts = [name for name in SPLITS for _ in range(4)]
    cells = [{"a": value if part == split else n % 2} for n, part in enumerate(parts)]
    write_folder(list(zip(parts, cells, strict=True)))
    done = cli("run", "--dataset", "folder:size=8", "--data-root", ".", "--device", "cpu")
    assert done.code == 2
    assert f"the labelled images of the split '{split}' are all alike ({said})" in done.err
    assert not list((tmp_path / "cache").glob("generator/*"))


def test_finding_that_cannot_be_learned_is_noted(cli) -> None:
    parts = [name for name in SPLITS for _ in range(4)]
    cells = [{"a": n % 2, "b": int(part == "test")} for n, part in enumerate(parts)]
    write_folder(list(zip(parts, cells, strict=True)))
    networks = ("--generator", "vae:steps=1,width=4", "--encoder", "conv:steps=1,width=4")
    data = ("--dataset", "folder:size=8", "--data-root", ".", "--head", "linear:steps=1")
    done = cli("run", *data, *networks, "--metrics", "truth", "--explainer", "edge")
    assert "the split 'train' are all alike: b in 0 of 4" in " ".join(done.err.split())
