"""A made-up run that looks like a real one: soft chest-like images with a known change."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from gvr_bench.cache.serialization import write_json
from gvr_bench.core.explainer import Role
from gvr_bench.metrics import METRICS, Metric, score
from gvr_bench.results.case_scores import EXPLANATIONS, RunValues, Whose, write_values
from gvr_bench.results.records import Record, write_records

Float = NDArray[np.float32]

CONTROLS = ("random", "edge", "intensity")
ATTRIBUTIONS = ("saliency", "integrated_gradients", "occlusion", "lime", "layer_gradcam")
# explainer: (pixel AP, correlation), the order of quality that the prototypes found
QUALITY = {
    "gvr": (0.884, 0.921), "occlusion": (0.451, 0.31), "saliency": (0.433, None),
    "integrated_gradients": (0.342, 0.226), "layer_gradcam": (0.279, None),
    "random": (0.158, 0.001), "edge": (0.297, -0.031), "intensity": (0.337, 0.284),
}  # fmt: skip


def record(**changes: object) -> Record:
    """A record of the made-up run with some of its fields replaced."""
    base: dict[str, object] = {
        "dataset": "phantom", "generator": "wgan_gp", "encoder": "conv", "head": "linear",
        "explainer": "gvr", "output": "all", "metric": "pixel_ap", "metric_version": "1",
        "better": "up", "value": 0.5, "low": 0.4, "high": 0.6, "n": 100, "seed": 0,
        "seconds": 1.0, "device": "cpu", "protocol": "", "keys": ("a", "b"),
    }  # fmt: skip
    base |= changes
    base["protocol"] = base["protocol"] or f"p-{base['metric']}"
    base["role"] = role_of(base["explainer"]) if base["explainer"] else None
    return Record(**base)  # type: ignore[arg-type]


def scored(metric: str, better: str = "up", **values: float) -> list[Record]:
    """Each explainer's value, known to within 0.05."""
    return [
        record(explainer=name, metric=metric, better=better, value=value, low=value - 0.05,
               high=value + 0.05)
        for name, value in values.items()
    ]  # fmt: skip


def role_of(explainer: object) -> Role:
    """The role of an explainer of the made-up run."""
    if explainer in CONTROLS:
        return "control"
    return "counterfactual" if explainer in MAKE_COUNTERFACTUALS else "attribution"


def model_records(seed: int = 0) -> list[Record]:
    scores = (
        ("auroc", "up", 0.962, 0.031), ("accuracy", "up", 0.902, 0.03), ("mae", "down", 212.4, 31.0)
    )  # fmt: skip
    return [
        record(explainer=None, output=output, metric=metric, better=better, seed=seed,
               value=value - shift, low=value - shift - half, high=value - shift + half)
        for output, shift in (("all", 0.0), ("BNP", 0.011))
        for metric, better, value, half in scores
    ]  # fmt: skip


MOVING = (
    ("validity", "up", 0.97),
    ("reencoded_validity", "up", 0.91),
    ("optimizer_steps", "down", 38.2),
)


def missing(status: str, reason: str, **changes: object) -> Record:
    return record(value=None, low=None, high=None, n=0, status=status, reason=reason, **changes)


def explainer_records(seed: int = 0) -> list[Record]:
    records = []
    for name, (ap, correlation) in QUALITY.items():
        mine = {"explainer": name, "seed": seed, "keys": (name, str(seed))}
        for metric, better, value in MOVING:
            it = mine | {"metric": metric, "better": better}
            if name == "gvr":
                records.append(record(value=value, low=value * 0.95, high=value * 1.03, **it))
            else:
                records.append(missing("n/a", "makes no counterfactual", **it))
        records.append(record(value=ap, low=ap - 0.04, high=ap + 0.04, **mine))
        it = mine | {"metric": "true_change_correlation"}
        if correlation is None:
            records.append(missing("n/a", "its attribution has no sign", **it))
        else:
            low, high = correlation - 0.05, correlation + 0.05
            records.append(record(value=correlation, low=low, high=high, **it))
        cost = 0.081 if name == "gvr" else 0.0021 + 0.0003 * len(name)
        it = mine | {"metric": "seconds_per_image", "better": "down"}
        records.append(record(value=cost, low=cost * 0.9, high=cost * 1.2, **it))
    columns = {(item.metric, item.better) for item in records}
    return records + [
        missing("failed", "captum is not installed", explainer="lime", metric=metric,
                better=better, seed=seed)
        for metric, better in sorted(columns)
    ]  # fmt: skip


def _blob(size: int, y: float, x: float, ry: float, rx: float, edge: float = 6.0) -> Float:
    rows, columns = np.mgrid[0:size, 0:size] / (size - 1.0)
    distance = np.sqrt(((rows - y) / ry) ** 2 + ((columns - x) / rx) ** 2)
    return (1 / (1 + np.exp(edge * 2 * (distance - 1)))).astype(np.float32)


def chest(size: int, heart: float, haze: float, rng: np.random.Generator) -> Float:
    """A soft chest on [-1, 1]; `heart` widens the heart and `haze` whitens the hila."""
    jitter = rng.normal(0, 0.012, 6)
    body = _blob(size, 0.62, 0.5, 0.62, 0.47, 8)
    lungs = _blob(size, 0.47 + jitter[0], 0.29 + jitter[1], 0.31, 0.15)
    lungs = lungs + _blob(size, 0.47 + jitter[2], 0.71 + jitter[3], 0.31, 0.15)
    spine = _blob(size, 0.55, 0.5, 0.6, 0.05, 3)
    rows = np.mgrid[0:size, 0:size][0] / size
    columns = np.mgrid[0:size, 0:size][1] / size
    ribs = 0.5 + 0.5 * np.cos(2 * np.pi * (rows * 8 + 2.2 * (columns - 0.5) ** 2))
    picture = 0.62 * body - 0.42 * lungs + 0.07 * ribs**3 * body + 0.10 * spine
    picture += 0.26 * _blob(size, 0.66, 0.55 + jitter[4], 0.17, 0.13 * heart, 5)
    for x in (0.36, 0.64):
        picture += haze * _blob(size, 0.46, x, 0.13, 0.10, 2)
    return np.clip(picture * 1.9 - 1, -1, 1).astype(np.float32)


def _smooth(noise: Float, times: int) -> Float:
    for _ in range(times):
        for axis in (-1, -2):
            noise = (np.roll(noise, 1, axis) + 2 * noise + np.roll(noise, -1, axis)) / 4
    return noise


def _bytes(pictures: Float) -> NDArray[np.uint8]:
    return np.asarray(np.round((np.clip(pictures, -1, 1) + 1) * 127.5), dtype=np.uint8)


def write_cases(path: Path, n: int = 12, size: int = 64, **attrs: object) -> None:
    """Write a `cases.h5` with one combination of `n` cases."""
    rng = np.random.default_rng(7)
    sick, well = [], []
    for _ in range(n):
        seed = int(rng.integers(1 << 30))
        severity = rng.uniform(0.3, 1)
        widened = 1 + 0.55 * severity
        sick.append(chest(size, widened, 0.22 * severity, np.random.default_rng(seed)))
        well.append(chest(size, 1.0, 0.0, np.random.default_rng(seed)))
    x, true_counterfactual = np.stack(sick)[:, None], np.stack(well)[:, None]
    grain = rng.normal(0, 0.03, x.shape).astype(np.float32)
    change = (x - true_counterfactual)[:, 0]
    reconstruction = _smooth(x, 1)
    with h5py.File(path, "w") as file:
        group = file.create_group("0")
        about = {"dataset": "phantom", "generator": "wgan_gp", "encoder": "conv", "head": "linear",
                 "seed": 0, "kind": "regression", "outputs": json.dumps(["BNP"]), "unit": "ng/L",
                 "threshold": 100.0} | attrs  # fmt: skip
        for name, value in about.items():
            group.attrs[name] = value
        group["input"] = _bytes(x + grain)
        group["reconstruction"] = _bytes(reconstruction)
        group["sample_id"] = [f"test-{i:04d}" for i in range(n)]
        group["patient_id"] = [f"patient-{i // 2:03d}" for i in range(n)]
        group["source_class"] = group["target_class"] = np.zeros(n, int)
        group["label"] = rng.lognormal(6, 0.6, n)
        group["prediction"] = rng.lognormal(6, 0.5, n)
        group["mask"] = np.abs(change) > 0.1
        group["true_change"] = change
        group["samples"] = _bytes(
            np.stack([chest(size, rng.uniform(0.9, 1.5), rng.uniform(0, 0.2), rng)
                      for _ in range(18)])[:, None])  # fmt: skip
        _write_explainers(group, change, reconstruction, rng)
        k = len(json.loads(str(about["outputs"])))
        sick_or_well = np.tile(np.arange(200)[:, None] % 2 == 0, (1, k))
        group["test/positive"] = sick_or_well
        group["test/prediction"] = np.exp(5 + sick_or_well + rng.normal(0, 0.5, (200, k)))
        write_labels(group)
        steps = np.arange(0, 800, 10, dtype=float)
        for stage, losses in (("generator", ("critic", "wasserstein")), ("encoder", ("mse",))):
            history = group.create_group(f"history/{stage}")
            history["step"] = steps
            for loss in losses:
                history[loss] = 3 * np.exp(-steps / 200) + rng.normal(0, 0.08, len(steps)) + 0.4


def write_labels(group: h5py.Group) -> None:
    """Write the labels of the test images in their unit."""
    rng = np.random.default_rng(11)
    tested, outputs = group["test/prediction"].shape
    labels = np.exp(4.2 + 1.6 * group["test/positive"][:] + rng.normal(0, 0.4, (tested, outputs)))
    group["test/target"] = labels.astype(np.float32)


def _write_explainers(
    group: h5py.Group, change: Float, reconstruction: Float, rng: np.random.Generator
) -> None:
    n = len(change)
    explainers = group.create_group("explainers")

    def add(name: str, attribution: Float) -> h5py.Group:
        mine = explainers.create_group(name)
        mine.attrs.update(role=role_of(name), status="ok", reason="")
        mine["attribution"] = attribution.astype(np.float32)
        return mine

    difference = _smooth(change, 3) * 0.92
    difference += 0.05 * _smooth(rng.normal(0, 1, change.shape).astype(np.float32), 4)
    gvr = add("gvr", difference)
    gvr["counterfactual"] = _bytes(reconstruction - difference[:, None])
    success = np.arange(n) % 5 != 3
    gvr["success"] = success
    gvr["steps"] = np.where(success, rng.integers(12, 80, n), 500)
    gvr["reason"] = ["" if ok else "500 steps were not enough: raise steps or lr" for ok in success]
    gvr["prediction_after"] = np.where(success, rng.uniform(40, 95, n), 180)
    gvr["prediction_reencoded"] = np.where(success, rng.uniform(60, 115, n), 212)
    noise = rng.normal(0, 1, change.shape).astype(np.float32)
    add("saliency", np.abs(_smooth(noise, 1) * (0.3 + 3 * _smooth(np.abs(change), 6))))
    add("integrated_gradients", _smooth(noise, 0) * _smooth(np.abs(change), 8) + 0.1 * change)
    add("occlusion", _smooth(change, 40) + 0.04 * _smooth(noise, 30))
    add("layer_gradcam", np.maximum(_smooth(change, 200), 0))
    add("random", noise)
    add("edge", np.hypot(*np.gradient(reconstruction[:, 0], axis=(1, 2))))
    add("intensity", reconstruction[:, 0])
    lime = explainers.create_group("lime")
    lime.attrs.update(role="attribution", status="failed", reason="captum is not installed")


def add_trajectories(folder: Path, moments: int = 8, twins: Iterable[str] = ()) -> Path:
    """Add to a run what older ones lack: how `gvr` went to its counterfactuals, and an oracle.

    `twins` are names of further explainers that went the same way.
    """
    with h5py.File(folder / "cases.h5", "a") as file:
        for group in file.values():
            gvr, before = group["explainers/gvr"], group["prediction"][:]
            start = group["reconstruction"][:].astype(np.float32)
            end = gvr["counterfactual"][:].astype(np.float32)
            shares = (np.arange(moments) / (moments - 1)) ** 0.6
            shape = (1, moments, *(1 for _ in start.shape[1:]))
            images = start[:, None] + shares.reshape(shape) * (end - start)[:, None]
            gvr["trajectory"] = np.round(images).astype(np.uint8)
            after = gvr["prediction_after"][:]
            predictions = before[:, None] * (after / before)[:, None] ** shares
            gvr["trajectory_prediction"] = predictions.astype(np.float32)
            group["oracle"] = (0.9 * before).astype(np.float32)
            gvr["oracle_after"] = (1.2 * after).astype(np.float32)
            for name in twins:
                file.copy(gvr, group["explainers"], name)
    return folder


ENVIRONMENT: dict[str, object] = {
    "gvr_bench": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "platform": "Linux x86_64",
    "cpu": "two cores", "device": "cpu", "started": "2026-02-03T10:15:00+00:00", "seconds": 252.4,
    "command": "gvr-bench run --dataset phantom --profile quick",
    "stages": [
        {"kind": kind, "name": name, "key": f"{number:02d}" + "3f9c" * 15, "status": status,
         "seconds": seconds, "reason": reason}
        for number, (kind, name, status, seconds, reason) in enumerate([
            ("dataset", "phantom", "done", 2.1, ""), ("generator", "wgan_gp", "cached", 0.0, ""),
            ("encoder", "conv", "done", 51.7, ""), ("head", "linear", "done", 0.6, ""),
            ("explainer", "gvr", "done", 8.1, ""),
            ("explainer", "lime", "failed", 0.0, "captum is not installed: pip install captum"),
        ])
    ],
}  # fmt: skip

SPEC = '[dataset]\nname = "phantom"\nsize = 64\n\n[generator]\nname = "wgan_gp"\n'


def write_run(folder: Path, records: list[Record] | None = None, **cases: object) -> Path:
    """Write a whole run folder; `cases` goes to `write_cases`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_records(
        folder / "records.jsonl",
        [*model_records(), *explainer_records()] if records is None else records,
    )
    (folder / "spec.toml").write_text(SPEC, encoding="utf-8")
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT), encoding="utf-8")
    write_cases(folder / "cases.h5", **cases)  # type: ignore[arg-type]
    return folder


EXPLAINERS = {  # how good each is, from 0 to 1
    "gvr": 0.92, "latent-shift": 0.7, "counterfactual-cam": 0.5, "occlusion": 0.45,
    "saliency": 0.43, "integrated-gradients": 0.34, "lime": 0.3, "cam": 0.28, "gifsplanation": 0.69,
    "edge": 0.3, "intensity": 0.34, "random": 0.1,
}  # fmt: skip
MAKE_COUNTERFACTUALS = ("gvr", "latent-shift", "gifsplanation", "counterfactual-cam")
NEEDS_ONE = ("validity", "oracle", "proximity", "realism")
MODEL = ("phantom", "wgan_gp", "conv", "linear")
SOME = tuple(
    metric
    for metric in METRICS
    if metric.name in (
        "pixel_ap", "true_change_correlation", "mass_accuracy", "validity", "reencoded_validity",
        "oracle_validity", "rationale_l1", "seconds_per_image",
    )
)  # fmt: skip


Board = tuple[list[Record], RunValues, dict[str, object]]
LEVEL = "mass_accuracy"  # a score on which nobody differs


def case_values(metric: Metric, quality: float, n: int, seed: int) -> Float:
    """Made-up values (n,) of one explainer: images differ in difficulty, which all share."""
    difficulty = np.random.default_rng([n, len(metric.name)]).normal(0, 0.08, n)
    own = np.random.default_rng([seed, round(1000 * quality), len(metric.name)]).normal(0, 0.1, n)
    quality = 0.5 if metric.name == LEVEL else quality
    good = np.clip(0.1 + 0.85 * quality + difficulty + own, 0, 1)
    if metric.highest == np.inf:
        return (0.002 + (1 - good) * (0.1 if metric.group == "cost" else 30)).astype(np.float32)
    share = good if metric.better != "down" else 1 - good
    return (metric.lowest + share * (metric.highest - metric.lowest)).astype(np.float32)


def whole_scoreboard(
    seed: int = 0, n: int = 100, limit: int = 100, metrics: Iterable[Metric] = METRICS
) -> Board:
    """Records of metrics, their values, and what their protocols consist of."""
    records, values, protocols = model_records(seed), {}, {}
    recipes = {(Whose(*MODEL, seed, None), "prediction"): "model"}
    for name in EXPLAINERS:
        whose = Whose(*MODEL, seed, name)
        recipes[whose, EXPLANATIONS] = f"makes-{name}"
        for metric in metrics:
            protocol = f"p-{metric.name}-{limit}"
            protocols[protocol] = {
                "stage": str(limit), "metric": metric.name, "metric_version": "1", "output": "all",
            }  # fmt: skip
            about = {"explainer": name, "metric": metric.name, "better": metric.better,
                     "seed": seed, "keys": (name, metric.group, str(seed)),
                     "protocol": protocol}  # fmt: skip
            recipes[whose, metric.group] = f"scores-{name}-{metric.group}"
            if metric.group in NEEDS_ONE and name not in MAKE_COUNTERFACTUALS:
                records.append(missing("n/a", "makes no counterfactual", **about))
                continue
            column = case_values(metric, EXPLAINERS[name], n, seed)
            records.append(record(**about, **vars(score(column))))
            if metric.of_cases:
                values[whose, metric.name] = column
    facts: dict[str, object] = {"dataset": "phantom", "dataset.size": 64, "max_cases": limit}
    return records, RunValues(values, recipes), {"stages": {str(limit): facts},
                                                 "protocols": protocols}  # fmt: skip


def add_values(folder: Path, n: int, seed: int = 0) -> Path:
    """Write the values of all cases of the explainers of `write_cases`, with cases not known."""
    values = {}
    for name, quality in EXPLAINERS.items():
        whose = Whose(*MODEL, seed, name.replace("-", "_"))
        for metric in SOME:
            if metric.group in NEEDS_ONE and name != "gvr":
                continue
            column = case_values(metric, quality, n, seed)
            values[whose, metric.name] = np.round(column) if "validity" in metric.name else column
        values[whose, "pixel_ap"][-1] = np.nan
    write_values(folder / "values.h5", RunValues(values, {}))
    return folder


def write_whole_run(folder: Path, *parts: Board) -> Path:
    """Write a run folder with the parts of `whole_scoreboard`, one per seed."""
    write_run(folder, [r for records, _, _ in parts for r in records], n=2, size=32)
    write_values(
        folder / "values.h5",
        RunValues(
            {key: column for _, run, _ in parts for key, column in run.values.items()},
            {key: column for _, run, _ in parts for key, column in run.recipes.items()},
        ),
    )
    write_json(folder / "protocols.json", parts[0][2])
    return folder
