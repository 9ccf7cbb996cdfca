from __future__ import annotations

import time

import numpy as np
import pytest
from gvr_datasets.phantom.dataset import Phantom
from gvr_datasets.phantom.patients import COMPONENTS, DEVICES, FINDINGS
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from gvr_bench.core.errors import DataError
from gvr_bench.core.types import Split


def make(split: str = "train", **settings: object) -> Split:
    small = {"size": 32, "train": 300, "validation": 40, "test": 40}
    return Phantom(Phantom.Settings(**{**small, **settings})).split(split)


def state(split: Split):
    """What the renderer was told, which no user sees."""
    return split.images.__self__.state


def ask(split: Split, index: np.ndarray, output: int = 0):
    return split.truth(index, np.full(len(index), output))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 31), ("size", 513), ("task", "age"), ("train", 0), ("test", 0),
        ("images_per_patient", 0.5), ("labelled", 0.0), ("labelled", 1.1), ("seed", -1),
        ("distractor_correlation", 1.01), ("institution", "c"), ("colour", "red"),
    ],
)  # fmt: skip
def test_setting_out_of_bounds_named(name, value):
    with pytest.raises(ValidationError, match=name):
        Phantom.Settings(**{name: value})


def test_unknown_split_lists_known():
    with pytest.raises(DataError, match=r"'dev'.*train, validation, test"):
        make("dev")


@pytest.mark.parametrize("profile", ["quick", "standard", "paper"])
def test_every_profile_is_valid(profile):
    Phantom.Settings(**Phantom.profiles[profile])


def test_images_ignore_batch_and_order():
    split = make(size=64)
    batch = split.images(np.arange(150))
    shuffled = np.random.default_rng(0).permutation(150)
    np.testing.assert_array_equal(split.images(shuffled), batch[shuffled])
    np.testing.assert_array_equal(split.images(np.array([77])), batch[77:78])
    np.testing.assert_array_equal(split.images(np.array([5, 5])), batch[[5, 5]])


def test_an_empty_batch_gives_no_images():
    assert make().images(np.arange(0)).shape == (0, 1, 32, 32)


@pytest.mark.parametrize("task", ["bnp", "findings"])
def test_seed_decides_the_data(task):
    index = np.arange(20)
    first, same, other = (make(task=task, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.images(index), same.images(index))
    np.testing.assert_array_equal(first.targets, same.targets)
    assert (first.images(index) != other.images(index)).any(axis=(1, 2, 3)).all()


def test_longer_split_extends_shorter():
    short, long = make(train=50), make(train=120)
    np.testing.assert_array_equal(short.targets, long.targets[:50])
    np.testing.assert_array_equal(short.images(np.arange(50)), long.images(np.arange(50)))


def halved(images: np.ndarray) -> np.ndarray:
    n, c, h, w = images.shape
    return images.reshape(n, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5))


@pytest.mark.parametrize("size", [32, 64, 128])
def test_sizes_show_same_scene(size):
    index = np.arange(24)
    coarse = make(size=size, task="findings").images(index).astype(float)
    fine = halved(make(size=2 * size, task="findings").images(index).astype(float))
    same = np.abs(coarse - fine).mean(axis=(1, 2, 3))
    other = np.abs(coarse - np.roll(fine, 7, axis=0)).mean(axis=(1, 2, 3))
    assert same.max() < 9
    assert (same < 0.7 * other).mean() > 0.9


def test_no_patient_is_in_two_splits():
    people = [set(make(name).patient_ids) for name in ("train", "validation", "test")]
    assert len(set.union(*people)) == sum(map(len, people))
    train, test = make("train"), make("test")
    assert (train.images(np.arange(40)) != test.images(np.arange(40))).any()
    assert not np.isin(test.targets, train.targets).any()


@pytest.mark.parametrize("mean", [1.0, 2.0, 5.0])
def test_images_per_patient_as_set(mean):
    split = make(train=20_000, images_per_patient=mean)
    assert 20_000 / len(set(split.patient_ids)) == pytest.approx(mean, rel=0.04)


def test_patient_keeps_anatomy():
    split = make(train=60, images_per_patient=3)
    scans = split.images.__self__
    same = split.patient_ids[1:] == split.patient_ids[:-1]
    assert same.any()
    np.testing.assert_array_equal(scans.people[1:][same], scans.people[:-1][same])
    assert len(np.unique(scans.visits)) == 60


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_labels_are_dropped_by_patient(share):
    split = make(train=2000, labelled=share)
    labelled = ~np.isnan(split.targets[:, 0])
    assert labelled.mean() == pytest.approx(share, abs=0.05)
    assert not set(split.patient_ids[labelled]) & set(split.patient_ids[~labelled])
    assert not np.isnan(make("test", labelled=share).targets).any()


def test_half_show_heart_failure():
    severity = state(make(train=5000)).severity
    assert (severity > 0).mean() == pytest.approx(0.5, abs=0.04)
    assert (np.histogram(severity, bins=5, range=(0.14, 1.0))[0] > 200).all()


def test_patient_keeps_own_mixture():
    split = make(train=2000, images_per_patient=3)
    components = state(split).components
    sick = np.flatnonzero(components.any(axis=1))
    mixture = components[sick] / np.linalg.norm(components[sick], axis=1, keepdims=True)
    same = split.patient_ids[sick][1:] == split.patient_ids[sick][:-1]
    np.testing.assert_allclose(mixture[1:][same], mixture[:-1][same], atol=1e-6)
    counts = (mixture > 0).sum(axis=1)
    assert set(counts) == {2, 3, 4}
    assert ((mixture > 0).mean(axis=0) > 0.3).all()


@pytest.mark.parametrize("component", range(len(COMPONENTS)))
def test_each_component_shows_alone(component):
    split = make(size=64)
    scans = state(split)
    healthy = np.flatnonzero((scans.severity == 0) & ~scans.findings.any(axis=1))[:8]
    scans.components[healthy, component] = 0.5
    truth = ask(split, healthy)
    assert truth.mask.any(axis=(1, 2)).all()
    assert truth.mask.mean() < 0.12


def test_disease_differs_by_patient():
    split = make(test=400, images_per_patient=1)
    sick = np.flatnonzero(split.targets[:, 0] >= 100)
    change = split.images(sick) - ask(split, sick).counterfactual.astype(float)
    change = change.reshape(len(sick), -1)
    change /= np.linalg.norm(change, axis=1, keepdims=True)
    assert (change.mean(axis=0) ** 2).sum() < 0.30


def test_bnp_follows_severity_with_noise():
    split = make(train=20_000)
    bnp, severity = split.targets[:, 0], state(split).severity
    assert np.median(bnp[severity == 0]) == pytest.approx(25, rel=0.05)
    assert np.median(bnp[severity > 0.98]) == pytest.approx(2500, rel=0.2)
    assert 0.95 < roc_auc_score(bnp >= 100, severity) < 0.999


def test_finding_prevalence_is_fifteen_percent():
    targets = make(train=10_000, task="findings").targets
    np.testing.assert_allclose(targets.mean(axis=0), 0.15, atol=0.015)


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_counterfactual_differs_inside_mask_only(size):
    split = make(size=size, task="findings")
    for output, name in enumerate(FINDINGS):
        index = np.flatnonzero(split.targets[:, output] == 1)[: 12 if size < 128 else 3]
        truth = ask(split, index, output)
        images = split.images(index)
        assert truth.mask.any(axis=(1, 2)).all(), name
        change = np.abs(images.astype(int) - truth.counterfactual.astype(int))[:, 0]
        clipped = (images[:, 0] % 255 == 0) | (truth.counterfactual[:, 0] % 255 == 0)
        assert change[~truth.mask & ~clipped].max() <= 15, name
        assert change[truth.mask].mean() > 3 * change[~truth.mask].mean(), name


def test_absent_finding_changes_nothing():
    split = make(task="findings")
    for output in range(len(FINDINGS)):
        index = np.flatnonzero(split.targets[:, output] == 0)[:6]
        truth = ask(split, index, output)
        np.testing.assert_array_equal(truth.counterfactual, split.images(index))
        assert not truth.mask.any()


def test_healthy_heart_is_own_counterfactual():
    split = make()
    severity = state(split).severity
    healthy, failing = np.flatnonzero(severity == 0)[:20], np.flatnonzero(severity > 0.1)[:20]
    truth = ask(split, healthy)
    np.testing.assert_array_equal(truth.counterfactual, split.images(healthy))
    assert not truth.mask.any()
    truth = ask(split, failing)
    assert truth.mask.any(axis=(1, 2)).all()


def test_worse_heart_failure_changes_more():
    split = make()
    sick = np.flatnonzero(state(split).severity > 0)
    true_counterfactuals = ask(split, sick).counterfactual.astype(int)
    worse = np.abs(split.images(sick).astype(int) - true_counterfactuals).mean(axis=(1, 2, 3))
    state(split).components[:] *= 0.5
    milder = np.abs(split.images(sick).astype(int) - true_counterfactuals).mean(axis=(1, 2, 3))
    assert (milder < worse).all()


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_devices_correlate_as_set(strength):
    split = make(train=8000, distractor_correlation=strength)
    positive = split.targets[:, 0] >= 100
    shown = state(split).devices.any(axis=1)
    assert np.corrcoef(positive, shown)[0, 1] == pytest.approx(strength, abs=0.04)
    split = make(train=8000, distractor_correlation=strength, task="findings")
    for output in range(len(FINDINGS)):
        positive, shown = split.targets[:, output] == 1, state(split).devices[:, output]
        excess = shown[positive].mean() - shown[~positive].mean()
        assert excess == pytest.approx(strength, abs=0.05)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_distractor_mask_covers_device(size):
    split = make(size=size, task="findings", distractor_correlation=1.0)
    for output, device in enumerate(DEVICES):
        index = np.concatenate(
            [np.flatnonzero(split.targets[:, output] == label)[:4] for label in (1, 0)]
        )
        visible = ask(split, index, output).distractor.any(axis=(1, 2))
        np.testing.assert_array_equal(visible, split.targets[index, output] == 1, err_msg=device)


def test_devices_stay_in_the_twin():
    with_device = make(distractor_correlation=1.0)
    index = np.flatnonzero(with_device.targets[:, 0] >= 100)[:10]
    truth = ask(with_device, index)
    scans = with_device.images.__self__
    scans.state.devices[:] = False
    bare = ask(with_device, index)
    differs = (truth.counterfactual != bare.counterfactual)[:, 0]
    assert truth.distractor.any(axis=(1, 2)).all()
    assert differs[truth.distractor].mean() > 0.95


def test_institutions_differ_in_looks():
    index = np.arange(100)
    a, b = make(institution="a"), make(institution="b")
    np.testing.assert_array_equal(a.targets, b.targets)
    seen_a, seen_b = a.images(index) / 255, b.images(index) / 255
    air = (slice(None), 0, slice(0, 3), slice(0, 3))
    assert seen_b[air].mean() > seen_a[air].mean() + 0.03
    mark = [ask(s, index).distractor for s in (a, b)]
    left, right = (
        (slice(None), slice(4, 16), slice(0, 5)),
        (slice(None), slice(24, 32), slice(26, 31)),
    )
    assert mark[0][left].any()
    assert mark[1][right].any()
    both = state(make(train=2000, institution="both"))
    assert both.institution_b.mean() == pytest.approx(0.5, abs=0.06)


def test_a_changed_renderer_changes_the_fingerprint(monkeypatch):
    phantom = Phantom(Phantom.Settings())
    before = phantom.fingerprint()
    assert phantom.fingerprint() == before
    from gvr_datasets.phantom import patients

    monkeypatch.setitem(patients.ANATOMY, "lung_width", (0.70, 0.04))
    assert phantom.fingerprint() != before


def test_the_fingerprint_is_cheap():
    phantom = Phantom(Phantom.Settings())
    phantom.fingerprint()
    start = time.process_time()  # another process may take the processor meanwhile
    phantom.fingerprint()
    assert time.process_time() - start < 2


@pytest.mark.parametrize("task", ["bnp", "findings"])
def test_structures_are_removed_alone(task):
    split = make(size=64, task=task, distractor_correlation=1.0)
    index = np.flatnonzero(split.targets[:, 0] >= (100 if task == "bnp" else 1))[:12]
    truth, images = ask(split, index), split.images(index)
    s = truth.structures
    change = np.abs(images[:, None].astype(int) - s.removed)[:, :, 0]  # (n, K, H, W)
    assert (s.present.sum(axis=1) >= 2).all()
    assert (change[s.present].max(axis=(1, 2)) > 0).all()
    assert s.mask[s.present].any(axis=(1, 2)).all()
    inside = s.mask[s.present]
    assert change[s.present][inside].mean() > 5 * change[s.present][~inside].mean()
    assert not s.mask[~s.present].any()


def test_structures_of_disease_and_device():
    split = make(task="findings", distractor_correlation=1.0)
    output = np.arange(len(FINDINGS))
    index = np.array([np.flatnonzero(split.targets[:, k] == 1)[0] for k in output])
    truth = split.truth(index, output)
    s = truth.structures
    for k, finding in enumerate(FINDINGS):
        assert [n for n, own in zip(s.names, s.cause[k], strict=True) if own] == [finding]
        others = [n for n, own in zip(s.names, s.distractor[k], strict=True) if own]
        assert others == [DEVICES[k]]
    # Removing the finding alone is the counterfactual.
    np.testing.assert_array_equal(s.removed[s.cause & s.present], truth.counterfactual)
