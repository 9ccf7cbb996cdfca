"""What the columns are called, and one sentence on each, for readers of a report."""

from __future__ import annotations

from dataclasses import dataclass

CONTROLS = ("random", "edge", "intensity")
TASK_UNIT = "task"


@dataclass(frozen=True)
class Entry:
    """How a metric is shown.

    `unit` is empty for a bare number and `TASK_UNIT` for the unit of the prediction. `truth` marks
    scores against ground truth, `cost` those that say nothing about quality.
    """

    title: str
    text: str = ""
    unit: str = ""
    truth: bool = False
    cost: bool = False


_ENTRIES = {
    "auroc": Entry("AUROC", "area under the receiver operating curve; 0.5 is chance"),
    "average_precision": Entry(
        "average precision", "area under precision and recall; chance is the share of positives"
    ),
    "accuracy": Entry("accuracy", "share of predictions that are right"),
    "mae": Entry("MAE", "mean absolute error of the prediction", unit=TASK_UNIT),
    "validity": Entry("validity", "share of counterfactual latents that flip the head"),
    "reencoded_validity": Entry(
        "re-encoded validity",
        "share of counterfactual images that still flip the model when they are encoded again",
    ),
    "oracle_validity": Entry(
        "oracle validity", "share of counterfactuals that flip an independent classifier"
    ),
    "confidence_gain": Entry("confidence gain", "rise of the target prediction"),
    "became_other": Entry(
        "became another class",
        "share of counterfactuals predicted as a class that is neither source nor target",
    ),
    "stayed": Entry("stayed", "share of counterfactuals still predicted as before"),
    "steps": Entry("steps", "optimisation steps per image", cost=True),
    "pixel_ap": Entry("pixel AP", "average precision of |heat| against the known mask", truth=True),
    "pointing_hit": Entry("pointing hit", "hottest pixel lies in the known mask", truth=True),
    "iou_area_matched": Entry(
        "IoU, area matched", "overlap of the hottest pixels with the mask", truth=True
    ),
    "iou_otsu": Entry("IoU, Otsu", "overlap of the thresholded heat with the mask", truth=True),
    "mass_accuracy": Entry("mass accuracy", "share of |heat| inside the mask", truth=True),
    "rank_accuracy": Entry(
        "rank accuracy", "share of the hottest pixels inside the mask", truth=True
    ),
    "emd_score": Entry("EMD score", "1 - distance from |heat| to the mask", truth=True),
    "distractor_mass": Entry(
        "distractor mass", "share of |heat| on what correlates without causing", truth=True
    ),
    "true_change_correlation": Entry(
        "true change correlation",
        "correlation of the signed heat with what the finding truly changed",
        truth=True,
    ),
    "true_change_mae": Entry(
        "true change MAE", "error against the true counterfactual", truth=True
    ),
    "sign_accuracy": Entry(
        "sign accuracy", "share of truly changed pixels whose sign is right", truth=True
    ),
    "seconds_per_image": Entry(
        "time per image", "wall time, loading excluded", unit="s", cost=True
    ),
    "model_evaluations": Entry("model evaluations", "passes per image", cost=True),
    "peak_memory_mb": Entry("peak memory", "largest memory in use", unit="MB", cost=True),
}


def entry(metric: str) -> Entry:
    """How `metric` is shown; one that is not known here goes by its name."""
    return _ENTRIES.get(metric) or Entry(metric.replace("_", " "))


def is_control(explainer: str) -> bool:
    """Whether a name, with settings after a colon or not, is that of a control."""
    return explainer.split(":")[0] in CONTROLS


def explained(metric: str) -> str:
    """One sentence on `metric`, or nothing."""
    return entry(metric).text
