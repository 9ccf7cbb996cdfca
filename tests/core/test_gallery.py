"""What a run copies into its folder for the page."""

from __future__ import annotations

from pathlib import Path

from tiny import command

from gvr_bench.report.cases import read_cases


def test_explainers_are_shown_in_the_order_in_which_they_were_asked_for(cli) -> None:
    asked = ["saliency", "random", "cam", "intensity"]
    assert cli(*command("--out", "run", explainer=asked)).code == 0
    (combination,) = read_cases(Path("run"), 24)
    assert [explained.name for explained in combination.explainers] == asked
