"""Interfaces of what plugins supply: data set, generator, encoder, head and explainer.

Importing this module imports no torch.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
import pydantic
from numpy.typing import NDArray

from gvr_bench.core.errors import UsageError
from gvr_bench.core.remote_files import Remote
from gvr_bench.core.types import (
    Explanation,
    ExplanationTarget,
    ImageSpec,
    Kind,
    Latents,
    Model,
    Split,
    Task,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gvr_bench.core.context import Context


API_VERSION = 1
Role = Literal["attribution", "counterfactual", "control"]


@dataclass(frozen=True)
class Plugin:
    """One row of the table of plugins.

    `target` is `"module:Class"`; `needs` names modules that must be importable for it to work;
    `api` is the version of `gvr_bench.api` that it was written for.
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
    `case_settings` names the settings that say what is asked of the test images and leave the images
    themselves alone: changing one retrains nothing. Images are square.
    """

    head: ClassVar[str] = "linear"
    case_settings: ClassVar[frozenset[str]] = frozenset()

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
        from gvr_bench.data.image_io import read_pictures

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

    `data_parallel` says that its `fit` takes its batches by `ctx.shard`: then the processes of a run train
    it together. One that says nothing is trained by the first process alone.
    """

    data_parallel: ClassVar[bool] = False

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
    are explained, even where the generator saw another. `data_parallel` is that of a generator.
    """

    supervised: ClassVar[bool] = False
    data_parallel: ClassVar[bool] = False

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
    """Says why the model predicts what it predicts.

    `role` is `counterfactual` for one that also returns changed images, and `control` for a map
    that ignores the model: the other explainers are compared with the controls.
    """

    role: ClassVar[Role] = "attribution"

    @abstractmethod
    def explain(
        self, model: Model, x: Tensor, target: ExplanationTarget, ctx: Context
    ) -> Explanation:
        """Explain a batch `x` (N, C, H, W) in [-1, 1].

        Raises `Unsupported` with a reason where it does not apply to this model or task.
        """


def digest_of(path: Path) -> str:
    """SHA-256 of a file. Raises `UsageError` that names it."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
