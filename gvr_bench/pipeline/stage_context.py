"""What a step works with: its stage, its inputs' files, and the networks it loads."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.hdf5 import ALL, read_arrays
from gvr_bench.cache.serialization import read_json, read_weights, write_json
from gvr_bench.core.components import Dataset, Encoder, Generator, Head
from gvr_bench.core.context import Context, seed_from
from gvr_bench.core.errors import DataError, PluginError
from gvr_bench.core.explainer import Explainer
from gvr_bench.core.reference import Reference, spread
from gvr_bench.core.stage import Stage, StageKind, depends_on
from gvr_bench.core.types import Bools, ExplanationTarget, Floats, ImageSpec, Ints, Model, Task
from gvr_bench.data.stored_images import StoredImages
from gvr_bench.metrics.prediction import PredictionScore

DECODED_BATCH = 64  # images that a head sees, which may be large for its network


@dataclasses.dataclass
class StageContext:
    """A stage, the cache with its inputs, and the context it is computed in.

    `earlier` are the seconds that stored parts of it took before.
    """

    stage: Stage
    cache: ArtifactCache
    ctx: Context
    earlier: float = 0.0

    def out(self, name: str) -> Path:
        return self.cache.output(self.stage, name)

    def file(self, stage: Stage, name: str) -> Path:
        """Return a file of an input. Raises `CorruptStageError`."""
        return self.cache.file(stage, name)

    def data(self) -> Path:
        return self.file(self.stage.input("data"), "data.h5")

    def arrays(self, kind: StageKind, *names: str, rows: slice = ALL) -> dict[str, NDArray[Any]]:
        """Read arrays of the input of a kind, which lie in a file of that name."""
        return read_arrays(self.file(self.stage.input(kind), f"{kind}.h5"), *names, rows=rows)

    def images(self, split: str) -> StoredImages:
        return StoredImages(self.data(), split, self.dataset().task, self.ctx.device)

    def dataset(self) -> Dataset:
        """Return the data set, with the settings of the cases if the stage depends on them."""
        try:
            stage = self.stage.input("cases")
        except LookupError:
            stage = self.stage.input("data")
        return cast(Dataset, stage.component)


@dataclasses.dataclass(frozen=True)
class Step:
    """A kind of stage: what it computes, and what it needs for that.

    `run` writes the files of a stage, and may return a note for the user. `inputs` are the
    names of stages that it reads, `optional` of those that only some of its stages read.
    `trains` says that it trains a network, whose result depends on the batch size;
    `data_parallel` is the part of it that several processes do together. `sharded` prepares the
    work on some of the cases, for a stage that can be computed in parts. `gpu` is the share of
    a GPU it reserves on a cluster, 0 if it runs no network. A `DataError` or `UsageError` of an
    `essential` step ends the run.
    """

    kind: str
    run: Callable[[StageContext], str | None]
    inputs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    trains: bool = False
    data_parallel: Callable[[StageContext], nn.Module] | None = None
    sharded: Callable[[StageContext], Callable[[slice], dict[str, NDArray[Any]]]] | None = None
    gpu: float = 1.0
    essential: bool = False


def freeze(net: nn.Module) -> nn.Module:
    """Put a network in eval mode without gradients for its weights."""
    return net.eval().requires_grad_(False)


def load_network(stage_ctx: StageContext, stage: Stage, net: nn.Module) -> nn.Module:
    weights, _ = read_weights(stage_ctx.file(stage, "weights.safetensors"))
    net.load_state_dict(weights)
    return freeze(net.to(stage_ctx.ctx.device))


def load_generator(stage_ctx: StageContext) -> nn.Module:
    stage = stage_ctx.stage.input("generator")
    generator = cast(Generator, stage.component)
    return load_network(stage_ctx, stage, generator.build(stage_ctx.dataset().image))


def load_encoder(stage_ctx: StageContext, generator: nn.Module) -> nn.Module:
    stage = stage_ctx.stage.input("encoder")
    encoder = cast(Encoder, stage.component)
    return load_network(stage_ctx, stage, encoder.build(stage_ctx.dataset().image, generator))


class Decoded(nn.Module):
    """A head that sees images, as one of latents: they are decoded first."""

    def __init__(self, generator: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.head = head

    def forward(self, z: Tensor) -> Tensor:
        """Latents (N, D) -> outputs (N, K), `DECODED_BATCH` images at a time."""
        return torch.cat(
            [self.head(self.generator(part)) for part in torch.split(z, DECODED_BATCH)]
        )


class Absent(nn.Module):
    """Stands for a network that the stage does not depend on."""

    latent_dim = 0

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        raise PluginError(
            f"the explainer uses the model's {self.name}, which a network of images has only for "
            "explainers that declare it; write needs_decoder = True in the explainer's class"
        )


def in_fast_layout(net: nn.Module, image: ImageSpec) -> nn.Module:
    """Lay out the weights of convolutions so that a CPU needs half the time for gray images.

    Outputs then have channels last too; a network that views them otherwise stays as it is.
    """
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    if not layers or layers[0].weight.device.type != "cpu":
        return net
    x = torch.zeros(1, image.channels, image.size, image.size)
    for layout in (torch.channels_last, torch.contiguous_format):
        for layer in layers:
            layer.to(memory_format=layout)
        with contextlib.suppress(RuntimeError), torch.no_grad():
            net(x.contiguous(memory_format=torch.channels_last))
            break
    return net


def model_of(head: Head, net: nn.Module, encoder: nn.Module, generator: nn.Module) -> Model:
    """Put the networks of a model together; `net` is that of the head, whatever it sees."""
    has_decoder = not isinstance(generator, Absent)
    if head.sees == "latents":
        return Model(encoder, generator, net)
    behind = Decoded(generator, net).eval() if has_decoder else Absent("head of latents")
    return Model(encoder, generator, behind, classifier=net, has_decoder=has_decoder)


def load_model(stage_ctx: StageContext) -> Model:
    encoder: nn.Module = Absent("encoder")
    generator: nn.Module = Absent("generator")
    if depends_on(stage_ctx.stage, "encoder"):
        generator = load_generator(stage_ctx)
        encoder = load_encoder(stage_ctx, generator)
    stage = stage_ctx.stage.input("head")
    head = cast(Head, stage.component)
    dataset = stage_ctx.dataset()
    net = load_network(stage_ctx, stage, head.build(cast(int, generator.latent_dim), dataset.task))
    if head.sees == "images":
        net = in_fast_layout(net, dataset.image)
    return model_of(head, net, encoder, generator)


@dataclasses.dataclass(frozen=True)
class Decision:
    """The `threshold` (K,) and `reference_value` (K, K) of a model, as `decide` defines them."""

    threshold: Floats
    reference_value: Floats

    def explanation_target(
        self, task: Task, source: Ints, target: Ints, device: torch.device
    ) -> ExplanationTarget:
        """Return the target of cases (N,)."""
        columns = source, target, self.threshold[source], self.reference_value[source, target]
        return ExplanationTarget(task, *(torch.from_numpy(column).to(device) for column in columns))


def read_decision(stage_ctx: StageContext, stage: Stage) -> Decision:
    content = read_json(stage_ctx.file(stage, "decision.json"))
    names = "threshold", "reference_value"
    return Decision(*(np.asarray(content[name], np.float32) for name in names))


def read_targets(
    stage_ctx: StageContext, task: Task, source: Ints, target: Ints
) -> ExplanationTarget:
    """Return the targets of cases (N,), with the head's own decision."""
    decision = read_decision(stage_ctx, stage_ctx.stage.input("head"))
    return decision.explanation_target(task, source, target, stage_ctx.ctx.device)


@torch.no_grad()
def seeded_by(stage_ctx: StageContext, stage: Stage) -> Context:
    """Return the context with the random numbers of another stage."""
    return dataclasses.replace(stage_ctx.ctx, seed=seed_from(stage.key))


def batched(function: Callable[[Tensor], Tensor], x: Tensor, ctx: Context) -> Tensor:
    """Apply a function to images (N, C, H, W) on any device, a batch at a time."""
    parts = torch.split(x, ctx.batch_size)
    return torch.cat([function(part.to(ctx.device)) for part in parts])


def labelled_mask(targets: Floats, split: str) -> Bools:
    """Return which targets (N, columns) are labelled: (N,). Raises `DataError` if none."""
    rows = np.asarray(~np.isnan(targets).any(axis=1))
    if not rows.any():
        raise DataError(f"no image of the split '{split}' carries a label")
    return rows


def labelled_images(stage_ctx: StageContext, split: str) -> tuple[StoredImages, Tensor, Floats]:
    """Return a split's images, positions (N,) of the labelled ones, and their targets."""
    targets = stage_ctx.arrays("data", f"{split}/targets")[f"{split}/targets"]
    rows = labelled_mask(targets, split)
    return stage_ctx.images(split), torch.from_numpy(np.flatnonzero(rows)), targets[rows]


@torch.no_grad()
def write_scores(stage_ctx: StageContext, scores: Iterable[PredictionScore]) -> None:
    write_json(stage_ctx.out("scores.json"), [dataclasses.asdict(score) for score in scores])


def with_reference(
    stage_ctx: StageContext, explainer: Explainer, model: Model, *, encode: bool = False
) -> StageContext:
    """Return the context with a reference, if the explainer declares that it uses one.

    Its latents are those of the cache, unless `encode` says that the encoder is another one.
    """
    if not explainer.uses_reference:
        return stage_ctx
    task, device = stage_ctx.dataset().task, stage_ctx.ctx.device
    targets = stage_ctx.arrays("data", "train/targets")["train/targets"]
    rows = torch.from_numpy(spread(targets, task))

    @functools.cache
    def train() -> StoredImages:
        return stage_ctx.images("train")

    def latents() -> Tensor:  # those of the images themselves come before those of their copies
        stored = stage_ctx.arrays("latents", "train/z", rows=slice(0, len(targets)))["train/z"]
        return torch.from_numpy(stored[rows.numpy()]).to(device)

    cached = depends_on(stage_ctx.stage, "latents") and not encode
    reference = Reference(
        model,
        task,
        targets[rows.numpy()],
        lambda index: train()[rows[index]],
        stage_ctx.ctx.batch_size,
        latents if cached else None,
    )
    return replace(stage_ctx, ctx=replace(stage_ctx.ctx, _reference=reference))
