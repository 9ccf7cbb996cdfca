"""One explainer's explanation of one image, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

from gvr_bench.cache.serialization import replacing
from gvr_bench.core.types import Floats
from gvr_bench.data.image_io import to_eight_bits
from gvr_bench.report.rationale_picture import RationalePicture


@dataclass(frozen=True, eq=False)
class Rationale:
    """One explainer's explanation of one output of one image.

    - `image`, `reconstruction` (C, H, W) float32 from -1 (black) to 1 (white): the image as the
      model reads it, and as its generator decodes the image's latent, None without a generator.
    - `attribution` (H, W) float32: positive where density speaks for the output. For an explainer
      with counterfactuals it is the reconstruction minus the counterfactual, mean over channels,
      from -2 to 2; the scale of other maps is their own.
    - `counterfactual` (C, H, W) float32 in [-1, 1], None for an attribution map.
    - `target_class` is None where the task has no classes. `prediction` is a probability, or a
      value in `unit`; `prediction_after` is that of the counterfactual, None where there is none.
    - `predicted` is whether the model predicts the output at all. `success` is whether the
      counterfactual is past the decision, None for an attribution map and where the model does not
      predict the output; `reason` says why it is not,
      `steps` how many were taken.
    - `warning` says how the image differs from those of the run, in which case no explanation of
      it can be trusted; otherwise empty.
    """

    name: str
    explainer: str
    output: str
    target_class: str | None
    unit: str
    image: Floats
    reconstruction: Floats | None
    attribution: Floats
    counterfactual: Floats | None
    prediction: float
    prediction_after: float | None
    predicted: bool
    success: bool | None
    reason: str
    steps: int | None
    warning: str

    def save(self, path: str | PathLike[str]) -> None:
        """Draw the image, the map over it and the counterfactual as a PNG. Raises `CacheError`."""
        with replacing(Path(path)) as partial:
            partial.write_bytes(self._repr_png_())

    def _repr_png_(self) -> bytes:
        """The picture that a notebook shows."""
        after = self.counterfactual
        names = (f.name for f in fields(RationalePicture))
        drawn: dict[str, Any] = {name: getattr(self, name, None) for name in names}
        drawn["image"] = to_eight_bits(self.image)
        drawn["counterfactual"] = None if after is None else to_eight_bits(after)
        return RationalePicture(**drawn).png()
