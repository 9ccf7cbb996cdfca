"""What a user can read of a component: its settings, cost, source and an example."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gvr_bench.core.components import Component, Plugin
from gvr_bench.core.explainer import Explainer
from gvr_bench.core.metric import Metric
from gvr_bench.core.types import Kind
from gvr_bench.registry.names import option_of
from gvr_bench.registry.registry import PROFILES, Registry

SIGNS = {"gt": "> ", "ge": "≥ ", "lt": "< ", "le": "≤ "}
COMMON = {  # the meaning of settings that many components share
    "batch": "images or latents per step of the training",
    "beta1": "of Adam, the momentum",
    "beta2": "of Adam, the momentum of the squares",
    "images_per_patient": "on average",
    "labelled": "share of the patients whose images have labels",
    "latent_dim": "numbers in a latent",
    "learning_rate": "of the optimiser",
    "seed": "of the random numbers that draw or split the images",
    "size": "side of the images, in pixels",
    "skip": "largest share of images that may be unreadable",
    "source": "class that rationales lead from",
    "steps": "steps of the training",
    "target": "class that rationales lead to",
    "test": "images, or their share, in the test split",
    "train": "images in the training split",
    "validation": "images, or their share, held out for validation",
    "weight_decay": "of the optimiser",
}


@dataclass(frozen=True)
class SettingInfo:
    """One setting: its type with limits, its value in each profile, and its meaning."""

    name: str
    type: str
    values: dict[str, str]
    meaning: str


@dataclass(frozen=True)
class ComponentInfo:
    """A component as users read of it; `passes` and the values of settings go by profile.

    Where no profile differs from another there is one, `default`. `role` is that of an explainer,
    `declared` what a metric declares.
    """

    kind: Kind
    name: str
    summary: str
    distribution: str
    version: str
    text: str
    role: str
    family: str
    aliases: tuple[str, ...]
    selection: str
    access: str
    passes: dict[str, str]
    source: str
    argument: str
    example: str
    settings: tuple[SettingInfo, ...] = field(default=())
    declared: dict[str, str] = field(default_factory=dict)


def describe(registry: Registry, kind: Kind, name: str) -> ComponentInfo:
    """Collect what is known of a component. Raises `UsageError` or `PluginError`."""
    cls, own = registry.component(kind, name), registry.canonical(kind, name)
    row = next(r for r in registry.rows if (r.plugin.kind, r.plugin.name) == (kind, own))
    plugin = row.plugin
    settings = tuple(_setting(name, f, cls) for name, f in cls.Settings.model_fields.items())
    return ComponentInfo(
        kind=plugin.kind,
        name=plugin.name,
        summary=plugin.summary,
        distribution=row.distribution,
        version=cls.version,
        text=inspect.getdoc(cls) or "",
        role=cast(type[Explainer], cls).role if plugin.kind == "explainer" else "",
        family=plugin.family,
        aliases=plugin.aliases,
        selection=plugin.selection if plugin.kind == "explainer" else "",
        access=plugin.access,
        passes=_passes(plugin, settings, cls),
        source=plugin.source or getattr(cls, "source", ""),
        argument=cls.argument,
        example=_example(plugin, cls, settings),
        settings=settings,
        declared=_declared(cast(type[Metric], cls)) if plugin.kind == "metric" else {},
    )


def _declared(cls: type[Metric]) -> dict[str, str]:
    return {
        "direction": {"up": "higher is better", "down": "lower is better"}.get(cls.better, "none"),
        "range": f"{cls.lowest:g} to {cls.highest:g}",
        "unit": cls.unit,
        "formula": cls.formula,
        "fooled by": cls.fooled_by,
    }


def _profiles(cls: type[Component]) -> Mapping[str, Mapping[str, Any]]:
    return {p: cls.profiles.get(p, {}) for p in PROFILES} if cls.profiles else {"default": {}}


def _setting(name: str, info: FieldInfo, cls: type[Component]) -> SettingInfo:
    default = "required" if info.default is PydanticUndefined else text_of(info.default)
    values = {
        profile: text_of(preset[name]) if name in preset else default
        for profile, preset in _profiles(cls).items()
    }
    return SettingInfo(name, type_of(info), values, info.description or COMMON.get(name, ""))


def type_of(info: FieldInfo) -> str:
    """Return a setting's type and limits, e.g. `int, ≥ 1`."""
    text = re.sub(r"\b([a-z_]\w*\.)+", "", inspect.formatannotation(info.annotation))
    text = re.sub(r"Literal\[([^]]*)\]", lambda match: match[1].replace("'", ""), text)
    limits = [
        f"{sign}{getattr(limit, name):g}"
        for limit in info.metadata
        for name, sign in SIGNS.items()
        if hasattr(limit, name)
    ]
    return ", ".join([text, *limits])


def text_of(value: Any) -> str:
    if value is None:
        return "none"
    text = "true" if value is True else "false" if value is False else str(value)
    return str(Path(value)) if isinstance(value, Path) else text


def _passes(
    plugin: Plugin, settings: tuple[SettingInfo, ...], cls: type[Component]
) -> dict[str, str]:
    if not plugin.passes:
        return {}
    costs = {
        profile: plugin.passes.format_map({s.name: s.values[profile] for s in settings})
        for profile in _profiles(cls)
    }
    return costs if len(set(costs.values())) > 1 else {"default": next(iter(costs.values()))}


def _example(plugin: Plugin, cls: type[Component], settings: tuple[SettingInfo, ...]) -> str:
    """Return a command that uses the component, with one of its settings where it has any."""
    required = [name for name, info in cls.Settings.model_fields.items() if info.is_required()]
    numbers = [
        s
        for s in settings
        if re.match(r"(int|float)\b", s.type) and "none" not in s.values.values()
    ]
    if cls.argument and not cls.Settings.model_fields[cls.argument].default:
        typed = "VALUE"
    elif required:
        typed = ",".join(f"{name}=VALUE" for name in required)
    else:
        typed = ",".join(f"{s.name}={[*s.values.values()][-1]}" for s in numbers[:1])
    return f"gvr-bench run {option_of(plugin.kind)} {plugin.name}{':' if typed else ''}{typed}"
