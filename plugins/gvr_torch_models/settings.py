"""Whose network it is, and how settings of several values are typed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator

import gvr_bench.api as gvr


def several(given: Any) -> Any:
    """Read `0+3` as two values and a single number as one; a list stays what it is."""
    if isinstance(given, str):
        return given.split("+")
    return [given] if isinstance(given, int | float) else given


def by_name(given: Any) -> Any:
    """Read `width=8+pretrained=false` as a dict; a table stays what it is."""
    if not isinstance(given, str):
        return given
    found = {}
    for part in given.split("+"):
        name, equals, value = part.partition("=")
        if not (name and equals):
            raise ValueError("write it as arguments=name=value+name=value, or as a TOML table")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def spelt(given: str) -> str:
    """Refuse a factory that is not spelt `module:callable`."""
    if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", given):
        raise ValueError("write it as module:function, e.g. torchvision.models:resnet18")
    return given


Many = BeforeValidator(several)
File = Annotated[Path, AfterValidator(Path.expanduser)]
Arguments = Annotated[dict[str, JsonValue], BeforeValidator(by_name)]


class NetworkSettings(gvr.Settings):
    """Whose network it is: what a `factory` makes, with `weights`, or what a `file` holds."""

    factory: Annotated[str, AfterValidator(spelt)] | None = Field(
        None, description="module:function that returns the network; a module of the working "
        "directory, or an installed one"
    )  # fmt: skip
    weights: File | None = Field(
        None, description="safetensors of its state dict; default: as the factory makes it"
    )
    arguments: Arguments = Field({}, description="what the factory is given, by name")
    file: File | None = Field(None, description="TorchScript, or a .pt2 of torch.export.save")
    part: Annotated[str, BeforeValidator(str)] = Field(
        "", description="which, by position or name, where the network returns several tensors"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.factory is None) == (self.file is None):
            raise ValueError(
                "name one network: torch-model:my_module:my_function,weights=my.safetensors, or "
                "torch-model:file=my.pt"
            )
        if self.file and (self.weights or self.arguments):
            raise ValueError("weights and arguments belong to a factory; a file has its own")
        return self
