"""What a plugin's class and its settings must be; messages say whose they are and the mend."""

from __future__ import annotations

import importlib
import inspect
import json
from typing import Any

from gvr_bench.core.components import Component, Settings
from gvr_bench.core.errors import PluginError, did_you_mean


def load_target(target: str, base: type[Component]) -> Any:
    """Import what `"module:Class"` names. Raises whatever that module raises, or `PluginError`."""
    module, colon, name = target.partition(":")
    if not (module and colon and name):
        raise PluginError(f"its target is {target!r}; write 'module:Class'")
    found = importlib.import_module(module)
    try:
        return getattr(found, name)
    except AttributeError as error:
        there = [n for n, v in vars(found).items() if inspect.isclass(v) and issubclass(v, base)]
        hint = did_you_mean(name, set(there) - {base.__name__}) or "; it has no class of the kind"
        raise PluginError(f"{module} has no '{name}'{hint}") from error


def check_class(cls: Any, base: type[Component], what: str) -> type[Component]:
    """Return the class where it can be used as a component of a kind.

    Raises `PluginError` that begins with `what`.
    """
    if not (inspect.isclass(cls) and issubclass(cls, base)):
        raise PluginError(f"{what} is not a gvr_bench.api.{base.__name__}")
    lacking = sorted(getattr(cls, "__abstractmethods__", ()))
    if lacking:
        raise PluginError(f"{what} lacks {', '.join(lacking)}; write that as well")
    settings: Any = cls.Settings
    if not (inspect.isclass(settings) and issubclass(settings, Settings)):
        raise PluginError(
            f"{what}.Settings is not a gvr_bench.api.Settings; write class Settings(gvr.Settings):"
        )
    for name in ("__init__", *sorted(getattr(base, "__abstractmethods__", ()))):
        if not isinstance(getattr(base, name), property):
            _check_signature(cls, base, name, what)
    return cls


def _check_signature(cls: type[Component], base: type[Component], name: str, what: str) -> None:
    """Refuse a method that cannot be called as the core calls it."""
    asked = list(inspect.signature(getattr(base, name)).parameters)
    method = getattr(cls, name)
    taken = inspect.signature(method) if callable(method) else None
    try:
        if taken is None:
            raise TypeError
        taken.bind(*asked)
    except TypeError as error:
        given = f"takes ({', '.join(taken.parameters)})" if taken else "is no method"
        raise PluginError(f"{what}.{name} {given}; write def {name}({', '.join(asked)})") from error


def check_settings(settings: Settings, whose: str) -> Settings:
    """Return settings that JSON can hold, as the key of a result must.

    Raises `PluginError` that names the setting.
    """
    cls = type(settings)
    mend = "use numbers, text, lists and the like"
    for name, field in cls.model_fields.items():
        if field.exclude:
            raise PluginError(
                f"{whose}: the setting '{name}' has exclude=True, and would not be part of the "
                "result's key; leave that out"
            )
        try:
            json.dumps(settings.model_dump(mode="json", include={name}), allow_nan=False)
        except Exception as error:  # whatever is in a setting may raise anything
            value = type(getattr(settings, name)).__name__
            raise PluginError(
                f"{whose}: the setting '{name}' is {value}, which JSON cannot hold; {mend}"
            ) from error
    try:
        again = cls.model_validate(json.loads(settings.model_dump_json()))
        lost = [n for n in cls.model_fields if getattr(again, n) != getattr(settings, n)]
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise PluginError(
            f"{whose}: its settings cannot be read back from JSON: {lines[0]}; {mend}"
        ) from error
    if lost:
        raise PluginError(
            f"{whose}: the setting '{lost[0]}' is {getattr(settings, lost[0])!r}, and "
            f"{getattr(again, lost[0])!r} when read back from JSON; {mend}"
        )
    return settings
