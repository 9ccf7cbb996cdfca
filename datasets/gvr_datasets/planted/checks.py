"""What can be measured of planted images: do traces give the label away, how visible are plants?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import roc_auc_score

import gvr_bench.api as gvr
from gvr_datasets.planted.forensics import MOST_IMAGES, forensic_scores
from gvr_datasets.planted.place import depth
from gvr_datasets.twins.selection import Selection
from gvr_datasets.twins.twin import DoesNotFitError, Floats, Mask, Source, Twin

if TYPE_CHECKING:
    from gvr_datasets.planted.dataset import Planted

LADDER = (0.06, 0.1, 0.15, 0.2, 0.25, 0.3)
CHANCE = 0.5
LEAST = 10  # images of each label, for a classifier to learn from
HIDDEN = 1  # pixels around a mask that the forensic classifier does not see either
WIDE = 0.9  # of an image: a mask of lungs that covers more says nothing
RESAMPLES = 1000
QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Case:
    """An image (c, h, w) without its finding, the change by an amplitude of 1, and its pixels."""

    source: Source
    plain: Floats
    unit: Floats
    mask: Mask


def measure(data: Planted) -> Iterator[tuple[str, str]]:
    """Yield the checks of planted images by name. Raises `DataError`."""
    s = data.settings
    if s.tag != "none":
        yield "tag", f"{s.tag}: P(tag | {data.finding}) = {s.strength:g}, else {1 - s.strength:g}"
    cases = read_cases(data, once(data.selection("train")))
    yield "place", place_of(data, cases)
    yield from wide_masks(cases)
    yield "traces outside the mask", traces(data, cases)
    yield "visible where its place is known", visibility(data, cases, known_place(cases))
    yield "visible to a search of the region", visibility(data, cases, search(data, cases))
    yield from distribution(data, cases)


def once(selection: Selection) -> Selection:
    """Return some images of a selection, each once, half of them with the finding."""
    _, first = np.unique(selection.rows, return_index=True)
    rows = np.random.default_rng(0).permutation(first)[:MOST_IMAGES]
    return Selection(
        selection.split, selection.rows[rows], selection.names[rows], selection.positive[rows]
    )


def read_cases(data: Planted, selection: Selection) -> list[Case]:
    """Plant the finding in all images of a selection in which it fits.

    Raises `DataError` where it fits into too few.
    """
    cases, misfits = [], []
    for source in data.read_sources(selection, np.arange(len(selection.rows))):
        try:
            data.twin(source)
            cases.append(Case(source, *data.unit_change(source)))
        except DoesNotFitError as error:
            misfits.append(f"no {data.finding} fits into {source.name}: {error}")
    total = len(selection.rows)
    if len(misfits) > data.settings.skip * total:
        raise gvr.DataError(
            f"{misfits[0]}; {len(misfits)} of {total} images have no room for it, and "
            f"{data.settings.skip:.3g} of all may be left out (the setting skip)"
        )
    return cases


def place_of(data: Planted, cases: Sequence[Case]) -> str:
    """Say how many images have a mask of the lungs, and where plants lie in the others."""
    if data.place == "anywhere":
        return "anywhere in the image"
    masked = sum(bool(case.source.region.any()) for case in cases)
    if masked == len(cases):
        return f"in the masks of the lungs, which all {masked} training images have"
    return (
        f"in the mask of the lungs of {masked} of {len(cases)} training images, in the others "
        "where it is dark on both sides"
    )


def wide_masks(cases: Sequence[Case]) -> Iterator[tuple[str, str]]:
    """Caution where masks of lungs cover nearly the whole image."""
    share = [float(case.source.region.mean()) for case in cases]
    wide = [part for part in share if part > WIDE]
    if wide:
        yield (
            "caution",
            f"{len(wide)} of {len(share)} masks of lungs cover more than {WIDE:.0%} of their image "
            f"(up to {max(wide):.0%}): findings may lie anywhere in it",
        )


def traces(data: Planted, cases: Sequence[Case]) -> str:
    """Fit a classifier to tell the label from what lies outside the mask, without any tag."""
    label = np.array([case.source.positive for case in cases])
    if min(label.sum(), (~label).sum()) < LEAST:
        return f"not measured: it needs {2 * LEAST} training images, and {len(cases)} are there"
    pixels = []
    for case in cases:
        twin = Twin(case.plain, case.plain + data.amplitude * case.unit, case.mask)
        pixels.append(data.exposed(case.source.name, twin, case.source.positive).image)
    hidden = [ndimage.binary_dilation(case.mask, iterations=HIDDEN) for case in cases]
    scores = forensic_scores(np.stack(pixels), np.stack(hidden), label, data.settings.seed)
    low, value, high = interval(label, scores)
    verdict = "at chance" if low <= CHANCE <= high else "caution, traces give the label away"
    return f"AUROC {value:.2f} ({low:.2f} to {high:.2f}) of a classifier of residuals: {verdict}"


Statistic = Callable[[float], list[float]]
"""How strongly each of n images shows the finding, planted with an amplitude."""


def visibility(data: Planted, cases: Sequence[Case], statistic: Statistic) -> str:
    """AUROC of a statistic by amplitude."""
    label, without = np.repeat([False, True], len(cases)), statistic(0.0)
    parts = []
    for amplitude in sorted({*LADDER, data.amplitude}):
        mark = " (this one)" if amplitude == data.amplitude else ""
        area = roc_auc_score(label, without + statistic(amplitude))
        parts.append(f"{amplitude:g}{mark}: {area:.2f}")
    return "AUROC by amplitude " + ", ".join(parts)


def known_place(cases: Sequence[Case]) -> Statistic:
    """A matched filter at the place of the finding."""
    without, gain = [], []
    for case in cases:
        window = around(case.mask)
        unit, plain = (pixels.mean(axis=0)[window] for pixels in (case.unit, case.plain))
        pattern = unit - unit.mean()
        without.append(float((pattern * plain).sum() / (pattern**2).sum()))
        gain.append(float((pattern * unit).sum() / (pattern**2).sum()))
    return lambda amplitude: [w + amplitude * g for w, g in zip(without, gain, strict=True)]


def search(data: Planted, cases: Sequence[Case]) -> Statistic:
    """The strongest answer of a blob filter of the finding's size anywhere in the region."""
    size = np.median([np.sqrt(case.mask.sum() / np.pi) for case in cases]) / 2
    inside = [data.region(case.source) for case in cases]
    eroded = [depth(region) > size for region in inside]
    places = [e if e.any() else region for e, region in zip(eroded, inside, strict=True)]

    def strongest(amplitude: float) -> list[float]:
        values = []
        for case, place in zip(cases, places, strict=True):
            grey = (case.plain + amplitude * case.unit).mean(axis=0)
            narrow, wide = (ndimage.gaussian_filter(grey, s * size) for s in (1.0, 1.8))
            values.append(float((narrow - wide)[place].max()))
        return values

    return strongest


def around(mask: Mask) -> tuple[slice, slice]:
    """The box of a mask (h, w), half as large again on each side."""
    (rows, columns) = ndimage.find_objects(mask.astype(np.int8))[0]
    box = []
    for edge, length in zip((rows, columns), mask.shape, strict=True):
        margin = (edge.stop - edge.start) // 2 + 1
        box.append(slice(max(edge.start - margin, 0), min(edge.stop + margin, length)))
    return box[0], box[1]


def distribution(data: Planted, cases: Sequence[Case]) -> Iterator[tuple[str, str]]:
    """Yield quantiles of area, contrast and place of the findings."""
    centres = np.array([ndimage.center_of_mass(case.mask) for case in cases])
    h, w = cases[0].mask.shape
    levels = 255 * data.amplitude
    yield "area, % of the image", spread([100 * float(case.mask.mean()) for case in cases])
    yield (
        "contrast, grey levels of 255",
        spread([levels * float(np.abs(case.unit[:, case.mask]).mean()) for case in cases]),
    )
    yield "place across, % of the width", spread(100 * centres[:, 1] / w)
    yield "place down, % of the height", spread(100 * centres[:, 0] / h)


def spread(values: Sequence[float] | Floats) -> str:
    """Median and the middle 90 % of values."""
    low, middle, high = np.quantile(values, QUANTILES)
    return f"median {middle:.1f}, 90 % between {low:.1f} and {high:.1f}"


def interval(label: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[float, float, float]:
    """AUROC with its 95 % bootstrap interval: low, value, high."""
    rng, values = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(label), len(label))
        if 0 < label[rows].sum() < len(rows):
            values.append(roc_auc_score(label[rows], scores[rows]))
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(roc_auc_score(label, scores)), float(high)
