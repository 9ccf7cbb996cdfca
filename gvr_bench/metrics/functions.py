"""Metrics of plain arrays: no run, no cache, one value per image.

Arrays and tensors of any library that numpy reads are taken. Each function returns a float64 array
(N,), NaN where the metric has no value for an image, and is the metric of the same name on the
scoreboard, whose page says what fools it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gvr_bench.core.errors import UsageError
from gvr_bench.core.types import ExplanationTarget, Model, Task
from gvr_bench.metrics import complexity, faithfulness, ground_truth
from gvr_bench.metrics.case_specific import ComparisonInput, standardised

if TYPE_CHECKING:
    from torch import Tensor

    from gvr_bench.metrics.base import Metric

Values = NDArray[np.float64]
Network = Callable[["Tensor"], "Tensor"]


def pixel_ap(attribution: ArrayLike, mask: ArrayLike) -> Values:
    """Average precision of |attribution| (N, H, W) against masks (N, H, W): 0 to 1.

    NaN where a mask is empty or full.
    """
    return _truth(ground_truth.pixel_ap, attribution, mask=mask)


def pixel_roc_auc(attribution: ArrayLike, mask: ArrayLike) -> Values:
    """Area under the ROC curve of |attribution| (N, H, W) against masks (N, H, W); chance 0.5."""
    return _truth(ground_truth.pixel_roc_auc, attribution, mask=mask)


def pointing_hit(attribution: ArrayLike, mask: ArrayLike) -> Values:
    """Whether the largest |attribution| (N, H, W) is in the mask (N, H, W): 0, 1; ties between."""
    return _truth(ground_truth.pointing_hit, attribution, mask=mask)


def iou_otsu(attribution: ArrayLike, mask: ArrayLike) -> Values:
    """IoU of masks (N, H, W) with |attribution| (N, H, W) above Otsu's threshold: 0 to 1."""
    return _truth(ground_truth.iou_otsu, attribution, mask=mask)


def mass_accuracy(attribution: ArrayLike, mask: ArrayLike) -> Values:
    """Share of |attribution| (N, H, W) in the mask (N, H, W): 0 to 1."""
    return _truth(ground_truth.mass_accuracy, attribution, mask=mask)


def emd_score(attribution: ArrayLike, mask: ArrayLike) -> Values:
    """How little |attribution| (N, H, W) has to move to lie in the mask (N, H, W): 0 to 1, best."""
    return _truth(ground_truth.emd_score, attribution, mask=mask)


def distractor_mass(
    attribution: ArrayLike, distractor: ArrayLike, mask: ArrayLike | None = None
) -> Values:
    """Share of |attribution| (N, H, W) on a distractor (N, H, W), outside of the mask: 0 to 1."""
    return _truth(ground_truth.distractor_mass, attribution, mask=mask, distractor=distractor)


def true_change_correlation(attribution: ArrayLike, change: ArrayLike) -> Values:
    """Pearson's r of signed attribution with the true change, both (N, H, W): -1 to 1.

    The change is the image minus its true counterfactual; give its size for maps of evidence,
    which are positive where a finding is dark. 0 for a constant map.
    """
    return _truth(ground_truth.true_change_correlation, attribution, change=change)


def sign_accuracy(attribution: ArrayLike, change: ArrayLike) -> Values:
    """Share of truly changed pixels where attribution has the change's sign, both (N, H, W)."""
    return _truth(ground_truth.sign_accuracy, attribution, change=change)


def case_specific_correlation(attribution: ArrayLike, change: ArrayLike) -> Values:
    """Correlation of attribution and true change (N, H, W) without what all cases share: -1 to 1.

    Cases are compared with one another, so give all at once; a constant map gets 0. For maps of
    evidence give |change|; with masks instead of changes, |attribution|.
    """
    return _comparison(ground_truth.case_specific_correlation, attribution, change)


def case_identification(attribution: ArrayLike, change: ArrayLike) -> Values:
    """Share of other cases whose true change a map correlates with less than its own; chance 0.5.

    Both (N, H, W), all cases at once.
    """
    return _comparison(ground_truth.case_identification, attribution, change)


def sparseness(attribution: ArrayLike) -> Values:
    """Gini index of |attribution| (N, H, W): 0 for a constant map, near 1 for one pixel."""
    return _complexity(complexity.sparseness, attribution)


def entropy(attribution: ArrayLike) -> Values:
    """Entropy of |attribution| (N, H, W) in nats, the metric `complexity`: 0 for one pixel."""
    return _complexity(complexity.complexity, attribution)


def deletion_auc(
    network: Network,
    image: ArrayLike,
    attribution: ArrayLike,
    output: int = 0,
    classes: bool = False,
) -> Values:
    """Area under the probability of an output as pixels turn black, largest attribution first.

    `network` maps images (N, C, H, W) in [-1, 1] to logits (N, K); `image` (N, C, H, W),
    `attribution` (N, H, W). Probabilities are sigmoids, or softmax with `classes=True`. 0 to 1.
    """
    return _faithfulness(faithfulness.deletion_auc, network, image, attribution, output, classes)


def insertion_auc(
    network: Network,
    image: ArrayLike,
    attribution: ArrayLike,
    output: int = 0,
    classes: bool = False,
) -> Values:
    """Area under the probability as pixels appear on black, as `deletion_auc`: 0 to 1."""
    return _faithfulness(faithfulness.insertion_auc, network, image, attribution, output, classes)


def symmetric_relevance_gain(
    network: Network,
    image: ArrayLike,
    attribution: ArrayLike,
    output: int = 0,
    classes: bool = False,
) -> Values:
    """Half of the area with the smallest deleted first, minus `deletion_auc`: chance 0."""
    metric = faithfulness.symmetric_relevance_gain
    return _faithfulness(metric, network, image, attribution, output, classes)


def infidelity(
    network: Network,
    image: ArrayLike,
    attribution: ArrayLike,
    output: int = 0,
    classes: bool = False,
) -> Values:
    """Share of the output's response to noise that the map does not predict, as `deletion_auc`."""
    return _faithfulness(faithfulness.infidelity, network, image, attribution, output, classes)


def _tensor(values: Any, what: str, dimensions: int) -> Tensor:
    """Read an array. Raises `UsageError` where it has another number of dimensions."""
    import torch

    is_tensor = isinstance(values, torch.Tensor)
    tensor: Tensor = values.detach() if is_tensor else torch.from_numpy(np.array(values))
    if tensor.dim() != dimensions:
        shape = "(N, H, W)" if dimensions == 3 else "(N, C, H, W)"
        raise UsageError(f"{what} has shape {tuple(tensor.shape)}; give {shape}")
    return tensor


def _maps(first: Any, **others: Any) -> tuple[Tensor, dict[str, Tensor | None]]:
    """Read maps of one shape. Raises `UsageError` where they differ."""
    attribution = _tensor(first, "attribution", 3).float()
    rest = {k: None if v is None else _tensor(v, k, 3) for k, v in others.items()}
    for name, value in rest.items():
        if value is not None and value.shape != attribution.shape:
            shapes = f"{tuple(value.shape)}, attribution {tuple(attribution.shape)}"
            raise UsageError(f"{name} has shape {shapes}; give both the same")
    return attribution, rest


def _values(metric: Metric, data: Any) -> Values:
    values = cast("Tensor", metric(data))
    return cast(Values, values.cpu().numpy())


def _truth(
    metric: Metric, attribution: Any, mask: Any = None, distractor: Any = None, change: Any = None
) -> Values:
    maps, known = _maps(attribution, mask=mask, distractor=distractor, change=change)
    masks = {k: None if (v := known[k]) is None else v.bool() for k in ("mask", "distractor")}
    data = ground_truth.GroundTruthInput(
        attribution=maps,
        true_change=known["change"],
        true_map=known["change"],
        decoded_truth=None,
        base=maps[:, None],
        counterfactual=None,
        **masks,
    )
    return _values(metric, data)


def _comparison(metric: Metric, attribution: Any, change: Any) -> Values:
    import torch

    maps, known = _maps(attribution, change=change)
    true = cast("Tensor", known["change"])
    data = ComparisonInput(
        torch.zeros(len(maps), dtype=torch.int64, device=maps.device),
        lambda rows: standardised(maps[rows]),
        lambda rows: standardised(true[rows]),
    )
    return _values(metric, data)


def _complexity(metric: Metric, attribution: Any) -> Values:
    return _values(metric, complexity.ComplexityInput(_maps(attribution)[0]))


def _faithfulness(
    metric: Metric, network: Any, image: Any, attribution: Any, output: int, classes: bool = False
) -> Values:
    import torch

    images, maps = _tensor(image, "image", 4).float(), _maps(attribution)[0]
    if (len(images), *images.shape[2:]) != maps.shape:
        raise UsageError(
            f"image has shape {tuple(images.shape)}, attribution {tuple(maps.shape)}; give "
            "(N, C, H, W) and (N, H, W)"
        )
    with torch.no_grad():
        count = network(images[:1]).shape[1]
    names = tuple(str(k) for k in range(count))
    kind: Literal["multiclass", "multilabel"] = "multiclass" if classes else "multilabel"
    task = Task(kind, names, source=output, target=int(output == 0))
    source = torch.full((len(images),), output, dtype=torch.int64, device=images.device)
    zeros = maps.new_zeros(len(maps))
    target = ExplanationTarget(task, source, source, zeros, zeros)
    net = cast(Any, network)
    model = Model(net, net, net, classifier=net, has_decoder=False)
    return _values(metric, faithfulness.FaithfulnessInput(model, target, images, maps, None))
