"""Is a map worth anything to someone who learns from it? For students of the explained model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gvr_bench.metrics.base import INFINITE, Evidence, Metric, metric

if TYPE_CHECKING:
    from torch import Tensor

BALANCED = "unseen test images, as many on either side of the model's decision"
STUDENTS_VARY = "Few students: the interval is over unseen images, not over students."
SOURCE = "Pruthi et al. 2022"


def agreement_with(images: int) -> Metric:
    """Declare the agreement of students that learnt from a number of images."""

    def agreement(evidence: Evidence) -> Tensor | None:
        return evidence.agreement.get(images)

    agreement.__name__ = f"student_agreement_{images}"
    agreement.__doc__ = (
        f"Agreement with the model of students taught by {images} of its decisions and their maps."
    )
    return metric(
        "simulatability",
        f"student agreement, {images} images",
        formula=f"share of students that decide as the model does, over {BALANCED}",
        fooled_by=f"{STUDENTS_VARY} Half is chance, and easy tasks need no maps: read the gain.",
        source=SOURCE,
        needs=f"fewer than {images} training images to learn from",
        of_cases=False,
    )(agreement)


def gain_with(images: int) -> Metric:
    """Declare what maps add to the agreement of students that learnt from a number of images."""

    def gain(evidence: Evidence) -> Tensor | None:
        taught = evidence.agreement.get(images)
        alone = evidence.agreement_alone.get(images)
        return None if taught is None or alone is None else taught.double() - alone.double()

    gain.__name__ = f"student_gain_{images}"
    gain.__doc__ = (
        f"What maps add to the agreement of students taught by {images} of the model's decisions."
    )
    return metric(
        "simulatability",
        f"student gain, {images} images",
        lowest=-1,
        formula="agreement of students with maps minus that of the same students without, the "
        f"same images and first weights, over {BALANCED}",
        fooled_by=f"{STUDENTS_VARY} Maps that only say what every image has in common help too.",
        source="this project, after Pruthi et al. 2022",
        needs=f"fewer than {images} training images to learn from",
        of_cases=False,
    )(gain)


student_agreement_40 = agreement_with(40)
student_agreement_160 = agreement_with(160)
student_gain_40 = gain_with(40)
student_gain_160 = gain_with(160)


@metric(
    "simulatability",
    "images to 90 %",
    better="down",
    highest=INFINITE,
    formula="images with maps after which a student first decides as the model does on 90 % of "
    f"{BALANCED}; linear in log n between 10, 20, 40, 80, 160 and 320",
    fooled_by="Few students, and an easy task: 10 is the least that is tried.",
    source=SOURCE,
    needs="not every student came to 90 %",
    of_cases=False,
)
def images_to_90pct(evidence: Evidence) -> Tensor | None:
    """Images with maps that a student needs to agree with the model on 90 % of others."""
    needed = evidence.needed
    if needed is None or bool(needed.isnan().any()):
        return None  # a mean over those that came there would flatter the explainer
    return needed


USEFULNESS = (
    student_gain_40,
    student_gain_160,
    student_agreement_40,
    student_agreement_160,
    images_to_90pct,
)
