"""Explainers and scores compared with other packages: `python scripts/bench/explainers.py`.

Both sides explain or score the same images of 64 pixels with the same network, in one process, turn
by turn. Others are called as their documentation shows: those marked so one image at a time. It
needs `pip install grad-cam lime quantus`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import captum.attr
import numpy as np
import quantus
import torch
from gvr_datasets.phantom.dataset import Phantom
from gvr_explainers.cam import GradCam
from gvr_explainers.integrated_gradients import IntegratedGradients
from gvr_explainers.lime import Lime, segment_means, superpixels
from gvr_explainers.occlusion import Occlusion
from gvr_heads.conv import Cnn
from lime.lime_image import LimeImageExplainer
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import RawScoresOutputTarget
from timing import ratio, seconds_of, spread, table
from torch import Tensor, nn

import gvr_bench.api as gvr
from gvr_bench import metrics
from gvr_bench.data.stored_images import to_float

IMAGES = 16
SPEC = gvr.ImageSpec(channels=1, size=64)
TASK = gvr.Task("binary", ("finding",))
ROUNDS = 3
CPU = torch.device("cpu")

Maps = Callable[[], Any]


def phantoms(split: str) -> gvr.Latents:
    """Return the images (N, 1, H, W) of a split and whether they show heart failure (N, 1)."""
    phantom = Phantom(Phantom.Settings(size=SPEC.size, train=2000, validation=400, test=100))
    part = phantom.split(split)
    pixels = torch.from_numpy(part.images(np.arange(len(part))))
    positive = torch.from_numpy(phantom.task.positives(part.targets)).float()
    return gvr.Latents(to_float(pixels), positive)


class Comparison:
    """A network that sees heart failure in phantoms, such images, and the rows of the table."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        head = Cnn(Cnn.Settings(steps=200))
        self.net = head.build(0, TASK)
        head.fit(self.net, phantoms("train"), phantoms("validation"), TASK, gvr.Context(CPU))
        self.net.eval().requires_grad_(False)
        self.model = gvr.Model(self.net, self.net, self.net, self.net, has_decoder=False)
        test = phantoms("test")
        self.x = test.z[test.targets[:, 0] == 1][:IMAGES]
        self.rows: list[tuple[object, ...]] = []

    def compare(
        self, what: str, package: str, ours: Maps, theirs: Maps, exact: bool = True
    ) -> None:
        """Time both in turn; say how far they agree: (N, ...) each."""
        first, second = (
            np.asarray(maps(), np.float64).reshape(IMAGES, -1) for maps in (ours, theirs)
        )
        rounds = [(seconds_of(ours, CPU), seconds_of(theirs, CPU)) for _ in range(ROUNDS)]
        a, b = zip(*rounds, strict=True)
        if exact:
            largest = np.abs(first - second).max()
            agreement = (
                f"largest difference {largest:.1g}, of values up to {np.abs(second).max():.2g}"
            )
        else:
            same = [np.corrcoef(*both)[0, 1] for both in zip(first, second, strict=True)]
            empty = int(np.isnan(same).sum())
            known = [f"correlation {np.nanmean(same):.2f}"] if empty < IMAGES else []
            agreement = ", ".join(known + [f"{empty} maps are constant"] * bool(empty))
        ms = [spread(1000 * s / IMAGES for s in seconds) for seconds in (a, b)]
        self.rows.append((what, package, *ms, ratio(b, a), agreement))

    def explain(self, explainer: gvr.Explainer) -> Maps:
        zeros = torch.zeros(IMAGES, dtype=torch.int64)
        target = gvr.ExplanationTarget(TASK, zeros, zeros, zeros.float(), zeros.float())

        def maps() -> Tensor:
            return explainer.explain(self.model, self.x, target, gvr.Context(CPU)).attribution

        return maps

    def each(self, once: Callable[[int], Any]) -> Maps:
        return lambda: np.stack([np.asarray(once(i)) for i in range(IMAGES)])

    def captum_and_gradcam(self) -> None:
        occlusion = Occlusion(Occlusion.Settings())
        s = occlusion.settings
        method = captum.attr.Occlusion(self.net)

        def occlude(x: Tensor) -> Any:
            window = (1, s.window, s.window)
            return method.attribute(x, window, (1, s.stride, s.stride), s.replacement, target=0)

        ours = self.explain(occlusion)
        self.compare("occlusion", "captum", ours, lambda: occlude(self.x))
        once = self.each(lambda i: occlude(self.x[i : i + 1]))
        self.compare("occlusion", "captum, one by one", ours, once)

        integrated = IntegratedGradients(IntegratedGradients.Settings())
        path = captum.attr.IntegratedGradients(self.net)
        steps = integrated.settings.steps

        def integrate(x: Tensor) -> Tensor:
            return path.attribute(x, -1.0, target=0, n_steps=steps)

        ours = self.explain(integrated)
        self.compare("integrated gradients", "captum", ours, lambda: integrate(self.x))
        once = self.each(lambda i: integrate(self.x[i : i + 1]))
        self.compare("integrated gradients", "captum, one by one", ours, once)

        layer = next(m for m in reversed(self.net) if isinstance(m, nn.ReLU))
        cam = GradCAM(self.net.requires_grad_(True), [layer])
        outputs = [RawScoresOutputTarget()] * IMAGES
        ours = self.explain(GradCam(GradCam.Settings()))
        self.compare(
            "Grad-CAM", "pytorch-grad-cam", ours, lambda: cam(self.x, outputs), exact=False
        )
        cam.activations_and_grads.release()
        self.net.requires_grad_(False)

    def lime(self, samples: int) -> None:
        explainer = Lime(Lime.Settings(samples=samples))
        s = explainer.settings
        segments = superpixels(self.x, s.segments, s.compactness, s.smoothing)
        removed = segment_means(self.x, segments)
        method = captum.attr.Lime(self.net)
        ours = self.explain(explainer)

        def of_captum(i: int) -> Any:
            part = slice(i, i + 1)
            return method.attribute(
                self.x[part],
                baselines=removed[part],
                target=0,
                feature_mask=segments[part, None],
                n_samples=samples,
            )

        what = f"LIME, {samples} samples"
        package = "captum, one by one, superpixels not counted"
        self.compare(what, package, ours, self.each(of_captum), exact=False)

        def predict(images: Any) -> Any:
            x = torch.from_numpy(images[..., :1]).permute(0, 3, 1, 2).float()
            return self.net(x).numpy()

        authors = LimeImageExplainer(random_state=0)

        def of_authors(i: int) -> Any:
            grid = segments[i].numpy()
            explanation = authors.explain_instance(
                self.x[i, 0].double().numpy(),
                predict,
                labels=(0,),
                top_labels=None,
                num_samples=samples,
                segmentation_fn=lambda _: grid,
                batch_size=128,
            )
            weights = dict(explanation.local_exp[0])
            return np.vectorize(weights.get)(grid)

        package = "lime, one by one, superpixels not counted"
        self.compare(what, package, ours, self.each(of_authors), exact=False)

    def scores(self) -> None:
        """Compare scores that Quantus has, too."""
        maps = self.x[:, 0].abs() * torch.linspace(0, 1, SPEC.size)
        mask = torch.zeros(IMAGES, SPEC.size, SPEC.size, dtype=torch.bool)
        mask[:, 20:40, 30:50] = True
        arguments = {
            "x_batch": self.x.numpy(),
            "y_batch": np.zeros(IMAGES, np.int64),
            "a_batch": maps[:, None].numpy(),
            "s_batch": mask[:, None].numpy().astype(int),
        }
        quiet = {"disable_warnings": True, "display_progressbar": False}
        for what, ours, name in (
            ("pointing hit", lambda: metrics.pointing_hit(maps, mask), "PointingGame"),
            (
                "mass in the mask",
                lambda: metrics.mass_accuracy(maps, mask),
                "RelevanceMassAccuracy",
            ),
            ("pixel ROC AUC", lambda: metrics.pixel_roc_auc(maps, mask), "AUC"),
            ("sparseness", lambda: metrics.sparseness(maps), "Sparseness"),
            ("entropy", lambda: metrics.entropy(maps), "Complexity"),
        ):
            theirs = getattr(quantus, name)(**quiet)
            self.compare(what, "Quantus", ours, lambda m=theirs: m(model=self.net, **arguments))  # type: ignore[misc]


def main() -> None:
    """Print one table."""
    comparison = Comparison()
    comparison.captum_and_gradcam()
    for samples in (25, 300):  # captum's default, and the quick profile's
        comparison.lime(samples)
    comparison.scores()
    print(f"{IMAGES} images of {SPEC.size} pixels, {torch.get_num_threads()} threads.\n")
    head = ("", "package", "ours, ms per image", "theirs", "times faster", "agreement")
    print(table(head, comparison.rows))


if __name__ == "__main__":
    main()
