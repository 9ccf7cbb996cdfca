"""What the data stage notices reaches the run folder; what cannot be learned is refused."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from made_up_stages import BINARY, TWO, Bank, Squares
from PIL import Image

import gvr_bench.api as gvr
from gvr_bench.cache.serialization import read_json
from gvr_bench.pipeline.steps.data import compute_cases, compute_data
from gvr_bench.results.data_summary import read_summaries


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path)


def cases(bank: Bank, dataset: gvr.Dataset) -> str:
    data = bank.stage("data", component=dataset)
    bank.compute(data, compute_data)
    return compute_cases(bank.stage_ctx(bank.stage("cases", data, component=dataset))) or ""


class Repeated(Squares):
    """Squares whose test images are those of training, with a caution of its own."""

    def split(self, name: str) -> gvr.Split:
        return super().split("train" if name == "test" else name)

    def cautions(self) -> tuple[str, ...]:
        return ("made up by a test",)


def test_data_stage_notices_doubles(bank: Bank) -> None:
    dataset = Repeated(BINARY)
    stage = bank.stage("data", component=dataset)
    built = bank.compute(stage, compute_data)
    summary = read_json(built.out("summary.json"))
    first, second = summary["cautions"]
    assert first == "made up by a test"
    assert second.startswith("48 images of test are the same as images of train")
    assert summary["counts"][0] == ["images", "48", "24", "48"]


@pytest.mark.parametrize(("value", "says"), [(0, "no training image shows"), (1, "every training")])
def test_one_sided_training_split_is_refused(bank: Bank, value: int, says: str) -> None:
    def change(name: str, targets: np.ndarray) -> None:
        if name == "train":
            targets[:] = value

    with pytest.raises(gvr.DataError, match=says):
        cases(bank, Squares(BINARY, change=change))


def test_one_of_two_findings_may_be_missing(bank: Bank) -> None:
    def change(name: str, targets: np.ndarray) -> None:
        if name == "train":
            targets[:, 1] = 0

    assert cases(bank, Squares(TWO, change=change)) == ""


def test_summaries_are_read_and_checked(tmp_path: Path) -> None:
    png = io.BytesIO()
    Image.new("L", (4, 4)).save(png, "PNG")
    entry = '[{"dataset": "a", "counts": [["images", 1, 2, 3]], "cautions": ["b"], "sheet": "%s"}]'
    path = tmp_path / "data.json"
    path.write_text(entry % base64.b64encode(png.getvalue()).decode())
    (summary,) = read_summaries(path)
    assert (summary.counts, summary.cautions) == ((("images", "1", "2", "3"),), ("b",))
    path.write_text(entry % base64.b64encode(b"<svg onload=...>").decode())
    with pytest.raises(ValueError, match="no PNG"):
        read_summaries(path)
