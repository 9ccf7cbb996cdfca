"""Validation of a plugin's row, class and settings; messages name the plugin and the fix."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
from typing import Any, get_args

from gvr_bench.core.components import API_VERSION, Component, Plugin, Selection, Settings
from gvr_bench.core.errors import PluginError
from gvr_bench.core.near_names import did_you_mean
from gvr_bench.core.types import KINDS


def check_row(row: object) -> None:
    if not isinstance(row, Plugin):
        raise PluginError(f"gvr_plugins() yielded {row!r}, not a Plugin")
    for field in ("kind", "name", "target", "summary", "family", "access", "passes", "source"):
        if not isinstance(getattr(row, field), str):
            raise PluginError(f"gvr_plugins() yielded {row!r}, whose {field} is not text")
    for field, what in (("needs", "module names"), ("aliases", "names")):
        values = getattr(row, field)
        if not (isinstance(values, tuple) and all(isinstance(value, str) for value in values)):
            raise PluginError(
                f"gvr_plugins() yielded {row!r}, whose {field} is not a tuple of {what}, "
                "e.g. ('captum',)"
            )
    if row.selection not in get_args(Selection):
        raise PluginError(
            f"gvr_plugins() yielded {row!r}, whose selection is none of "
            f"{', '.join(get_args(Selection))}"
        )


def problem_of(row: Plugin) -> str:
    """Return why a plugin cannot be used, or an empty text."""
    if row.api != API_VERSION:
        return f"written for plugin API {row.api}; this is {API_VERSION}"
    if row.kind not in KINDS:
        return f"unknown kind '{row.kind}'{did_you_mean(row.kind, KINDS)}"
    missing = [need for need in row.needs if not _importable(need)]
    return f"needs {' '.join(missing)}: pip install {' '.join(missing)}" if missing else ""


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except Exception:  # a parent may raise anything
        return False


def load_target(target: str, base: type[Component]) -> Any:
    """Import `"module:Class"`. Raises whatever that module raises, or `PluginError`."""
    module, colon, name = target.partition(":")
    if not (module and colon and name):
        raise PluginError(f"its target is {target!r}; write 'module:Class'")
    imported = importlib.import_module(module)
    try:
        return getattr(imported, name)
    except AttributeError as error:
        classes = {
            n for n, v in vars(imported).items() if inspect.isclass(v) and issubclass(v, base)
        }
        hint = did_you_mean(name, classes - {base.__name__}) or f"; it has no gvr.{base.__name__}"
        raise PluginError(f"{module} has no '{name}'{hint}") from error


def check_class(cls: Any, base: type[Component], what: str) -> type[Component]:
    """Return a usable component's class. Raises `PluginError` that begins with `what`."""
    if not (inspect.isclass(cls) and issubclass(cls, base)):
        raise PluginError(f"{what} is not a gvr_bench.api.{base.__name__}")
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        raise PluginError(f"{what} lacks {', '.join(missing)}; define it")
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
    """Check that the core can call a method. Raises `PluginError`."""
    expected = list(inspect.signature(getattr(base, name)).parameters)
    method = getattr(cls, name)
    signature = inspect.signature(method) if callable(method) else None
    try:
        if signature is None:
            raise TypeError
        signature.bind(*expected)
    except TypeError as error:
        actual = f"takes ({', '.join(signature.parameters)})" if signature else "is no method"
        fix = f"write def {name}({', '.join(expected)})"
        raise PluginError(f"{what}.{name} {actual}; {fix}") from error


def check_settings(settings: Settings, whose: str) -> Settings:
    """Return settings that JSON can hold, since they are hashed. Raises `PluginError`."""
    cls = type(settings)
    fix = "use numbers, text, lists and the like"
    for name, field in cls.model_fields.items():
        if field.exclude:
            raise PluginError(
                f"{whose}: the setting '{name}' has exclude=True and would not be part of the "
                "result's key; remove that"
            )
        try:
            json.dumps(settings.model_dump(mode="json", include={name}), allow_nan=False)
        except Exception as error:  # a setting may be of any class
            value = type(getattr(settings, name)).__name__
            raise PluginError(
                f"{whose}: the setting '{name}' is {value}, which JSON cannot hold; {fix}"
            ) from error
    try:
        again = cls.model_validate(json.loads(settings.model_dump_json()))
        changed = [n for n in cls.model_fields if getattr(again, n) != getattr(settings, n)]
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise PluginError(
            f"{whose}: its settings cannot be read back from JSON: {lines[0]}; {fix}"
        ) from error
    if changed:
        raise PluginError(
            f"{whose}: the setting '{changed[0]}' is {getattr(settings, changed[0])!r} but "
            f"{getattr(again, changed[0])!r} when read back from JSON; {fix}"
        )
    return settings
