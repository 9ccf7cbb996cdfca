"""The trained model of a run, and what explainers return for new images."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.config.spec import parse_choice
from gvr_bench.core.components import Dataset
from gvr_bench.core.context import Context, Progress, seed_from
from gvr_bench.core.errors import PluginError, UsageError
from gvr_bench.core.explainer import Explainer
from gvr_bench.core.stage import Stage
from gvr_bench.core.types import Bytes, ExplanationTarget, Floats, Task
from gvr_bench.data.stored_images import to_float
from gvr_bench.explain.inputs import InputImage, read_picture
from gvr_bench.explain.out_of_distribution import OodReference, reconstruction_error
from gvr_bench.explain.rationale import Rationale
from gvr_bench.explain.targets import Predictions, TargetBatch, TargetSelection
from gvr_bench.metrics.oracle import predictions
from gvr_bench.pipeline.graph import StageGraph
from gvr_bench.pipeline.options import gains_from_bfloat16
from gvr_bench.pipeline.plan import Combination
from gvr_bench.pipeline.stage_context import StageContext, load_model, read_decision, with_reference
from gvr_bench.pipeline.steps.explanations import explain, gather, trajectory
from gvr_bench.pipeline.steps.oracle import Oracle, load_oracle
from gvr_bench.pipeline.steps.shards import joined
from gvr_bench.pipeline.write_run import SCALED

if TYPE_CHECKING:
    from gvr_bench.explain.inputs import Picture

Arrays = dict[str, NDArray[Any]]


class Trained:
    """A finished run's model, which explains new images. Returned by `gvr_bench.load`.

    `reference` describes the images of the `run`; `absent` names explainers that do not load here.
    """

    def __init__(
        self,
        run: str,
        combination: Combination,
        graph: StageGraph,
        cache: ArtifactCache,
        device: torch.device,
        batch_size: int,
        absent: tuple[str, ...] = (),
    ) -> None:
        self.run = run
        self.combination = combination
        self.graph = graph
        self.cache = cache
        self.device = device
        self.batch_size = batch_size
        self.absent = absent
        stage_ctx = self.stage_ctx(combination.prediction)  # which depends on all networks
        self.model = load_model(stage_ctx)
        self.decision = read_decision(stage_ctx, combination.head_stage)
        self.reference = OodReference.measure(stage_ctx, self.model)

    @property
    def dataset(self) -> Dataset:
        """The data set of the run."""
        return cast(Dataset, self.combination.cases.component)

    @property
    def task(self) -> Task:
        """What is predicted."""
        return self.dataset.task

    @property
    def explainers(self) -> tuple[str, ...]:
        """The explainers of the run that load here, the default first. Raises `UsageError`."""
        names = tuple(self.combination.explanations)
        if not names:
            raise UsageError(f"not installed: {', '.join(self.absent)}; name another explainer")
        return names

    def stage_ctx(self, stage: Stage, progress: Progress | None = None) -> StageContext:
        ctx = Context(
            self.device,
            seed=seed_from(stage.key),
            batch_size=self.batch_size,
            bfloat16=gains_from_bfloat16(self.device),
        )
        if progress is not None:
            ctx.progress = progress
        return StageContext(stage, self.cache, ctx)

    @torch.no_grad()
    def predict_batch(self, pixels: Bytes) -> Predictions:
        """Predict and reconstruct images (n, C, H, W)."""
        rows = []
        for part in torch.split(torch.from_numpy(pixels), self.batch_size):
            x = to_float(part.to(self.device))
            values = self.task.activate(self.model(x)).cpu().numpy()
            rows.append({"values": values, "predictions": self.task.scale.invert(values)})
            if self.model.has_decoder:
                z = self.model.encoder(x)
                decoded = self.model.generator(z).cpu()
                rows[-1] |= {
                    "reconstruction": decoded.numpy(),
                    "error": reconstruction_error(decoded, x.cpu()),
                    "distance": self.reference.distances(z.cpu().numpy()),
                }
        return Predictions(**joined(rows))

    def predict(self, picture: Picture) -> dict[str, float]:
        """Predict one image: a probability per output, or a value in the task's unit."""
        batch = self.predict_batch(read_picture(self.dataset, picture, 1).pixels[None])
        return dict(zip(self.task.outputs, batch.predictions[0].tolist(), strict=True))

    def stage(self, explainer: str) -> Stage:
        """Return the stage of an explainer: one of the run, or any other with its own settings.

        Raises `UsageError` or `PluginError` that names it.
        """
        c = self.combination
        encoder = None if self.model.classifier is None else c.encoder_stage
        typed = parse_choice(explainer)
        name = self.graph.registry.canonical("explainer", typed.name)
        choice = typed.model_copy(update={"name": name})
        label = explainer if explainer in c.explanations else str(choice)
        stage = c.explanations.get(label) or self.graph.explanations(
            choice, c.head_stage, c.cases, c.seed, encoder=encoder
        )
        component = stage.component
        if isinstance(component, Explainer) and component.uses_decoder() > self.model.has_decoder:
            raise UsageError(
                f"explainer '{explainer}' needs a decoder, and run '{self.run}' trained none; run "
                f"it again with --explainer {explainer}"
            )
        return stage

    def run_explainer(
        self, stage: Stage, batch: TargetBatch, progress: Progress | None = None
    ) -> Arrays:
        """Return the arrays of a run's `explanations.h5` and `trajectories.h5` for new images.

        Raises what the plugin raises.
        """
        if stage.problem:
            raise PluginError(stage.problem)
        stage_ctx = self.stage_ctx(stage, progress)
        explainer = cast(Explainer, stage.component)
        stage_ctx = with_reference(stage_ctx, explainer, self.model)
        parts, trajectories = [], []
        for part in stage_ctx.ctx.batches(len(batch.source)):
            x = to_float(torch.from_numpy(batch.pixels[part]).to(self.device))
            target = self.target(batch, part)
            explanation = explain(explainer, self.model, x, target, stage_ctx)
            parts.append(gather(self.model, x, target, explanation))
            if explanation.trajectory is not None:
                trajectories.append(trajectory(self.model, x, explanation, target))
        return self.in_unit(joined(parts) | (joined(trajectories) if trajectories else {}))

    def target(self, batch: TargetBatch, part: slice) -> ExplanationTarget:
        columns = batch.source[part], batch.target[part]
        return self.decision.explanation_target(self.task, *columns, self.device)

    def in_unit(self, arrays: Arrays) -> Arrays:
        invert = self.task.scale.invert
        return {name: invert(a) if name in SCALED else a for name, a in arrays.items()}

    @functools.cached_property
    def oracle(self) -> Oracle | None:
        """The independent model that was trained for this run, if it is in the cache."""
        c = self.combination
        for stage in self.graph.stages.values():
            same = stage.kind == "oracle" and (stage.input("data"), stage.seed) == (c.data, c.seed)
            if same and self.cache.has(stage):
                return load_oracle(self.stage_ctx(stage))
        return None

    def ask_oracle(self, batch: TargetBatch, images: Tensor, suffix: str = "") -> Arrays:
        """Return the oracle's predictions of images (n, C, H, W) in [-1, 1]; empty without one."""
        if self.oracle is None:
            return {}
        target = self.oracle.target(batch.source, batch.target)
        columns = predictions(target, self.oracle.outputs(images), suffix)
        return self.in_unit({name: column.cpu().numpy() for name, column in columns.items()})

    @overload
    def explain(
        self,
        picture: list[Any] | tuple[Any, ...],
        *,
        explainer: str | None = None,
        output: str | None = None,
        target_class: str | None = None,
    ) -> list[Rationale]: ...

    @overload
    def explain(
        self,
        picture: Picture,
        *,
        explainer: str | None = None,
        output: str | None = None,
        target_class: str | None = None,
    ) -> Rationale: ...

    def explain(
        self,
        picture: Any,
        *,
        explainer: str | None = None,
        output: str | None = None,
        target_class: str | None = None,
    ) -> Rationale | list[Rationale]:
        """Explain the model's prediction of an image, or of each of a list.

        A picture is the path of a PNG or JPEG file, a Pillow image, or an array: uint8 from 0 to
        255, or floats from -1 (black) to 1 (white), as (H, W), (H, W, 3) or (C, H, W). It is
        resized to the run's images as the data set resizes its own.

        `explainer` is a name, with settings after a colon as on the command line; by default the
        first of the run. `output` is the output to explain, by default the most certain one. In a
        task with classes it is the class to leave, by default the predicted one, and `target_class`
        the class to reach, by default the task's, or the second most likely.

        Raises `DataError` for an image that cannot be read, `UsageError` for an unknown name, and
        `Unsupported` where the explainer does not apply to this model.
        """
        selection = TargetSelection.by_name(
            self.task, [output] if output is not None else [], target_class
        )
        stage = self.stage(explainer or self.explainers[0])
        pictures = list(picture) if isinstance(picture, list | tuple) else [picture]
        images = [read_picture(self.dataset, item, i) for i, item in enumerate(pictures, start=1)]
        if not images:
            return []
        pixels = np.stack([image.pixels for image in images])
        predictions = self.predict_batch(pixels)
        pairs = [
            self._surest(selection, values, image)
            for values, image in zip(predictions.values, images, strict=True)
        ]
        batch = TargetBatch(pixels, *np.array(pairs, np.int64).T)
        arrays = self.run_explainer(stage, batch)
        rationales = [
            self._rationale(stage, image, batch, predictions, arrays, i)
            for i, image in enumerate(images)
        ]
        return rationales if isinstance(picture, list | tuple) else rationales[0]

    def _surest(
        self, selection: TargetSelection, values: Floats, image: InputImage
    ) -> tuple[int, int]:
        """Return the output to explain, whether it is predicted or not. Raises `UsageError`."""
        pairs, why = selection.pairs(self.task, values, self.decision.threshold)
        if self.task.kind == "multiclass" and not pairs:
            raise UsageError(f"{image.name}: {why}")
        if len(pairs) == 1:
            return pairs[0]
        k = int(np.argmax(values - self.decision.threshold))
        return k, k

    def _rationale(
        self,
        stage: Stage,
        image: InputImage,
        batch: TargetBatch,
        predictions: Predictions,
        arrays: Arrays,
        i: int,
    ) -> Rationale:
        task, source, target = self.task, int(batch.source[i]), int(batch.target[i])
        decoded = predictions.reconstruction
        scalars = {
            name: arrays[name][i].item()
            for name in ("prediction_after", "success", "reason", "steps")
            if name in arrays
        }
        return Rationale(
            name=image.name,
            explainer=stage.name,
            output=task.outputs[source],
            target_class=task.outputs[target] if task.kind == "multiclass" else None,
            unit=task.unit if task.kind == "regression" else "",
            image=image.pixels.astype(np.float32) / 127.5 - 1,
            reconstruction=None if decoded is None else decoded[i],
            attribution=arrays["attribution"][i],
            counterfactual=arrays["counterfactual"][i] if "counterfactual" in arrays else None,
            prediction=float(predictions.predictions[i, source]),
            prediction_after=scalars.get("prediction_after"),
            predicted=bool(arrays["predicts_source"][i]),
            success=scalars.get("success") if arrays["predicts_source"][i] else None,
            reason=scalars.get("reason") or "",
            steps=scalars.get("steps"),
            warning=self.reference.warning(predictions, i),
        )
