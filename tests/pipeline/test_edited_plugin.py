"""Code that was edited is run again, and nothing else is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tiny import Packages, command, outcomes_of, records_of


def scores(run: str) -> dict[str, float]:
    return {
        row["metric"]: row["value"] for row in records_of(Path(run)) if row["explainer"] == "mine"
    }


def test_edited_explainer_is_run_again(
    cli, packages: Packages, use_packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.explainer("gvr-mine", "mine", "return gvr.Explanation(attribution=x.mean(1))")
    use_packages()
    words = command("--metrics", "truth", explainer="mine")
    assert cli(*words, "--out", "first").code == 0
    source = packages.folder / "gvr_mine_explainer.py"
    source.write_text(source.read_text().replace("x.mean(1)", "-x.mean(1)"))
    monkeypatch.delitem(sys.modules, "gvr_mine_explainer")  # as in another process
    assert cli(*words, "--out", "second").code == 0
    before, after = scores("first"), scores("second")
    assert after["true_change_correlation"] == pytest.approx(-before["true_change_correlation"])
    computed = outcomes_of(Path("second"))["done"]
    assert set(computed) == {"explanations mine", "scores mine"}
