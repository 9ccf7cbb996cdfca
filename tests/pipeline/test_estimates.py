"""A plan says what it will take, and how it knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from made_up_stages import BINARY, Bank, Squares
from tiny import Packages, command, plan_of

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cli.plan import duration, size
from gvr_bench.core.stage import StageKind
from gvr_bench.pipeline import estimates
from gvr_bench.pipeline import workload as w
from gvr_bench.pipeline.estimates import Measured, distance, estimate, measured_in, ratio, reference
from gvr_bench.pipeline.score_graph import PERTURBED
from gvr_bench.pipeline.steps import class_autoencoders as class_autoencoders
from gvr_bench.pipeline.steps import decoding, oracle, student
from gvr_bench.pipeline.steps import perturbed_explanations as probes
from gvr_bench.pipeline.workload import Job, Scene, memory_of, room_of, work_of
from gvr_bench.registry.registry import Registry

SCENE = Scene(numbers=1024, train=600, validation=50, test=100, cases=40)
KINDS = (
    "data", "cases", "generator", "encoder", "latents", "head", "prediction", "explanations",
    "oracle", "class_autoencoders", "decoding", "perturbed_explanations", "student_training_set", "student", "scores",
)  # fmt: skip


def job(kind: str = "generator", scene: Scene = SCENE, name: str = "made", **settings) -> Job:
    return Job(kind, name, "1", settings, {}, scene)


def measured(one: Job, seconds: float, **more) -> Measured:
    return Measured(one, "cpu", seconds, 1000.0, 1e6, **more)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Measured]:
    """Nothing is known of a reference machine but what the test adds."""
    rows: list[Measured] = []
    told = estimates.Reference("a made-up machine", 1e8, rows)  # type: ignore[arg-type]
    monkeypatch.setattr(estimates, "reference", lambda: told)
    return rows


def test_what_was_measured_nowhere_is_not_guessed(
    tmp_path: Path, registry: Registry, nowhere
) -> None:
    found = estimate(plan_of(registry), ArtifactCache(tmp_path), "cpu")
    assert {one.source for one in found} == {"?"}
    assert {(one.seconds, one.disk, one.memory) for one in found} == {(None, None, None)}


def test_an_explainer_nobody_measured_is_unknown_and_the_rest_is_not(
    packages: Packages, use_packages, cli
) -> None:
    packages.explainer("gvr-made", "made", "return gvr.Explanation(attribution=x[:, 0])")
    use_packages()
    rows = json.loads(cli(*command("--dry-run", "--json", explainer="made")).out)
    assert {row["kind"] for row in rows if row["from"] == "?"} == {"explanations", "scores"}
    assert {row["from"] for row in rows} == {"?", "reference"}
    text = " ".join(cli(*command("--dry-run", explainer="made")).out.split())
    assert "; 4 stages unknown" in text
    assert "reference: measured on" in text


def test_another_device_is_not_told_of_by_this_one(
    tmp_path: Path, registry: Registry, nowhere
) -> None:
    nowhere.extend(reference().measured)
    found = estimate(plan_of(registry), ArtifactCache(tmp_path), "cuda")
    assert {one.source for one in found} == {"?"}


def test_twice_the_steps_take_twice_the_time() -> None:
    one, two = (job(iterations=n, batch=8, width=4) for n in (10, 20))
    assert ratio(two, one) == 2
    assert ratio(job(iterations=10, batch=8, width=8), one) == 4
    larger = Scene(4096, 600, 50, 100, 40)
    assert ratio(job(scene=larger, iterations=10, batch=8, width=4), one) == 4


def test_the_nearest_counts_and_this_machine_before_another() -> None:
    wanted = job(iterations=100, batch=8)
    far, near = (measured(job(iterations=n, batch=8), n) for n in (2, 90))
    assert distance(wanted, near) < distance(wanted, far)
    there = measured(job(iterations=100, batch=8), 1.0, here=False)
    assert distance(wanted, near) < distance(wanted, there) < distance(wanted, far)
    other = measured(job(iterations=100, batch=8, penalty=3), 1.0)
    assert distance(wanted, other) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_stage_has_work(kind: str) -> None:
    for scene in (SCENE, Scene(1024, 6000, 50, 100, 40)):
        one = job(kind, scene)
        assert all(count > 0 for count in work_of(one).values())
        assert room_of(one) > 0
        assert memory_of(one) > 0


def test_no_kind_of_stage_is_forgotten() -> None:
    assert set(KINDS) == set(get_args(StageKind))


def test_the_counts_are_those_of_the_stages() -> None:
    assert (w.ORACLE_BATCH, w.ORACLE_STEPS, w.ORACLE_EPOCHS) == (
        oracle.BATCH,
        oracle.STEPS,
        oracle.EPOCHS,
    )
    assert (w.JUDGE_BATCH, w.JUDGE_STEPS, w.JUDGE_EPOCHS) == (
        class_autoencoders.BATCH,
        class_autoencoders.STEPS,
        class_autoencoders.EPOCHS,
    )
    assert decoding.IMAGES == w.MOST_DECODED
    assert student.SIZES[-1] == w.MOST_TAUGHT
    assert student.SIDE**2 == w.MOST_STUDENT
    assert {PERTURBED: probes.DRAWS} == w.DRAWS


def test_a_damaged_value_tells_nothing(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    stage = bank.stage("data", component=Squares(BINARY))
    place = ArtifactCache(tmp_path).write_dir(stage)
    place.mkdir(parents=True)
    (place / "meta.json").write_text("{}")
    assert list(measured_in(ArtifactCache(tmp_path, tmp_path / "none"))) == []


@pytest.mark.slow
def test_what_a_store_has_measured_is_what_it_takes_again(cli, tmp_path: Path) -> None:
    assert cli(*command("--out", "run")).code == 0
    stored = json.loads(cli(*command("--dry-run", "--json")).out)
    assert {(row["state"], row["seconds"], row["from"]) for row in stored} == {("stored", None, "")}
    again = json.loads(cli(*command("--dry-run", "--json", "--recompute", "all")).out)
    stages = json.loads(Path("run/environment.json").read_text())["stages"]
    took = {stage["key"][:16]: stage["seconds"] for stage in stages}
    assert {row["from"] for row in again} == {"this cache"}
    assert {row["key"]: row["seconds"] for row in again} == pytest.approx(took)
    assert all(row["disk_bytes"] > 0 and row["memory_bytes"] > 1e8 for row in again)


@pytest.mark.slow
def test_a_training_ten_times_as_long_is_foretold_within_a_factor_of_two(cli) -> None:
    small, large = "wgan-gp:iterations=40,width=4,batch=8", "wgan-gp:iterations=400,width=4,batch=8"
    assert cli(*command("--out", "run", generator=small)).code == 0
    rows = json.loads(cli(*command("--dry-run", "--json", generator=large)).out)
    (told,) = [row for row in rows if row["kind"] == "generator"]
    assert told["from"] == "this cache"
    assert cli(*command("--out", "long", generator=large)).code == 0
    stages = json.loads(Path("long/environment.json").read_text())["stages"]
    (took,) = [stage["seconds"] for stage in stages if stage["kind"] == "generator"]
    assert took / 2 < told["seconds"] < took * 2


def test_what_comes_with_the_package_was_measured() -> None:
    told = reference()
    assert told.machine
    assert len(told.measured) > 100
    assert {one.job.kind for one in told.measured} == set(KINDS)
    for one in told.measured:
        assert one.seconds > 0
        assert one.disk > 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.02, "0.1 s"), (3.21, "3.2 s"), (59.6, "60 s"), (119, "119 s"), (600, "10 min"),
     (7300, "2 h"), (1e6, "12 days")],
)  # fmt: skip
def test_times_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(5, "0.1 kB"), (1.25e6, "1.2 MB"), (3.4e10, "34 GB"), (2e12, "2.0 TB")]
)
def test_sizes_are_short(count: float, text: str) -> None:
    assert size(count) == text
