"""What the data stage notices reaches the run folder."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from made_up_stages import BINARY, Bank, Squares
from PIL import Image

import gvr_bench.api as gvr
from gvr_bench.cache.serialization import read_json
from gvr_bench.pipeline.steps.data import compute_data
from gvr_bench.results.run_folder import read_summaries


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path)


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
