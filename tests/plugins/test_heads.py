from __future__ import annotations

import numpy as np
import pytest
import torch
from gvr_heads import fitting
from gvr_heads.fitting import Best, FittedHead, calibrate, set_scale
from gvr_heads.networks import Linear, Mlp, Residual
from sklearn.metrics import roc_auc_score
from small_parts import Interrupted, Killed, context, same, seeded, weights
from torch import Tensor, nn

import gvr_bench.api as gvr

BINARY = gvr.Task("binary", ("mass",))
TWO = gvr.Task("multilabel", ("mass", "fluid"))
THREE = gvr.Task("multiclass", ("a", "b", "c"), source=0, target=1)
BNP = gvr.Task("regression", ("BNP",), "ng/L", threshold=100.0, scale=gvr.Scale(True, 10))

every = pytest.mark.parametrize("kind", [Linear, Mlp, Residual])
DIM = 6


def head(kind: type[FittedHead], **settings: object) -> FittedHead:
    small = {"steps": 300, "batch": 64, "learning_rate": 1e-2}
    return kind(kind.Settings(**{**small, **settings}))


def latents(task: gvr.Task, n: int, seed: int, noise: float = 0.1) -> gvr.Latents:
    """Latents far from standard, of which a linear rule gives the target."""
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(n, DIM, generator=rng)
    rule = torch.randn(DIM, len(task.outputs), generator=torch.Generator().manual_seed(7))
    values = z @ rule + noise * torch.randn(n, len(task.outputs), generator=rng)
    spread = torch.tensor([100.0, 0.01, 1.0, 1.0, 5.0, 1.0])
    if task.kind == "regression":
        targets = 0.4 + 0.05 * values
    elif task.kind == "multiclass":
        targets = values.argmax(1, keepdim=True).float()
    else:
        targets = (values > 0).float()
    return gvr.Latents(z * spread + 3 * spread, targets)


def fitted(
    kind: type[FittedHead], task: gvr.Task, ctx: gvr.Context, *, start: int = 0, **settings: object
) -> nn.Module:
    made = head(kind, **settings)
    net = seeded(lambda: made.build(DIM, task), start)
    made.fit(net, latents(task, 400, 0), latents(task, 200, 1), task, ctx)
    return net


def helped(kind: type[FittedHead], ctx: gvr.Context, **how: object) -> nn.Module:
    """A head that gets better to the end."""
    return fitted(kind, TWO, ctx, **how)


def misled(
    kind: type[FittedHead], ctx: gvr.Context, *, start: int = 0, **settings: object
) -> nn.Module:
    """A head fitted to the opposite of what it is validated on: the longer, the worse."""
    made, held = head(kind, **settings), latents(BINARY, 200, 1)
    net = seeded(lambda: made.build(DIM, BINARY), start)
    made.fit(net, gvr.Latents(held.z, 1 - held.targets), held, BINARY, ctx)
    return net


@torch.no_grad()
def predict(net: nn.Module, data: gvr.Latents) -> np.ndarray:
    return net(data.z).numpy()


@every
@pytest.mark.parametrize("task", [BINARY, TWO], ids=["binary", "multilabel"])
def test_separable_findings_are_learnt(kind, task):
    test = latents(task, 500, 2)
    predictions = predict(fitted(kind, task, context()), test)
    for k in range(len(task.outputs)):
        assert roc_auc_score(test.targets[:, k], predictions[:, k]) > 0.95


@every
def test_separable_classes_are_learnt(kind):
    test = latents(THREE, 500, 2, noise=0.0)
    outputs = predict(fitted(kind, THREE, context()), test)
    predictions = torch.from_numpy(outputs).softmax(1).numpy()
    assert (predictions.argmax(1) == test.targets[:, 0].numpy()).mean() > 0.85
    for k in range(3):
        assert roc_auc_score(test.targets[:, 0] == k, predictions[:, k]) > 0.95


@every
def test_linear_value_is_learnt(kind):
    test = latents(BNP, 500, 2)
    predictions = predict(fitted(kind, BNP, context()), test)
    assert np.corrcoef(predictions[:, 0], test.targets[:, 0])[0, 1] > 0.95


@every
def test_best_validation_weights_are_restored(kind, monkeypatch):
    monkeypatch.setattr(fitting, "calibrate", lambda *_: None)
    ctx, held = context(), latents(BINARY, 200, 1)
    net = misled(kind, ctx, steps=60, checks=6)
    losses = [row["validation_loss"] for row in ctx.history]
    assert len(losses) == 6
    assert losses[-1] > 1.2 * min(losses)
    with torch.no_grad():
        assert gvr.task_loss(net(held.z), held.targets, BINARY).item() == pytest.approx(min(losses))


@pytest.mark.parametrize("factor", [0.2, 3.0])
def test_temperature_undoes_overconfidence(factor):
    rng = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4000, 1, generator=rng)
    held = gvr.Latents(logits, torch.bernoulli(logits.sigmoid(), generator=rng))
    net = nn.Sequential(nn.Identity(), nn.Linear(1, 1))
    nn.init.constant_(net[1].weight, factor)
    nn.init.zeros_(net[1].bias)
    calibrate(net, held, torch.arange(4000), BINARY)
    assert net[1].weight.item() == pytest.approx(1.0, abs=0.08)


@every
def test_contaminated_head_logs_no_validation(kind):
    ctx = context()
    made, seen = head(kind, contaminated=True, steps=20, checks=4), latents(BINARY, 200, 1)
    made.fit(seeded(lambda: made.build(DIM, BINARY)), seen, seen, BINARY, ctx)
    assert [set(row) for row in ctx.history] == [{"step", "loss"}] * 4


def test_best_keeps_its_own_copy():
    net = nn.Linear(1, 1, bias=False)
    best = Best(net)
    for weight, loss in [(1.0, 3.0), (2.0, 1.0), (3.0, 1.0), (4.0, 2.0)]:
        nn.init.constant_(net.weight, weight)
        best.offer(net, loss)
    best.restore(net)
    assert net.weight.item() == 2.0


@every
@pytest.mark.parametrize("fit", [helped, misled], ids=["best last", "best first"])
def test_resumed_fit_gives_equal_weights(fit, kind, tmp_path):
    checkpoints = Interrupted(tmp_path, at=21)
    whole, killed, resumed = context(), *(context(checkpoints=checkpoints) for _ in range(2))
    short = {"steps": 40, "checks": 8}
    expected = fit(kind, whole, **short)
    with pytest.raises(Killed):
        fit(kind, killed, **short)
    again = fit(kind, resumed, start=99, **short)
    assert resumed.history == whole.history
    assert same(weights(again), weights(expected))


@every
def test_constant_latent_is_harmless(kind):
    made = head(kind)
    train, test = latents(BINARY, 400, 0), latents(BINARY, 400, 1)
    for data in (train, test):
        data.z[:, 2] = 5.0
    net = seeded(lambda: made.build(DIM, BINARY))
    made.fit(net, train, test, BINARY, context())
    predictions = predict(net, test)
    assert np.isfinite(predictions).all()
    assert roc_auc_score(test.targets[:, 0], predictions[:, 0]) > 0.9


@every
def test_input_is_standardised_by_training(kind):
    net = head(kind).build(2, BINARY)
    set_scale(
        net,
        gvr.Latents(Tensor([[1.0, 10.0], [3.0, 30.0]]), torch.zeros(2, 1)),
        torch.arange(2),
        BINARY,
    )
    assert net[0](Tensor([[2.0, 20.0], [3.0, 0.0]])).tolist() == [[0.0, 0.0], [1.0, -2.0]]


@every
def test_regression_starts_at_target_mean(kind):
    net = head(kind).build(2, BNP)
    set_scale(net, gvr.Latents(torch.zeros(2, 2), Tensor([[0.2], [0.6]])), torch.arange(2), BNP)
    assert net[-1].bias.tolist() == pytest.approx([0.4])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Linear, 100 * 3 + 3),
        (Mlp, 100 * 256 + 256 + 256 * 3 + 3),
        (Residual, 6 * (100 * 100 + 100) + 100 * 3 + 3),
    ],
)
def test_parameter_counts_match_papers(kind, expected):
    net = kind(kind.Settings()).build(100, THREE)
    assert sum(weight.numel() for weight in net.parameters()) == expected


@pytest.mark.parametrize(
    ("task", "outputs", "targets", "expected"),
    [
        (BINARY, [[0.0], [0.0]], [[1.0], [0.0]], np.log(2)),
        (TWO, [[0.0, np.log(3)]], [[1.0, 0.0]], (np.log(2) + np.log(4)) / 2),
        (THREE, [[0.0, 0.0, np.log(2)]], [[2.0]], np.log(2)),
        (BNP, [[0.5], [1.0]], [[0.0], [1.0]], 0.125),
    ],
    ids=["binary", "multilabel", "multiclass", "regression"],
)
def test_loss_equals_worked_out_value(task, outputs, targets, expected):
    found = gvr.task_loss(Tensor(outputs), Tensor(targets), task)
    assert found.item() == pytest.approx(expected, rel=1e-5)
