"""Attribution methods of captum as explainers, in three lines each.

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
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

from gvr_bench.core.context import Context, seed_from
from gvr_bench.core.errors import PluginError
from gvr_bench.core.explainer import Explainer
from gvr_bench.core.types import Explanation, ExplanationTarget, Model
from gvr_bench.registry.global_rng import seeded

if TYPE_CHECKING:
    from torch import Tensor, nn


class CaptumExplainer(Explainer):
    """An attribution method of captum, named by `attribution` as `"captum.attr:DeepLift"`.

    Settings are passed to the method's `attribute()` by name unless `arguments` is overridden; the
    target is the output to explain. Set `draws` for a method that uses random numbers: it then
    explains one image at a time, with numbers that depend on the seed and that image alone.
    """

    attribution: ClassVar[str] = ""
    draws: ClassVar[bool] = False

    def explain(
        self, model: Model, x: Tensor, target: ExplanationTarget, ctx: Context
    ) -> Explanation:
        import torch

        method = self.method(network_of(model))
        size = 1 if self.draws else self.batch_size(x)
        parts = []
        for start in range(0, len(x), size):
            images, targets = x[start : start + size], target[start : start + size]
            with quiet(), seeded_by(images, ctx) if self.draws else nullcontext():
                attributions = method.attribute(
                    images.detach().clone().requires_grad_(),
                    target=targets.source_class,
                    **self.arguments(images, targets, ctx),
                )
            parts.append(self.combine(attributions.detach(), images).float())
        return Explanation(attribution=torch.cat(parts))

    def method(self, network: nn.Module) -> Any:
        """Return the captum object for a network (N, C, H, W) -> (N, K).

        It is the user's own network where that is explained; otherwise it has `network.encoder`
        and `network.head`, for methods that look at a layer.
        """
        module, _, name = self.attribution.partition(":")
        try:
            cls = getattr(importlib.import_module(module), name)
        except (ValueError, ModuleNotFoundError, AttributeError) as error:
            raise PluginError(
                f"{type(self).__name__}: no attribution {self.attribution!r}; write "
                "'module:Class', e.g. 'captum.attr:Saliency'"
            ) from error
        return cls(network)

    def arguments(self, x: Tensor, target: ExplanationTarget, ctx: Context) -> dict[str, Any]:
        """Return the further arguments of `attribute()`: by default the settings."""
        return {name: getattr(self.settings, name) for name in type(self.settings).model_fields}

    def batch_size(self, x: Tensor) -> int:
        """Return the number of images like `x` (N, C, H, W) that fit in memory together."""
        return 8

    def combine(self, attributions: Tensor, x: Tensor) -> Tensor:
        """Reduce to one map per image, by the sum over channels: (N, C, H, W) -> (N, H, W)."""
        return attributions.sum(dim=1)


def network_of(model: Model) -> nn.Module:
    """Return the explained network as one module, for libraries that need one."""
    from torch import nn

    if model.classifier is not None:
        return model.classifier

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = model.encoder
            self.head = model.head

        def forward(self, x: Tensor) -> Tensor:
            outputs: Tensor = self.head(self.encoder(x))
            return outputs

    return Network().eval()


@contextmanager
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"captum\.")
        yield


@contextmanager
def seeded_by(x: Tensor, ctx: Context) -> Iterator[None]:
    """Seed the global random numbers, which libraries draw from, by the context and the pixels."""
    import zlib

    pixels = zlib.crc32(x.detach().cpu().contiguous().numpy().tobytes())
    gpus = [x.device] if x.device.type == "cuda" else []
    with seeded(seed_from(ctx.seed, "library", pixels), gpus):
        yield
