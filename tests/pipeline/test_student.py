"""Students of a model: maps of the right place help them, noise does not."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import plan_of
from torch import Tensor

import gvr_bench.api as gvr
from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.checkpoints import FileCheckpoints
from gvr_bench.cache.hdf5 import read_arrays
from gvr_bench.cache.serialization import read_json, write_json
from gvr_bench.core.errors import Unsupported
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.stage_context import StageContext
from gvr_bench.pipeline.steps import STEPS
from gvr_bench.pipeline.steps import student as students
from gvr_bench.pipeline.steps.student import (
    MAX_SIZE,
    Student,
    TrainingSet,
    agreement,
    attention_targets,
    balanced,
    compute_student,
    compute_student_training_set,
    decisions,
    images_needed,
    student_loss,
    train_students,
)
from gvr_bench.registry.registry import installed

CPU = torch.device("cpu")
PATCH = 4  # side of the patches of the made-up images
WIDE = 4 * PATCH


def patches(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy images of 4 x 4 patches, bright or dark; the teacher looks at the first alone."""
    rng = torch.Generator().manual_seed(seed)
    label = 1 - torch.arange(n) % 2
    bright = torch.randint(0, 2, (n, 4, 4), generator=rng)
    bright[:, 0, 0] = label
    signs = bright.repeat_interleave(PATCH, 1).repeat_interleave(PATCH, 2) * 2.0 - 1
    return (0.5 * signs + torch.randn(n, WIDE, WIDE, generator=rng))[:, None], label


def examples(n: int = 40) -> TrainingSet:
    return TrainingSet(*patches(n, seed=0))


def with_maps(plain: TrainingSet, kind: str) -> TrainingSet:
    attribution = torch.zeros(len(plain), WIDE, WIDE)
    if kind == "random":
        attribution.normal_(generator=torch.Generator().manual_seed(1))
    else:
        attribution[:, :PATCH, :PATCH] = 1
    return dataclasses.replace(plain, attribution=attribution)


@pytest.fixture(scope="module")
def learnt() -> Mapping[str, np.ndarray]:
    """Agreement (students, numbers of images) by the maps that the students were given."""
    plain, unseen = examples(), patches(300, seed=2)
    arguments = {"none": plain} | {k: with_maps(plain, k) for k in ("true", "random")}
    taught = {k: train_students(v, [20, 40], 0, gvr.Context(CPU)) for k, v in arguments.items()}
    return {k: agreement(v, *unseen).mean(axis=2) for k, v in taught.items()}


@pytest.mark.slow
def test_maps_of_noise_do_not_help(learnt: Mapping[str, np.ndarray]) -> None:
    gain = learnt["random"] - learnt["none"]
    error = gain.std(axis=0, ddof=1) / len(gain) ** 0.5
    assert (gain.mean(axis=0) <= 2 * error).all()


@pytest.mark.slow
def test_true_maps_save_images(learnt: Mapping[str, np.ndarray]) -> None:
    gain = learnt["true"][:, 0] - learnt["none"][:, 0]
    assert (gain > 0).all()
    assert gain.mean() > 0.15
    assert learnt["true"].mean(axis=0)[0] > learnt["none"].mean(axis=0)[1]  # 20 do better than 40


@pytest.mark.slow
def test_more_images_teach_more(learnt: Mapping[str, np.ndarray]) -> None:
    few, many = learnt["none"].mean(axis=0)
    assert many > few + 0.1


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(students, "OPTIMIZER_STEPS", 4)
    monkeypatch.setattr(students, "STUDENTS", 2)


def weights(taught: list[list[Student]]) -> Tensor:
    """All weights, (students, numbers of images, weights)."""
    rows = [[torch.cat([p.flatten() for p in s.parameters()]) for s in row] for row in taught]
    return torch.stack([torch.stack(row) for row in rows]).detach()


@pytest.mark.usefixtures("hurried")
def test_students_depend_on_the_seed() -> None:
    def taught(seed: int, draws: int) -> Tensor:
        return weights(train_students(examples(), [10, 20], seed, gvr.Context(CPU, seed=draws)))

    assert taught(0, 1).equal(taught(0, 2))  # whatever the explainer, the draws are alike
    assert not taught(0, 1).equal(taught(1, 1))


@pytest.mark.usefixtures("hurried")
def test_empty_maps_are_no_maps() -> None:
    plain = examples()
    empty = dataclasses.replace(plain, attribution=torch.zeros(len(plain), WIDE, WIDE))
    alone, taught = (weights(train_students(v, [10], 0, gvr.Context(CPU))) for v in (plain, empty))
    assert alone.allclose(taught)
    pulled = weights(train_students(with_maps(plain, "true"), [10], 0, gvr.Context(CPU)))
    assert not alone.allclose(pulled)


@pytest.mark.usefixtures("hurried")
def test_student_learns_from_its_images_only() -> None:
    def taught(wrong: int | None) -> Tensor:
        plain = examples()
        if wrong is not None:
            plain.label[wrong] = 1 - plain.label[wrong]
        return weights(train_students(plain, [10], 0, gvr.Context(CPU)))[:, 0]

    right = taught(None)
    visited = torch.stack([(taught(i) != right).any(dim=1) for i in range(40)])
    assert visited.sum(dim=0).tolist() == [10, 10]
    assert not visited[:, 0].equal(visited[:, 1])


@pytest.mark.usefixtures("hurried")
def test_smaller_training_sets_are_prefixes() -> None:
    order = students.shuffled(40, seed=3)
    assert sorted(order.tolist()) == list(range(40))
    assert (order % 2).tolist() == [0, 1] * 20
    assert not order.equal(students.shuffled(40, seed=4))


@pytest.mark.usefixtures("hurried")
def test_resumed_students_end_the_same(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(done: int, total: int, text: str) -> None:
        if done == 3:
            raise KilledError

    complete = weights(train_students(examples(), [10, 20], 0, gvr.Context(CPU)))
    stored = FileCheckpoints(tmp_path, 0)
    with pytest.raises(KilledError):
        train_students(examples(), [10, 20], 0, gvr.Context(CPU, checkpoints=stored, progress=kill))
    assert stored.load()[0] == 3
    assert weights(
        train_students(examples(), [10, 20], 0, gvr.Context(CPU, checkpoints=stored))
    ).equal(complete)


def test_map_shares_ignore_the_sign() -> None:
    attribution = torch.zeros(2, 4, 4)
    attribution[0, 0, 1], attribution[0, 3, 3] = -3, 1
    assert attention_targets(attribution, 2).tolist() == [[0.75, 0, 0, 0.25], [0, 0, 0, 0]]


def test_attention_on_the_map_is_free() -> None:
    x, label = patches(3, seed=0)
    student = Student(x)
    plain = student_loss(student, x, label, None)
    where = student(x)[1].exp().detach()
    assert student_loss(student, x, label, where).item() == pytest.approx(plain.item(), abs=1e-5)
    elsewhere = where.roll(1, dims=0)
    assert student_loss(student, x, label, elsewhere) > plain + 1e-6


@pytest.mark.parametrize("size", [8, 16, 28, 32, 128])
def test_attention_cells_are_size_independent(size: int) -> None:
    x = students.downscaled(torch.rand(2, 3, size, size))
    assert x.shape[-1] <= MAX_SIZE
    student = Student(x)
    logits, attention = student(x)
    assert logits.shape == (2,)
    assert attention.shape == (2, student.cells**2)
    assert student.cells in {7, 8}
    assert attention.exp().sum(dim=1).tolist() == pytest.approx([1, 1])


def test_constant_images_give_finite_outputs() -> None:
    x = torch.ones(2, 1, 8, 8)
    assert Student(x)(x)[0].isfinite().all()


@pytest.mark.parametrize(
    ("curve", "needed"),
    [
        ([0.5, 0.6, 0.89], math.nan),
        ([0.95, 0.5, 0.99], 10),
        ([0.5, 0.9, 0.5], 20),
        ([0.5, 0.8, 1.0], 20 * 2**0.5),
        ([0.6, 1.0, 1.0], 10 * 2**0.75),
    ],
)
def test_images_needed_from_the_curve(curve: list[float], needed: float) -> None:
    actual = images_needed([10, 20, 40], np.array(curve))
    assert actual == pytest.approx(needed, nan_ok=True)


def test_training_set_is_balanced() -> None:
    side = np.array([1, -1, 0, 1, 0, -1, 1, 1])
    rng = torch.Generator().manual_seed(0)
    assert side[balanced(side, 100, rng)].tolist() == [1, 0, 1, 0]
    assert side[balanced(side, 3, rng)].tolist() == [1, 0]
    assert len(balanced(np.ones(9, np.int64), 100, rng)) == 0


Make = Callable[[str], StageContext]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Make the examples stage of an explainer, or of none, after a tiny model."""
    cache = ArtifactCache(tmp_path_factory.mktemp("cache"))
    plan = plan_of(installed(), explainer=["saliency", "edge"])
    main = {"data", "cases", "generator", "encoder", "latents", "head"}
    for stage in plan.stages:
        if stage.kind in main:
            ctx = gvr.Context(CPU, seed=gvr.seed_from(stage.key))
            STEPS[stage.kind].run(StageContext(stage, cache, ctx))
    (model,) = plan.combinations

    def make(name: str) -> StageContext:
        component = model.explanations[name].component if name in model.explanations else None
        inputs = {"head": model.head_stage, "cases": model.cases}
        stage = Stage(
            "student_training_set", name, "1", {}, inputs, model.seed, component=component
        )
        return StageContext(
            stage, cache, gvr.Context(CPU, seed=gvr.seed_from(stage.key), batch_size=16)
        )

    return make


def test_constant_model_is_not_applicable(model: Make) -> None:
    stage_ctx = model("saliency")
    file = stage_ctx.file(stage_ctx.stage.input("head"), "decision.json")
    actual = read_json(file)
    try:
        write_json(file, actual | {"threshold": [1e9]})
        with pytest.raises(Unsupported, match="0 training images on one side"):
            compute_student_training_set(stage_ctx)
    finally:
        write_json(file, actual)


def test_explainers_share_training_images(model: Make) -> None:
    built = {}
    for name in ("saliency", "edge", "labels only"):
        compute_student_training_set(model(name))
        built[name] = read_arrays(model(name).out("student_training_set.h5"))
    first = built["saliency"]
    n = len(first["position"])
    assert len(np.unique(first["position"])) == n >= 10
    assert first["label"].tolist() == [1, 0] * (n // 2)
    for other in built.values():
        assert (other["position"] == first["position"]).all()
    assert "attribution" not in built["labels only"]
    assert first["attribution"].shape == (n, 32, 32)
    assert not np.allclose(first["attribution"], built["edge"]["attribution"])


def test_labels_are_the_models_decisions(model: Make) -> None:
    stage_ctx = model("saliency")
    net = students.load_model(stage_ctx)
    target = students.common_target(stage_ctx, len(stage_ctx.images("test")))
    with torch.no_grad():
        calls = target.predicts_source(net(stage_ctx.images("test")[torch.arange(len(target))]))
    assert (decisions(stage_ctx, "test") == calls.numpy()).all()


@pytest.mark.usefixtures("hurried")
def test_students_are_asked_about_unseen_images(model: Make) -> None:
    compute_student_training_set(model("edge"))
    stage_ctx = model("edge")
    inputs = {"student_training_set": stage_ctx.stage}
    stage = Stage("student", "edge", "1", {}, inputs, stage_ctx.stage.seed)
    student = dataclasses.replace(stage_ctx, stage=stage)
    compute_student(student)
    actual = read_arrays(student.out("agreement.h5"))
    taught = len(read_arrays(stage_ctx.out("student_training_set.h5"))["label"])
    assert actual["n"].tolist() == [n for n in (10, 20, 40, 80, 160, 320) if n <= taught]
    side = decisions(stage_ctx, "test")
    unseen = 2 * min((side == 1).sum(), (side == 0).sum())
    assert actual["agreement"].shape == (2, len(actual["n"]), unseen)
    assert actual["agreement"].dtype == bool
    assert actual["needed"].shape == (2,)
