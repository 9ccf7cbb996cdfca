"""Each fault once or more: no value is lost, and results equal those of an undisturbed run."""

from __future__ import annotations

import random
import shutil

import pytest
from harness import SPEC, Lab, Outcome
from scenarios import SCENARIOS, harm, inject

QUICK = [word if word != "all" else "truth" for word in SPEC] + ["--no-controls"]  # few stages


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"), QUICK)


def assert_harmless(outcome: Outcome) -> None:
    if outcome.impossible:
        pytest.skip(outcome.impossible)
    assert (outcome.lost, outcome.different, outcome.wrong) == (0, [], [])
    assert outcome.injections > 0


def test_killed_run_goes_on(lab: Lab) -> None:
    assert_harmless(inject("kill", lab, 1, seed=0))


def test_one_flipped_bit_is_noticed(lab: Lab) -> None:
    cache = lab.partial_cache()
    assert lab.differences(cache, lab.reference / "run") == []
    (weights,) = cache.glob("encoder/*/weights.safetensors")
    harm(weights, "a flipped bit", random.Random(0))
    shutil.rmtree(cache / "cases")
    names = lab.differences(cache, lab.reference / "run")
    assert [name.split("/")[0] for name in names] == ["cases", "encoder"]


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_fault_loses_nothing(lab: Lab, name: str) -> None:
    assert_harmless(inject(name, lab, 1, seed=1))
