"""The only module a plugin needs.

A plugin is a package with one line under `[project.entry-points.gvr_bench]` in its
`pyproject.toml`, naming a module that implements the hook `gvr_plugins`:

```python
import gvr_bench.api as gvr

@gvr.hookimpl
def gvr_plugins():
    yield gvr.Plugin(api=1, kind="explainer", name="centre", target="gvr_centre.explainer:Centre",
                     summary="heat in the middle of the image")
```

That module is imported whenever plugins are listed, so it must not import torch; the class named
by `target` is imported when it is first used. Importing this module imports no torch either.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
import pluggy
import pydantic
from numpy.typing import NDArray

from gvr_bench.errors import (
    DataError,
    GvrError,
    PluginError,
    TrainingError,
    Unsupported,
    UsageError,
    did_you_mean,
)
from gvr_bench.fetching.files import fetch
from gvr_bench.fetching.remote import Archive, Remote
from gvr_bench.sharing import Processes, Share, backward, mean, share_of
from gvr_bench.types import (
    Explanation,
    ImageSpec,
    Kind,
    Latents,
    Model,
    Query,
    Scale,
    Split,
    Task,
    Truth,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = [
    "API_VERSION", "Archive", "Component", "Context", "DataError", "Dataset", "Encoder",
    "Explainer", "Explanation", "Generator", "GvrError", "Head", "ImageSpec", "Images", "Latents",
    "Model", "Plugin", "PluginError", "Query", "Remote", "Scale", "Settings", "Share", "Split",
    "Task", "TrainingError", "Truth", "Unsupported", "UsageError", "did_you_mean", "digest_of",
    "fetch", "hookimpl", "seed_from", "task_loss", "translate",
]  # fmt: skip

API_VERSION = 1
hookimpl = pluggy.HookimplMarker("gvr_bench")


@dataclass(frozen=True)
class Plugin:
    """One row of the table of plugins.

    `target` is `"module:Class"`; `needs` names modules that must be importable for it to work;
    `api` is the version of this module that it was written for.
    """

    api: int
    kind: Kind
    name: str
    target: str
    summary: str
    needs: tuple[str, ...] = ()


class Settings(pydantic.BaseModel):
    """What is computed: every field is part of the key of the result. Frozen, no extra fields."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Component:
    """Base of all that plugins supply.

    Bump `version` when the same settings give another result. `profiles` maps `quick`, `standard`
    and `paper` to settings that replace the defaults; the defaults are the published values.
    `argument` names the setting that may be typed without its name, as in `torchvision:CIFAR10`.
    `files` names settings that say where files lie: what is in them is part of the key, where
    they are is not.
    """

    version: ClassVar[str] = "1"
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    argument: ClassVar[str] = ""
    files: ClassVar[frozenset[str]] = frozenset()
    Settings: ClassVar[type[Settings]] = Settings

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def fingerprint(self) -> str:
        """Text that changes whenever what lies in `files` does; empty where none is given.

        Raises `UsageError` that names a file that cannot be read.
        """
        return " ".join(
            f"{name} {digest_of(path)}"
            for name in sorted(self.files)
            if (path := getattr(self.settings, name)) is not None
        )


class Dataset(Component, ABC):
    """Images with labels, patients and, where it is known, the truth about them.

    `root` is the folder given with `--data-root`, or None. `head` names the natural head.
    `asked` names the settings that say what is asked of the test images and leave the images
    themselves alone: changing one retrains nothing. Images are square.
    """

    head: ClassVar[str] = "linear"
    asked: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, settings: Any, root: Path | None = None) -> None:
        super().__init__(settings)
        self.root = root

    @property
    @abstractmethod
    def task(self) -> Task:
        """What is predicted."""

    @property
    @abstractmethod
    def image(self) -> ImageSpec:
        """Shape of the images."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Text that changes whenever the data does; cheap, and independent of where data lies.

        Raises `DataError` where the data is missing or unreadable.
        """

    @abstractmethod
    def split(self, name: str) -> Split:
        """The split `train`, `validation` or `test`. Raises `DataError`."""

    @property
    def home(self) -> Path | None:
        """The folder of the files of `remote`; None where it has yet to be given."""
        return self.root

    def remote(self) -> tuple[Remote, ...]:
        """Files that `gvr-bench datasets fetch` downloads into `home`; none by default."""
        return ()

    def read(self, file: Path) -> NDArray[np.uint8]:
        """Read an image file as one of these images: (C, H, W). Raises `DataError` naming it."""
        from gvr_bench.pixels import read_pictures

        picture: NDArray[np.uint8]
        (picture,) = read_pictures([file], self.image)
        return picture


class Images(Protocol):
    """Images as a trainer reads them: by position, as float32 in [-1, 1] on the device."""

    @property
    def task(self) -> Task:
        """What `targets` mean."""

    @property
    def patient_ids(self) -> NDArray[np.str_]:
        """(N,) str."""

    @property
    def targets(self) -> Tensor:
        """(N, columns) float32, scaled as the task says; NaN where not labelled. On the device."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor) -> Tensor:
        """Positions (n,) int64 -> (n, C, H, W) float32 in [-1, 1]."""


class Generator(Component, ABC):
    """Makes images from latents; trained on images without labels.

    `shares` says that its `fit` takes its batches by `ctx.share`: then the processes of a run train
    it together. One that says nothing is trained by the first process alone.
    """

    shares: ClassVar[bool] = False

    @abstractmethod
    def build(self, image: ImageSpec) -> nn.Module:
        """Return a network (N, D) -> (N, C, H, W) in [-1, 1] with an int `latent_dim` = D.

        Raises `UsageError` where the architecture cannot make that size.
        """

    @abstractmethod
    def fit(self, net: nn.Module, images: Images, ctx: Context) -> None:
        """Train `net` in place."""


class Encoder(Component, ABC):
    """Finds the latent of an image, trained with the frozen generator as its decoder.

    One that learns from labels says so by `supervised` and is trained on the data set whose images
    are explained, even where the generator saw another. `shares` is that of a generator.
    """

    supervised: ClassVar[bool] = False
    shares: ClassVar[bool] = False

    @abstractmethod
    def build(self, image: ImageSpec, generator: nn.Module) -> nn.Module:
        """Return a network (N, C, H, W) -> (N, D)."""

    @abstractmethod
    def fit(self, net: nn.Module, generator: nn.Module, images: Images, ctx: Context) -> None:
        """Train `net` in place; `generator` is frozen."""


class Head(Component, ABC):
    """Predicts the task from a latent, or from the image it decodes to.

    Where its settings have a true `contaminated`, the core gives it the test images to fit. One
    with `sees` = `images` builds a network of images (N, C, H, W) in [-1, 1]: the core puts it
    behind the generator, so that every explainer explains it through the same decoder.
    """

    sees: ClassVar[Literal["latents", "images"]] = "latents"

    @abstractmethod
    def build(self, latent_dim: int, task: Task) -> nn.Module:
        """Return a network (N, D) -> (N, K): logits, or scaled values for regression.

        Images (N, C, H, W) -> (N, K) where it `sees` them.
        """

    @abstractmethod
    def fit(
        self, net: nn.Module, train: Latents, validation: Latents, task: Task, ctx: Context
    ) -> None:
        """Train `net` in place on `train`; `validation` may choose when to stop."""


class Explainer(Component, ABC):
    """Says why the model predicts what it predicts."""

    @abstractmethod
    def explain(self, model: Model, x: Tensor, query: Query, ctx: Context) -> Explanation:
        """Explain a batch `x` (N, C, H, W) in [-1, 1].

        Raises `Unsupported` with a reason where it does not apply to this model or task.
        """


class Stateful(Protocol):
    """What a checkpoint can hold: networks, optimisers, schedulers."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Any, /) -> object: ...


class Checkpoints(Protocol):
    """Where a loop keeps its state between crashes."""

    def due(self) -> bool: ...

    def load(self) -> tuple[int, dict[str, Any], list[dict[str, float]]] | None: ...

    def save(self, step: int, state: dict[str, Any], history: list[dict[str, float]]) -> None: ...

    def looping(self) -> contextlib.AbstractContextManager[None]: ...


class Progress(Protocol):
    """Who shows how far a loop is."""

    def __call__(self, done: int, total: int, detail: str) -> None: ...


def _silent(done: int, total: int, detail: str) -> None:
    """Show nothing."""


def seed_from(*parts: object) -> int:
    """Derive a 63-bit seed from anything with a stable `repr`, e.g. `seed_from(seed, step)`."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def digest_of(path: Path) -> str:
    """SHA-256 of a file. Raises `UsageError` that names it."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error


def task_loss(outputs: Tensor, targets: Tensor, task: Task) -> Tensor:
    """Return the mean loss of outputs (N, K) against scaled targets (N, columns).

    Squared error for regression, cross-entropy otherwise.
    """
    import torch.nn.functional as F

    if task.kind == "multiclass":
        return F.cross_entropy(outputs, targets[:, 0].long())
    if task.kind == "regression":
        return F.mse_loss(outputs, targets)
    return F.binary_cross_entropy_with_logits(outputs, targets)


def translate(x: Tensor, shift: int, rng: torch.Generator, share: Share | None = None) -> Tensor:
    """Move each image by up to `shift` pixels in both directions, repeating the border.

    `x` (N, C, H, W) -> the same shape; the papers' augmentation (8 pixels at 128 x 128). Where `x`
    is a share of a batch, it moves as it does in the batch.
    """
    import torch
    import torch.nn.functional as F

    if shift == 0:
        return x
    n, _, h, w = x.shape
    drawn = torch.randint(0, 2 * shift + 1, (2, share.drawn if share else n, 1), generator=rng)
    dy, dx = (drawn[:, share.rows] if share else drawn).to(x.device)
    padded = F.pad(x, (shift, shift, shift, shift), mode="replicate").permute(0, 2, 3, 1)
    rows = (torch.arange(h, device=x.device) + dy)[:, :, None]  # (N, H, 1)
    columns = (torch.arange(w, device=x.device) + dx)[:, None, :]  # (N, 1, W)
    images = torch.arange(n, device=x.device)[:, None, None]
    return padded[images, rows, columns].permute(0, 3, 1, 2)  # channels_last in memory


@dataclass
class Context:
    """How things are computed; nothing in it changes a result beyond rounding, except the seed.

    `history` collects what `log` is given: one dict per call with its `step`.
    """

    device: torch.device
    seed: int = 0
    batch_size: int = 128
    bfloat16: bool = False
    progress: Progress = _silent
    checkpoints: Checkpoints | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    processes: Processes | None = None  # that train together, where there are several
    _step: int = 0
    _total: int = 0

    def generator(self, *parts: object) -> torch.Generator:
        """A CPU random generator that depends on the seed and `parts` alone."""
        import torch

        return torch.Generator().manual_seed(seed_from(self.seed, *parts))

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """bfloat16 arithmetic where the device gains from it."""
        import torch

        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16)

    def log(self, **values: float) -> None:
        """Record losses at the current step of the loop.

        Raises `TrainingError` on NaN or infinity.
        """
        for name, value in values.items():
            if not math.isfinite(value):
                raise TrainingError(f"{name} became {value} at step {self._step} of {self._total}")
        self.history.append({"step": float(self._step), **values})

    def loop(
        self, total: int, state: Mapping[str, Stateful], *, batch: int = 0, images: int = 0
    ) -> Iterator[int]:
        """Yield the steps 0..total-1 of a training that survives being killed.

        Everything that changes from step to step must be in `state`, and every random draw must
        come from `ctx.generator(step)`: then a resumed training equals an uninterrupted one.
        `batch` images are consumed per step out of `images`, to show epochs and throughput.
        """
        first = 0
        found = self.checkpoints.load() if self.checkpoints else None
        if found is not None:
            first, saved, self.history[:] = found
            for name, part in state.items():
                part.load_state_dict(saved[name])
        self._total = total
        with self.checkpoints.looping() if self.checkpoints else contextlib.nullcontext():
            for step in range(first, total):
                self._step = step
                last = self.processes is not None and self.processes.agree(step)
                epoch = f"epoch {step * batch / images:.1f}" if batch and images else ""
                self.progress(step, total, epoch)
                yield step
                leads = not self.processes or self.processes.rank == 0
                if not (self.checkpoints and leads and step + 1 < total):
                    continue
                if last or self.checkpoints.due():
                    tree = {name: part.state_dict() for name, part in state.items()}
                    self.checkpoints.save(step + 1, tree, self.history)
        self.progress(total, total, "")

    def share(self, batch: int, times: int = 1) -> Share:
        """Return the rows that this process takes of a step's `times` batches: all, if it is alone.

        Draw for the whole batch, and keep `share.rows` of what was drawn.
        """
        return share_of(self.processes, batch, times)

    def backward(self, loss: Tensor, parameters: Iterable[nn.Parameter], share: Share) -> Tensor:
        """Do `loss.backward()` for the batch that was shared, and return its mean loss.

        `loss` () is a mean over the rows of `share`; gradients must be empty before.
        """
        return backward(self.processes, loss, parameters, share)

    def mean(self, share: Share, *values: Tensor) -> tuple[Tensor, ...]:
        """Return means over the batch, from means () over the rows of `share`, to log them."""
        return mean(self.processes, share, values)

    def over_whole_batches(self, net: nn.Module) -> nn.Module:
        """Return `net` with batch normalisation that sees the rows of all processes."""
        from gvr_bench.normalising import over_whole_batches

        return over_whole_batches(net, self.processes)

    def batches(self, n: int, size: int | None = None) -> Iterator[slice]:
        """Cut 0..n into slices of at most `size` (default `batch_size`), showing progress."""
        size = size or self.batch_size
        for start in range(0, n, size):
            self.progress(start, n, "")
            yield slice(start, min(start + size, n))
        self.progress(n, n, "")
