"""The source of a network, and the syntax of settings with several values."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator

import gvr_bench.api as gvr


def split_values(value: Any) -> Any:
    """Parse `0+3` or a single number as a list; leave a list alone."""
    if isinstance(value, str):
        return value.split("+")
    return [value] if isinstance(value, int | float) else value


def by_name(text: Any) -> Any:
    """Parse `width=8+pretrained=false` as a dict; leave a dict alone."""
    if not isinstance(text, str):
        return text
    arguments = {}
    for part in text.split("+"):
        name, equals, value = part.partition("=")
        if not (name and equals):
            raise ValueError("write it as arguments=name=value+name=value, or as a TOML table")
        try:
            arguments[name] = json.loads(value)
        except ValueError:
            arguments[name] = value
    return arguments


def factory_name(text: str) -> str:
    """Refuse a factory that is not `module:callable`."""
    if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", text):
        raise ValueError("write it as module:function, e.g. torchvision.models:resnet18")
    return text


Several = BeforeValidator(split_values)
File = Annotated[Path, AfterValidator(Path.expanduser)]
Arguments = Annotated[dict[str, JsonValue], BeforeValidator(by_name)]


class NetworkSettings(gvr.Settings):
    """The network: returned by a `factory`, with `weights`, or loaded from a `file`."""

    factory: Annotated[str, AfterValidator(factory_name)] | None = Field(
        None, description="module:function that returns the network; the module is in the working "
        "directory or installed"
    )  # fmt: skip
    weights: File | None = Field(
        None, description="safetensors of its state dict; default: those of the factory"
    )
    arguments: Arguments = Field({}, description="of the factory, by name")
    file: File | None = Field(None, description="TorchScript, or a .pt2 of torch.export.save")
    part: Annotated[str, BeforeValidator(str)] = Field(
        "", description="position or name of the output, if the network returns several"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.factory is None) == (self.file is None):
            raise ValueError(
                "name a network: torch-model:my_module:my_function,weights=my.safetensors, or "
                "torch-model:file=my.pt"
            )
        if self.file and (self.weights or self.arguments):
            raise ValueError("weights and arguments are for a factory, not for a file")
        return self
