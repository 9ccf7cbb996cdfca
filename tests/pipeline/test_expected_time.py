"""The first line of a run says how long it takes, as far as its cache has measured like stages."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import FAST, command, plan_of

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.pipeline.expected_time import ExpectedTime, measured_seconds, rough_duration
from gvr_bench.pipeline.plan import Plan
from gvr_bench.registry.registry import Registry


@pytest.fixture
def plan(registry: Registry):
    """Plan a tiny run of so many cases."""

    def with_cases(cases: int, **flags: object) -> Plan:
        return plan_of(registry, {"metrics": list(FAST), "max_cases": cases, **flags})

    return with_cases


def keys_of(plan: Plan) -> set[str]:
    return {stage.key for stage in plan.stages}


def test_an_empty_cache_knows_no_time(plan, tmp_path: Path) -> None:
    empty = ArtifactCache(tmp_path)
    few, many = plan(4), plan(40, profile="standard")
    line = ExpectedTime(few, empty, "cpu").sentence(keys_of(few))
    assert line.endswith(" stages to compute, the time unknown to this cache")
    line = ExpectedTime(many, empty, "cpu").sentence(keys_of(many))
    assert line.endswith("; less with --profile quick; less with --max-cases 20")


def test_time_grows_with_the_number_of_cases(cli, plan, tmp_path: Path) -> None:
    assert cli(*command("--out", "run")).code == 0
    cache = ArtifactCache(tmp_path / "cache")
    few, many = plan(4), plan(40)
    before, expected = (ExpectedTime(p, cache, "cpu") for p in (few, many))
    for stage, larger in zip(few.stages, many.stages, strict=True):
        times = 10 if larger.kind in ("explanations", "scores") else 1
        assert expected.seconds[larger.key] == pytest.approx(before.seconds[stage.key] * times)
    whole = expected.of(keys_of(many))
    assert whole is not None
    assert whole > expected.of(keys_of(many), 20) > before.of(keys_of(few))
    line = expected.sentence(keys_of(many))
    assert f", about {rough_duration(whole)}; about " in line
    assert line.endswith(" with --max-cases 20")

    training = next(stage.key for stage in many.stages if stage.kind == "generator")
    expected.share(2, {training})
    assert expected.of(keys_of(many)) == pytest.approx((whole + expected.seconds[training]) / 2)


def test_times_of_another_device_say_nothing(cli, tmp_path: Path) -> None:
    assert cli(*command("--out", "run")).code == 0
    assert measured_seconds(ArtifactCache(tmp_path / "cache"), "cuda") == {}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.02, "0.1 s"), (3.21, "3.2 s"), (59.6, "60 s"), (600, "10 min"), (1e6, "12 days")],
)
def test_durations_have_two_digits(seconds: float, text: str) -> None:
    assert rough_duration(seconds) == text
