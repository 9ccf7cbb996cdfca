from __future__ import annotations

from pathlib import Path

from gvr_bench.report.folder import load
from gvr_bench.report.scores.findings import headlines
from gvr_bench.report.scores.tables import model_tables, scoreboards


def test_the_headlines_are_the_model_then_ground_truth_then_the_rest(run: Path) -> None:
    loaded = load(run)
    found = headlines(model_tables([loaded]), scoreboards([loaded]))
    assert [(item.title, item.value, item.about, item.better) for item in found] == [
        ("AUROC", "0.962", "the model", "up"),
        ("pixel AP", "0.884", "gvr", "up"),
        ("true-change correlation", "0.921", "gvr", "up"),
        ("re-encoded validity", "0.910", "gvr", "up"),
        ("validity", "0.970", "gvr", "up"),
    ]


def test_the_headlines_are_of_several_groups_where_one_has_many_scores(ranked: Path) -> None:
    run = load(ranked)
    assert [item.title for item in headlines([], scoreboards([run]))] == [
        "pixel AP", "true-change correlation", "oracle validity", "re-encoded validity",
        "rationale L1",
    ]  # fmt: skip
