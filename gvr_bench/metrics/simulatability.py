"""Does a student of the explained model learn more from its maps?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gvr_bench.metrics.base import INFINITE, Group, Input, Metric, Source

if TYPE_CHECKING:
    from torch import Tensor

BALANCED = "unseen test images, as many on either side of the model's decision"
STUDENTS_VARY = "Few students: the interval is over unseen images, not over students."
SOURCE = "Pruthi et al. 2022"
WITH_MAPS, WITHOUT_MAPS = "student", "student_without_maps"


@dataclass(frozen=True)
class SimulatabilityInput(Input):
    """How well students agree with the model, by the number of images that they learnt from.

    `agreement` maps that number to (M,), the share of students with maps that agree on each of M
    unseen images; `agreement_alone` is that of students without maps. `needed` (S,) are the images
    that each student with maps needs to agree on 90 %, NaN where it never does.
    """

    agreement: Mapping[int, Tensor]
    agreement_alone: Mapping[int, Tensor]
    needed: Tensor

    @classmethod
    def build(cls, source: Source) -> Self:
        """Read both kinds of students."""
        return cls(
            agreement_by_images(source, WITH_MAPS),
            agreement_by_images(source, WITHOUT_MAPS),
            source.read(WITH_MAPS, "needed"),
        )


def agreement_by_images(source: Source, stage: str) -> dict[int, Tensor]:
    """Average over students: images learnt from -> (M,)."""
    images: list[int] = source.read(stage, "n").tolist()
    share = source.read(stage, "agreement").double().mean(dim=0)  # (S, K, M) -> (K, M)
    return dict(zip(images, share, strict=True))


GROUP = Group(
    "simulatability",
    "Simulatability",
    "does a student of the model learn more from its maps?",
    default=False,
    stages=(WITH_MAPS, WITHOUT_MAPS),
    overall_input=SimulatabilityInput,
    cost="explanations of up to 320 training images, and the training of 30 small networks",
    criticism="A student is a network; with people, few methods help to predict a model of text or "
    "tables (Hase and Bansal 2020, arXiv 2005.01831).",
)


def gain_with(images: int) -> Metric:
    """Declare what maps add to the agreement of students that learnt from a number of images."""

    def gain(data: SimulatabilityInput) -> Tensor | None:
        if images not in data.agreement:
            return None
        return data.agreement[images].double() - data.agreement_alone[images].double()

    gain.__name__ = f"student_gain_{images}"
    gain.__doc__ = (
        f"What maps add to the agreement of students taught by {images} of the model's decisions."
    )
    return GROUP.metric(
        f"student gain, {images} images",
        lowest=-1,
        formula="agreement of students with maps minus that of the same students without, the "
        f"same images and first weights, over {BALANCED}",
        fooled_by=f"{STUDENTS_VARY} Maps that only say what every image has in common help too.",
        source="this project, after Pruthi et al. 2022",
        needs=f"fewer than {images} training images to learn from",
        over="overall",
    )(gain)


def agreement_with(images: int) -> Metric:
    """Declare the agreement of students that learnt from a number of images."""

    def agreement(data: SimulatabilityInput) -> Tensor | None:
        return data.agreement.get(images)

    agreement.__name__ = f"student_agreement_{images}"
    agreement.__doc__ = (
        f"Agreement with the model of students taught by {images} of its decisions and their maps."
    )
    return GROUP.metric(
        f"student agreement, {images} images",
        formula=f"share of students that decide as the model does, over {BALANCED}",
        fooled_by=f"{STUDENTS_VARY} Half is chance, and easy tasks need no maps: read the gain.",
        source=SOURCE,
        needs=f"fewer than {images} training images to learn from",
        over="overall",
    )(agreement)


student_gain_40 = gain_with(40)
student_gain_160 = gain_with(160)
student_agreement_40 = agreement_with(40)
student_agreement_160 = agreement_with(160)


@GROUP.metric(
    "images to 90 %",
    better="down",
    highest=INFINITE,
    formula="images with maps after which a student first decides as the model does on 90 % of "
    f"{BALANCED}; linear in log n between 10, 20, 40, 80, 160 and 320",
    fooled_by="Few students, and an easy task: 10 is the smallest number tried.",
    source=SOURCE,
    needs="not every student reached 90 %",
    over="overall",
)
def images_to_90pct(data: SimulatabilityInput) -> Tensor | None:
    """Images with maps that a student needs to agree with the model on 90 % of others."""
    if bool(data.needed.isnan().any()):
        return None  # the mean over the students that reached it would flatter the explainer
    return data.needed
