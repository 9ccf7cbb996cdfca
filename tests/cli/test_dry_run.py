"""A dry run says what is cached, and what like stages took where this cache holds one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import command


@pytest.fixture
def plan(cli):
    """Return the rows of a dry run by kind of stage."""

    def rows(*more: str, **choices: str) -> dict[str, dict[str, Any]]:
        found = json.loads(cli(*command("--dry-run", "--json", *more, **choices)).out)
        return {row["kind"]: row for row in found}

    return rows


def test_nothing_measured_shows_no_seconds(plan) -> None:
    assert {(row["state"], row["seconds"]) for row in plan().values()} == {("", None)}


def test_dry_run_after_a_run(cli, plan) -> None:
    assert cli(*command("--out", "run")).code == 0
    assert {(row["state"], row["seconds"]) for row in plan().values()} == {("cached", None)}
    stages = json.loads(Path("run/environment.json").read_text())["stages"]
    took = {stage["key"][:16]: stage["seconds"] for stage in stages}
    again = plan("--recompute", "all")
    assert {row["key"]: row["seconds"] for row in again.values()}.items() <= took.items()
    seeds = plan("--seed", "7")
    assert seeds["data"]["state"] == "cached"
    assert seeds["generator"]["seconds"] == again["generator"]["seconds"]
    longer = plan(generator="wgan-gp:iterations=4,width=4,batch=8")
    assert longer["generator"]["seconds"] is None
    larger = plan(dataset="phantom:size=64,train=64,validation=16,test=32")
    assert {row["seconds"] for row in larger.values()} == {None}


def test_explainers_have_one_row_each(cli) -> None:
    lines = cli(*command("--dry-run", explainer=["saliency", "random"])).out.splitlines()
    rows = [line.split()[1:] for line in lines if line.split()[:1] == ["explainer"]]
    assert rows == [["saliency", "4", "of", "4"], ["random", "4", "of", "4"]]
