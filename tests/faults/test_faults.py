"""The faults of `scripts/faults`, a few times each: nothing is lost."""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from crowd import crowd, locks_lost, owner_killed
from damage import damage, harm, tidying
from disks import full, read_only, refused_writes
from lab import SPEC, Lab
from outcome import Outcome
from page import page
from strikes import kills, stops

ROOT = Path(__file__).parents[2]
SMALL = [word if word != "all" else "truth" for word in SPEC]  # few stages, none of them slow


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"), SMALL)


def assert_nothing_lost(outcome: Outcome, times: int) -> None:
    assert (outcome.values_lost, outcome.differing, outcome.wrong) == (0, [], [])
    if not outcome.injected.startswith("not injected"):
        assert outcome.times >= times


def test_a_killed_run_ends_as_if_nothing_had_happened(lab: Lab) -> None:
    assert_nothing_lost(kills(lab, 1, random.Random(0)), 1)


def test_a_value_that_differs_in_one_bit_is_not_overlooked(lab: Lab) -> None:
    cache = lab.partial(set())
    assert lab.differences(cache, lab.reference / "run") == []
    (weights,) = cache.glob("encoder/*/weights.safetensors")
    harm(weights, "a flipped bit", random.Random(0))
    shutil.rmtree(cache / "cases")
    named = lab.differences(cache, lab.reference / "run")
    assert [name.split("/")[0] for name in named] == ["cases", "encoder"]


FAULTS: dict[str, Callable[[Lab, int, random.Random], Outcome]] = {
    "killed": kills,
    "Ctrl-C": lambda lab, n, rng: stops(lab, signal.SIGINT, n, rng),
    "SIGTERM": lambda lab, n, rng: stops(lab, signal.SIGTERM, n, rng),
    "damaged files": damage,
    "tidying up": tidying,
    "no space": lambda lab, n, rng: refused_writes(lab, "ENOSPC", n, rng),
    "quota": lambda lab, n, rng: refused_writes(lab, "EDQUOT", n, rng),
    "a full disk": full,
    "read-only": read_only,
    "eight processes": lambda lab, n, rng: crowd(lab, n // 3, rng),
    "the owner killed": lambda lab, n, rng: owner_killed(lab, n // 3, rng),
    "locks lost": lambda lab, n, rng: locks_lost(lab, n // 3, rng),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_nothing_is_lost(lab: Lab, fault: Callable[[Lab, int, random.Random], Outcome]) -> None:
    assert_nothing_lost(fault(lab, 3, random.Random(1)), 1)


def test_the_page_says_what_the_faults_came_to() -> None:
    results = json.loads((ROOT / "docs" / "faults.json").read_text())
    committed = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    assert committed == page(results), "write it again with: python scripts/faults/page.py"


def test_the_page_does_not_hide_what_was_lost() -> None:
    results = json.loads((ROOT / "docs" / "faults.json").read_text())
    results["kill"] |= {"values_lost": 2, "differing": ["records"], "wrong": ["exit 1"]}
    assert "| 2 values; 1 results differ; exit 1 |" in page(results)
