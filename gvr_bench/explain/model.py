"""The trained model of a run, and what explainers make of new images with it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.config.spec import parse_choice
from gvr_bench.core.components import Dataset, Explainer
from gvr_bench.core.context import Context, Progress, seed_from
from gvr_bench.core.errors import PluginError, UsageError
from gvr_bench.core.stage import Stage
from gvr_bench.core.types import ExplanationTarget, ImageSpec, Task
from gvr_bench.data.stored_images import to_float
from gvr_bench.explain.inputs import InputImage, take
from gvr_bench.explain.out_of_distribution import rebuild_error, usual_of
from gvr_bench.explain.rationale import Rationale
from gvr_bench.explain.targets import Seen, TargetBatch, TargetSelection, questions, wish_of
from gvr_bench.pipeline.cases_file import SCALED
from gvr_bench.pipeline.graph import Planner
from gvr_bench.pipeline.options import gains_from_bfloat16
from gvr_bench.pipeline.plan import Combination
from gvr_bench.pipeline.stage_context import StageContext, load_model, read_decision
from gvr_bench.pipeline.steps.explanations import explain, gather, trajectory
from gvr_bench.pipeline.steps.heads import activated
from gvr_bench.pipeline.steps.metric_inputs import verdicts
from gvr_bench.pipeline.steps.oracle import Oracle, load_oracle
from gvr_bench.pipeline.steps.shards import joined
from gvr_bench.results.explained_images import unlike

if TYPE_CHECKING:
    from gvr_bench.explain.inputs import Picture

Arrays = dict[str, NDArray[Any]]


class Trained:
    """A finished run's model, which explains new images. `gvr_bench.load` makes it.

    `run` is the name of the run; `usual` tells how near its own images lie to what it knows.
    """

    def __init__(
        self,
        run: str,
        combination: Combination,
        planner: Planner,
        cache: ArtifactCache,
        device: torch.device,
        batch_size: int,
    ) -> None:
        self.run = run
        self.combination = combination
        self.planner = planner
        self.cache = cache
        self.device = device
        self.batch_size = batch_size
        stage_ctx = self.stage_ctx(combination.head_stage)
        self.model = load_model(stage_ctx)
        self.decision = read_decision(stage_ctx, combination.head_stage)
        self.usual = usual_of(stage_ctx, self.model)

    @property
    def dataset(self) -> Dataset:
        """The data set of the run."""
        return cast(Dataset, self.combination.cases.component)

    @property
    def task(self) -> Task:
        """What is predicted."""
        return self.dataset.task

    @property
    def image(self) -> ImageSpec:
        """The shape that every image is brought to."""
        return self.dataset.image

    @property
    def explainers(self) -> tuple[str, ...]:
        """The explainers of the run, the first of which is asked by default."""
        return tuple(self.combination.explanations)

    def stage_ctx(self, stage: Stage, progress: Progress | None = None) -> StageContext:
        """Say how a stage is worked at; its draws are those of the run."""
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
    def see(self, pixels: NDArray[np.uint8]) -> Seen:
        """Predict and rebuild images (n, C, H, W)."""
        values, rebuilt, error, distance = [], [], [], []
        for part in torch.split(torch.from_numpy(pixels), self.batch_size):
            x = to_float(part.to(self.device))
            z = self.model.encoder(x)
            values.append(activated(self.task, self.model.head(z)).cpu().numpy())
            rebuilt.append(self.model.generator(z).cpu().numpy())
            error.append(rebuild_error(torch.from_numpy(rebuilt[-1]), x.cpu()))
            distance.append(self.usual.distances(z.cpu().numpy()))
        columns = [np.concatenate(column) for column in (values, rebuilt, error, distance)]
        return Seen(columns[0], self.task.scale.invert(columns[0]), *columns[1:])

    def predict(self, picture: Picture) -> dict[str, float]:
        """Predict one image: a probability per output, or a value in the task's unit."""
        seen = self.see(take(self.dataset, picture, 1).pixels[None])
        return dict(zip(self.task.outputs, seen.predictions[0].tolist(), strict=True))

    def stage(self, explainer: str) -> Stage:
        """Plan an explainer: one of the run, or any other with settings of its own.

        Raises `UsageError` or `PluginError` that names it.
        """
        known = self.combination.explanations.get(explainer)
        if known is None:
            c = self.combination
            choice = parse_choice(explainer)
            known = self.planner.explanation(choice, c.head_stage, c.cases, c.seed)
        return known

    def answer(self, stage: Stage, asked: TargetBatch, progress: Progress | None = None) -> Arrays:
        """Let one explainer answer; arrays are those of a run's `explanations.h5` and `trajectories.h5`.

        Raises what the plugin raises.
        """
        if stage.problem:
            raise PluginError(stage.problem)
        stage_ctx = self.stage_ctx(stage, progress)
        explainer = cast(Explainer, stage.component)
        parts, trajectories = [], []
        for part in stage_ctx.ctx.batches(len(asked.source)):
            x, target = self.put(asked, part)
            made = explain(explainer, self.model, x, target, stage_ctx)
            parts.append(gather(self.model, x, target, made))
            if made.trajectory is not None:
                trajectories.append(trajectory(self.model, made.trajectory, target))
        return self.in_unit(joined(parts) | (joined(trajectories) if trajectories else {}))

    def put(self, asked: TargetBatch, part: slice) -> tuple[Tensor, ExplanationTarget]:
        """Bring a batch to the device, with what is asked of it."""
        x = to_float(torch.from_numpy(asked.pixels[part]).to(self.device))
        columns = asked.source[part], asked.target[part]
        return x, self.decision.explanation_target(self.task, *columns, self.device)

    def in_unit(self, arrays: Arrays) -> Arrays:
        """Predictions as people read them."""
        invert = self.task.scale.invert
        return {name: invert(a) if name in SCALED else a for name, a in arrays.items()}

    @functools.cached_property
    def oracle(self) -> Oracle | None:
        """The independent model that was trained beside this one, where it is in the cache."""
        c = self.combination
        for stage in self.planner.stages.values():
            mine = stage.kind == "oracle" and (stage.input("data"), stage.seed) == (c.data, c.seed)
            if mine and self.cache.has(stage):
                return load_oracle(self.stage_ctx(stage))
        return None

    def judge(self, asked: TargetBatch, images: Tensor, when: str = "") -> Arrays:
        """What the oracle says of images (n, C, H, W) in [-1, 1]; nothing where there is none."""
        if self.oracle is None:
            return {}
        target = self.oracle.target(asked.source, asked.target)
        return self.in_unit(verdicts(target, self.oracle.outputs(images), when))

    @overload
    def explain(
        self,
        picture: list[Any] | tuple[Any, ...],
        *,
        explainer: str | None = None,
        finding: str | None = None,
        to: str | None = None,
    ) -> list[Rationale]: ...

    @overload
    def explain(
        self,
        picture: Picture,
        *,
        explainer: str | None = None,
        finding: str | None = None,
        to: str | None = None,
    ) -> Rationale: ...

    def explain(
        self,
        picture: Any,
        *,
        explainer: str | None = None,
        finding: str | None = None,
        to: str | None = None,
    ) -> Rationale | list[Rationale]:
        """Say why the model predicts what it predicts of an image, or of each of a list.

        A picture is the path of a PNG or JPEG file, an image of Pillow's, or an array: uint8 from
        0 to 255, or floats from -1 (black) to 1 (white), as (H, W), (H, W, 3) or (C, H, W). It is
        brought to the size of the run's images as the data set does with its own.

        `explainer` is a name, with settings behind a colon as on the command line; by default the
        first of the run. `finding` is the output to explain; by default the one that the model is
        surest of. Among classes it is the class to leave, by default the predicted one, and `to`
        the class to reach, by default that of the task, or the second likeliest.

        Returns one `Rationale`, or a list of them. Raises `DataError` for an image that cannot be
        read, `UsageError` for a name that is not known, and `Unsupported` where the explainer does
        not apply to this model.
        """
        several = isinstance(picture, list | tuple)
        wish = wish_of(self.task, [finding] if finding is not None else [], to)
        stage = self.stage(explainer or self.explainers[0])
        pictures = picture if several else [picture]
        taken = [take(self.dataset, one, i) for i, one in enumerate(pictures, start=1)]
        if not taken:
            return []
        pixels = np.stack([one.pixels for one in taken])
        seen = self.see(pixels)
        pairs = [self.surest(wish, v, one) for v, one in zip(seen.values, taken, strict=True)]
        asked = TargetBatch(pixels, *np.array(pairs, np.int64).T)
        made = self.answer(stage, asked)
        found = [self.rationale(stage, one, asked, seen, made, i) for i, one in enumerate(taken)]
        return found if several else found[0]

    def surest(
        self, wish: TargetSelection, values: NDArray[np.float32], taken: InputImage
    ) -> tuple[int, int]:
        """Return what to ask of an image, whether the model sees it or not. Raises `UsageError`."""
        asked, why = questions(self.task, wish, values, self.decision.threshold)
        if self.task.kind == "multiclass" and not asked:
            raise UsageError(f"{taken.name}: {why}")
        if len(asked) == 1:
            return asked[0]
        k = int(np.argmax(values - self.decision.threshold))
        return k, k

    def warning(self, seen: Seen, i: int) -> str:
        """Say how image `i` is unlike those of the run; empty where it is not."""
        usual = self.usual
        return unlike(float(seen.error[i]), usual.error, float(seen.distance[i]), usual.distance)

    def rationale(
        self, stage: Stage, taken: InputImage, asked: TargetBatch, seen: Seen, made: Arrays, i: int
    ) -> Rationale:
        """Put together what there is of image `i`."""
        task, source, target = self.task, int(asked.source[i]), int(asked.target[i])

        def one(name: str) -> Any:
            return made[name][i].item() if name in made else None

        return Rationale(
            name=taken.name,
            explainer=stage.name,
            finding=task.outputs[source],
            target=task.outputs[target] if task.kind == "multiclass" else None,
            unit=task.unit if task.kind == "regression" else "",
            image=taken.pixels.astype(np.float32) / 127.5 - 1,
            reconstruction=seen.reconstruction[i],
            attribution=made["attribution"][i],
            counterfactual=made["counterfactual"][i] if "counterfactual" in made else None,
            prediction=float(seen.predictions[i, source]),
            prediction_after=one("prediction_after"),
            seen=bool(made["predicts_source"][i]),
            found=one("success"),
            reason=one("reason") or "",
            steps=one("steps"),
            warning=self.warning(seen, i),
        )
