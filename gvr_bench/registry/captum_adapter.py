"""Other people's explainers as ours, in three lines each.

```python
from gvr_bench.registry.captum_adapter import CaptumExplainer


class InputXGradient(CaptumExplainer):
    \"\"\"Gradient times input (Shrikumar et al. 2016).\"\"\"

    attribution = "captum.attr:InputXGradient"
```

Importing this module imports no torch.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from gvr_bench.core.components import Explainer
from gvr_bench.core.context import Context, seed_from
from gvr_bench.core.errors import PluginError
from gvr_bench.core.types import Explanation, ExplanationTarget, Model

if TYPE_CHECKING:
    from torch import Tensor, nn


class CaptumExplainer(Explainer):
    """An attribution method of captum, named by `attribution` as `"captum.attr:DeepLift"`.

    Each setting is handed to the method's `attribute()` by its name; `arguments` replaces that.
    The target is the asked-for output. Set `draws` for a method that draws random numbers: it then
    explains one image at a time with numbers that depend on the seed and that image alone.
    """

    attribution: ClassVar[str] = ""
    draws: ClassVar[bool] = False

    def explain(
        self, model: Model, x: Tensor, target: ExplanationTarget, ctx: Context
    ) -> Explanation:
        """Attribute a few images at a time."""
        import torch

        method = self.method(network_of(model))
        size = 1 if self.draws else self.at_once(x)
        parts = []
        for start in range(0, len(x), size):
            part, asked = x[start : start + size], target[start : start + size]
            with quiet(), drawing(part, ctx) if self.draws else quiet():
                made = method.attribute(
                    part.detach().clone().requires_grad_(),
                    target=asked.source_class,
                    **self.arguments(part, asked, ctx),
                )
            parts.append(self.combine(made.detach(), part).float())
        return Explanation(attribution=torch.cat(parts))

    def method(self, network: nn.Module) -> Any:
        """Return the captum object that explains a network of images (N, C, H, W) -> (N, K).

        `network.encoder` and `network.head` are its parts, for methods that look at a layer.
        """
        module, _, name = self.attribution.partition(":")
        try:
            cls = getattr(importlib.import_module(module), name)
        except (ValueError, ModuleNotFoundError, AttributeError) as error:
            raise PluginError(
                f"{type(self).__name__}: there is no attribution {self.attribution!r}; write "
                "'module:Class', e.g. 'captum.attr:Saliency'"
            ) from error
        return cls(network)

    def arguments(self, x: Tensor, target: ExplanationTarget, ctx: Context) -> dict[str, Any]:
        """Return what `attribute()` is given beside images and target: the settings."""
        return {name: getattr(self.settings, name) for name in type(self.settings).model_fields}

    def at_once(self, x: Tensor) -> int:
        """Return how many images like `x` (N, C, H, W) are attributed at a time, for memory."""
        return 8

    def combine(self, attributions: Tensor, x: Tensor) -> Tensor:
        """Make one map of each image: the sum over channels. (N, C, H, W) -> (N, H, W)."""
        return attributions.sum(dim=1)


def network_of(model: Model) -> nn.Module:
    """Return a model as a network of images, for libraries that ask for one."""
    from torch import nn

    class Network(nn.Module):
        """Pixels -> prediction."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = model.encoder
            self.head = model.head

        def forward(self, x: Tensor) -> Tensor:
            """Predict."""
            outputs: Tensor = self.head(self.encoder(x))
            return outputs

    return Network().eval()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep captum's remarks on how it works from the user."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"captum\.")
        yield


@contextmanager
def drawing(x: Tensor, ctx: Context) -> Iterator[None]:
    """Seed the global random numbers from the context and the pixels, and give them back.

    Libraries draw from those; nobody else sees it.
    """
    import random
    import zlib

    import numpy as np
    import torch

    pixels = zlib.crc32(x.detach().cpu().contiguous().numpy().tobytes())
    seed = seed_from(ctx.seed, "library", pixels)
    before = np.random.get_state(), random.getstate()
    with torch.random.fork_rng([x.device] if x.device.type == "cuda" else []):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before[0])
            random.setstate(before[1])
