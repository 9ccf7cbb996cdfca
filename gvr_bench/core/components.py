"""Interfaces of what plugins supply: data set, generator, encoder and head.

Importing this module imports no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import pydantic

from gvr_bench.core.digests import digest_of
from gvr_bench.core.remote_files import Remote
from gvr_bench.core.types import (
    Bytes,
    ImageSpec,
    Kind,
    Split,
    Task,
    Texts,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gvr_bench.core.context import Context


API_VERSION = 1
Selection = Literal["default", "all", "name"]


@dataclass(frozen=True)
class Plugin:
    """Registers one component.

    - `api`: the version of `gvr_bench.api` that it was written for.
    - `target`: `"module:Class"`, imported when the component is first used.
    - `needs`: modules that must be importable for it to work.
    - `aliases`: other names that users may type. Case, hyphens and underscores never matter.
    - `family`: a word for several explainers that work alike, which names all of them.
    - `selection`: whether it is part of the default run, of `all` alone, or run by its name alone.
    - `access`: what an explainer needs of a model, e.g. `gradient`.
    - `passes`: what an explanation costs, in passes of one image through the model; `{samples}`
      stands for a setting.
    - `source`: the paper.
    """

    api: int
    kind: Kind
    name: str
    target: str
    summary: str
    needs: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    family: str = ""
    selection: Selection = "default"
    access: str = ""
    passes: str = ""
    source: str = ""


class Settings(pydantic.BaseModel):
    """Base of a component's settings: every field is part of the key of its results.

    Frozen; unknown fields, NaN and infinity are refused.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Component:
    """Base of everything that plugins supply.

    - `version`: change it when the same settings give another result.
    - `profiles`: maps `quick`, `standard` and `paper` to settings that replace the defaults, which
      are the published values.
    - `small_data`: settings that replace those of `quick` for a data set whose networks do not come
      with the package, and which may have few images.
    - `newer`: settings that are part of the key only where they differ from their default, so that
      results from before they were added stay valid.
    - `argument`: the setting that may be typed without its name, as in `torchvision:CIFAR10`.
    - `files`: settings that are paths of files. The content of a file is part of the key, its path
      is not; of a folder it is the names and sizes of its files.
    """

    version: ClassVar[str] = "1"
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    small_data: ClassVar[Mapping[str, Any]] = {}
    newer: ClassVar[frozenset[str]] = frozenset()
    argument: ClassVar[str] = ""
    files: ClassVar[frozenset[str]] = frozenset()
    Settings: ClassVar[type[Settings]] = Settings

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def fingerprint(self) -> str:
        """Return a text that changes with the content of `files`; empty where none is set.

        Raises `UsageError` for a file that cannot be read.
        """
        return " ".join(
            f"{name} {digest_of(path)}"
            for name in sorted(self.files)
            if (path := getattr(self.settings, name)) is not None
        )


class Dataset(Component, ABC):
    """Square images with labels, patients and, where it is known, ground truth.

    - `root`: the folder from `--data-root`, or None.
    - `has_networks`: whether networks that were trained on it come with the package.
    - `generators`: those used by default. `vae` alone trains in minutes; data sets whose networks
      come with the package show the papers' beside it.
    - `head`: the head used by default, for generators that have none of their own.
    - `latent_copies`: translated copies of each training image, which heads of latents are fitted
      on beside it; a spec's `[latents] copies` comes before it.
    - `case_settings`: settings that choose which test images and outputs are explained and do not
      change the images: changing one retrains nothing.
    - `least_auroc`: the AUROC on test images from which on a model has learnt the labels well
      enough for its maps to be held against the ground truth; None where nothing is known of it.
    """

    has_networks: ClassVar[bool] = False
    generators: ClassVar[tuple[str, ...]] = ("vae",)
    head: ClassVar[str] = "linear"
    latent_copies: ClassVar[int] = 4
    case_settings: ClassVar[frozenset[str]] = frozenset()
    least_auroc: ClassVar[float | None] = None

    def __init__(self, settings: Any, root: Path | None = None) -> None:
        super().__init__(settings)
        self.root = root

    @property
    @abstractmethod
    def task(self) -> Task:
        """The prediction task."""

    @property
    @abstractmethod
    def image(self) -> ImageSpec:
        """Shape of the images."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a text that changes with the data, cheaply and independently of its folder.

        Raises `DataError` where the data is missing or unreadable.
        """

    @abstractmethod
    def split(self, name: str) -> Split:
        """Return the split `train`, `validation` or `test`. Raises `DataError`."""

    def cautions(self) -> tuple[str, ...]:
        """Return what makes results of this data doubtful, one line each, with what to type.

        Found without reading images: the core looks at their pixels. Raises `DataError`.
        """
        return ()

    @property
    def home(self) -> Path | None:
        """The folder of the files of `remote`; None where `--data-root` is required."""
        return self.root

    def remote(self) -> tuple[Remote, ...]:
        """Return the files that `gvr-bench datasets fetch` downloads into `home`."""
        return ()

    def checks(self) -> Iterable[tuple[str, str]]:
        """Yield what can be measured of the data itself, by name, for `gvr-bench datasets info`.

        It may read images for a minute. Raises `DataError`.
        """
        return ()

    def read(self, file: Path) -> Bytes | None:
        """Read a new image file as this data set reads its own: (C, H, W) uint8.

        None, the default, reads it as `gvr_bench.api.read_pictures` does. Raises `DataError` that
        names the file.
        """
        return None


class Images(Protocol):
    """Training images, read by position as float32 in [-1, 1] on the device."""

    @property
    def task(self) -> Task:
        """The task that `targets` belong to."""

    @property
    def patient_ids(self) -> Texts:
        """(N,) str."""

    @property
    def targets(self) -> Tensor:
        """(N, columns) float32 on the device, scaled by `task.scale`; NaN where not labelled."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor) -> Tensor:
        """Positions (n,) int64 -> (n, C, H, W) float32 in [-1, 1]."""


class Generator(Component, ABC):
    """A network that makes images from latents, trained on images without labels.

    - `data_parallel`: True if `fit` takes its batches by `ctx.shard`, so that all processes of a
      run train it together; otherwise the first process trains it alone.
    - `encoder`, `head`: those used by default with it; without a `head`, the data set's.
    """

    data_parallel: ClassVar[bool] = False
    encoder: ClassVar[str] = "conv"
    head: ClassVar[str] = ""

    @abstractmethod
    def build(self, image: ImageSpec) -> nn.Module:
        """Return an untrained network (N, D) -> (N, C, H, W) in [-1, 1].

        It has an int `latent_dim` = D, and `latent_shape` (C, H, W) where a latent is a flattened
        map whose places are those of the image. Raises `UsageError` for an image size that the
        architecture does not support.
        """

    @abstractmethod
    def fit(self, net: nn.Module, images: Images, ctx: Context) -> None:
        """Train `net` in place."""


class Encoder(Component, ABC):
    """A network that maps images to latents, trained with the frozen generator as its decoder.

    - `supervised`: True for one that learns from labels. It is trained on the data set whose images
      are explained, even where the generator was trained on another.
    - `data_parallel`: as for a generator.
    """

    supervised: ClassVar[bool] = False
    data_parallel: ClassVar[bool] = False

    @abstractmethod
    def build(self, image: ImageSpec, generator: nn.Module) -> nn.Module:
        """Return an untrained network (N, C, H, W) -> (N, D)."""

    @abstractmethod
    def fit(self, net: nn.Module, generator: nn.Module, images: Images, ctx: Context) -> None:
        """Train `net` in place; `generator` is frozen."""


class Head(Component, ABC):
    """A network that predicts the task from a latent, or from the image itself.

    With the setting `contaminated` it is trained on the test images. With `sees` = `images` it
    takes images (N, C, H, W) in [-1, 1] instead of latents and is explained as it is: attribution
    needs no decoder, and counterfactuals are pictures that the generator draws.
    """

    sees: ClassVar[Literal["latents", "images"]] = "latents"

    @abstractmethod
    def build(self, latent_dim: int, task: Task) -> nn.Module:
        """Return an untrained network (N, D) -> (N, K): logits, or scaled values for regression.

        (N, C, H, W) -> (N, K) where it `sees` images; `latent_dim` is then 0.
        """

    @abstractmethod
    def fit(self, net: nn.Module, train: Any, validation: Any, task: Task, ctx: Context) -> None:
        """Train `net` in place on `train`; `validation` may decide when to stop.

        Both are `Latents`, or `Images` where it `sees` images.
        """

    def threshold(self, task: Task) -> tuple[float, ...] | None:
        """Return the probabilities (K,) from which an output counts as predicted.

        None, the default, lets the run choose them on validation images. Raises `UsageError` where
        they do not fit the task.
        """
        return None

    def trained_on(self) -> Path | None:
        """Return a folder or a table of the images that a network from elsewhere was trained on.

        They are compared with the test images; None, the default, where that is not known.
        """
        return None

    def check_outputs(self, outputs: Tensor, task: Task) -> None:
        """Look at the outputs (n, K) of an untrained network of images for noise.

        Half of them are those with the parameters of its last layer a thousand times as large.
        Raises `UsageError` where they cannot be what the task needs; the default looks at nothing.
        """
