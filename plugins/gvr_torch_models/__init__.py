"""Your own networks: a classifier, a decoder, an encoder."""

from collections.abc import Iterator
from typing import Literal

import gvr_bench.api as gvr

_Kind = Literal["head", "generator", "encoder"]
_PLUGINS: tuple[tuple[_Kind, str, str], ...] = (
    ("head", "head:TorchHead", "your image classifier: module:function, or a TorchScript file"),
    ("generator", "generator:TorchGenerator", "your decoder: module:function, or a file"),
    ("encoder", "encoder:TorchEncoder", "your encoder: module:function, or a file"),
)


@gvr.hookimpl
def gvr_plugins() -> Iterator[gvr.Plugin]:
    for kind, target, summary in _PLUGINS:
        yield gvr.Plugin(
            api=1,
            kind=kind,
            name="torch-model",
            target=f"gvr_torch_models.{target}",
            summary=summary,
        )
