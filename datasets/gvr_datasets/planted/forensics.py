"""Does noise outside a finding give its label away? A classifier of steganalysis looks for it.

Statistics of neighbouring residuals and a linear classifier (Pevny, Bas and Fridrich 2010; Fridrich
and Kodovsky 2012) find far weaker traces in a few hundred images than a network that has to learn
its filters from them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

MOST_IMAGES = 400
FOLDS = 5
TRUNCATED = 2  # quantised residuals are cut off there
# What a pixel is more than its neighbours predict: of first and second order, and by all 24.
KERNELS = (
    np.array([[0, -1, 1]]),
    np.array([[1, -2, 1]]) / 2,
    np.array(
        [
            [-1, 2, -2, 2, -1],
            [2, -6, 8, -6, 2],
            [-2, 8, -12, 8, -2],
            [2, -6, 8, -6, 2],
            [-1, 2, -2, 2, -1],
        ]
    )
    / 12,
)


def forensic_scores(
    images: NDArray[np.uint8], hidden: NDArray[np.bool_], label: NDArray[np.bool_], seed: int
) -> NDArray[np.float64]:
    """Predict labels (n,) of images (n, c, h, w) from residuals outside of `hidden` (n, h, w).

    Each image is predicted by a classifier that was fitted to other folds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    grey = images.astype(np.float32).mean(axis=1)
    features = np.concatenate(list(statistics(grey, hidden)), axis=1)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=1e-2, max_iter=1000))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_predict(classifier, features, label, cv=folds, method="decision_function")
    return np.asarray(scores, np.float64)


def statistics(
    grey: NDArray[np.float32], hidden: NDArray[np.bool_]
) -> Iterator[NDArray[np.float64]]:
    """Yield how often each pair of quantised residuals stands side by side: (n, pairs)."""
    for kernel in KERNELS:
        for turned in (kernel, kernel.T) if kernel.shape[0] == 1 else (kernel,):
            residual = ndimage.convolve(grey, turned[None].astype(np.float32))
            reach = np.ones((1, *turned.shape), bool)
            visible = ~ndimage.binary_dilation(hidden, reach)
            step = max(float(np.median(np.abs(residual[visible]))), 0.5)
            level = np.clip(np.rint(residual / step), -TRUNCATED, TRUNCATED).astype(int)
            for axis in (1, 2):
                yield pairs(level, visible, axis)


def pairs(level: NDArray[np.int64], visible: NDArray[np.bool_], axis: int) -> NDArray[np.float64]:
    """Share of each pair of levels among visible neighbours along an axis: (n, levels ** 2)."""
    count = 2 * TRUNCATED + 1
    first, second = (np.take(level, range(*part), axis=axis) for part in _shifted(level, axis))
    both = np.logical_and(
        *(np.take(visible, range(*part), axis=axis) for part in _shifted(level, axis))
    )
    code = (first + TRUNCATED) * count + second + TRUNCATED
    rows = [
        np.bincount(codes[shown], minlength=count**2) / max(int(shown.sum()), 1)
        for codes, shown in zip(code, both, strict=True)
    ]
    return np.stack(rows)


def _shifted(level: NDArray[np.int64], axis: int) -> tuple[tuple[int, int], tuple[int, int]]:
    length = level.shape[axis]
    return (0, length - 1), (1, length)
