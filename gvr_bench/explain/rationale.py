"""One explainer's answer about one image, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gvr_bench.cache.serialization import replacing
from gvr_bench.data.image_io import to_eight_bits
from gvr_bench.report.exports.plate import Plate, draw_plate, lines_about
from gvr_bench.results.explained_images import amount

Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Rationale:
    """Why a model predicts what it predicts of one image, as one explainer tells it.

    - `image`, `reconstruction` (C, H, W) float32 from -1 (black) to 1 (white): what the model was
      shown, and what its generator makes of the image's latent.
    - `attribution` (H, W) float32: positive is density that speaks for the finding. Of an explainer with
      counterfactuals it is the reconstruction minus the counterfactual, mean over channels, from
      -2 to 2; of an attribution map the scale is its own.
    - `counterfactual` (C, H, W) float32 in [-1, 1], None for an attribution map.
    - `finding` is the output asked about, `target` the class to reach, None where there are no
      classes. `prediction` is a probability, or a value in `unit`; `prediction_after` that of the
      counterfactual, None where there is none.
    - `seen` is whether the model sees the finding at all: where it does not, there is nothing to
      take away. `found` is whether the counterfactual is past the decision, None for an
      attribution map, `reason` why it is not, `steps` how many were taken.
    - `warning` says how the image is unlike those of the run, so that no answer about it is to be
      trusted; empty where it is not.
    """

    name: str
    explainer: str
    finding: str
    target: str | None
    unit: str
    image: Float
    reconstruction: Float
    attribution: Float
    counterfactual: Float | None
    prediction: float
    prediction_after: float | None
    seen: bool
    found: bool | None
    reason: str
    steps: int | None
    warning: str

    def save(self, path: str | PathLike[str]) -> None:
        """Draw the image, the map over it and the counterfactual as a PNG. Raises `CacheError`."""
        plate = Plate(
            title=self.name,
            lines=lines_about(
                self.explainer,
                self.finding,
                self.target,
                seen=self.seen,
                found=self.found,
                reason=self.reason,
                warning=self.warning,
            ),
            before=f"{self.finding} {amount(self.prediction, self.unit)}",
            after=amount(self.prediction_after, self.unit),
            image=to_eight_bits(self.image),
            attribution=self.attribution,
            counterfactual=None
            if self.counterfactual is None
            else to_eight_bits(self.counterfactual),
        )
        with replacing(Path(path)) as partial:
            partial.write_bytes(draw_plate(plate))
