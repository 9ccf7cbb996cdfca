"""Discovery of plugins: a table of names. A class is imported when it is first used."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy
import pydantic

from gvr_bench.core.components import (
    API_VERSION,
    Component,
    Dataset,
    Encoder,
    Explainer,
    Generator,
    Head,
    Plugin,
    Settings,
)
from gvr_bench.core.errors import (
    GvrError,
    PluginError,
    UsageError,
    did_you_mean,
    first_fault,
    one_line,
)
from gvr_bench.core.types import KINDS, Kind
from gvr_bench.registry import hookspecs
from gvr_bench.registry.validation import check_class, check_settings, load_target

GROUP = "gvr_bench"
PROFILES = ("quick", "standard", "paper")
ALL = "all"  # every explainer
BASES: dict[Kind, type[Component]] = {
    "dataset": Dataset,
    "generator": Generator,
    "encoder": Encoder,
    "head": Head,
    "explainer": Explainer,
}


@dataclass(frozen=True)
class Row:
    """One line of the table: a plugin, its distribution, and what is wrong with it, if anything."""

    plugin: Plugin
    distribution: str
    problem: str = ""


@dataclass(frozen=True)
class Broken:
    """An entry point that gave no rows, and why."""

    entry_point: str
    distribution: str
    problem: str


class Registry:
    """All that is installed. One broken plugin never hides another."""

    def __init__(self, points: Iterable[EntryPoint]) -> None:
        self.rows: list[Row] = []
        self.broken: list[Broken] = []
        self.hooks = pluggy.PluginManager(GROUP)
        self.hooks.add_hookspecs(hookspecs)
        for point in sorted(points, key=lambda p: (p.dist.name if p.dist else "", p.name)):
            distribution = f"{point.dist.name} {point.dist.version}" if point.dist else "?"
            try:
                plugins = self._load(point)
            except (Exception, SystemExit) as error:  # a plugin may do anything, and is only a row
                self.broken.append(Broken(point.name, distribution, one_line(error)))
                continue
            self.rows += [Row(plugin, distribution, _problem(plugin)) for plugin in plugins]
        self._mark_clashes()

    def _load(self, point: EntryPoint) -> list[Plugin]:
        """Import one entry point and ask it for its rows."""
        module = point.load()
        self._refuse_unknown_hooks(module)
        name = f"{point.dist.name if point.dist else '?'}:{point.name}"
        self.hooks.register(module, name=name)
        try:
            implementation = getattr(module, "gvr_plugins", None)
            rows = list(implementation()) if implementation else []
            for row in rows:
                _check_row(row)
        except BaseException:
            self.hooks.unregister(name=name)
            raise
        return rows

    def _refuse_unknown_hooks(self, module: Any) -> None:
        """A misspelt hook would otherwise be ignored without a word."""
        known = {name for name in vars(hookspecs) if name.startswith("gvr_")}
        marked = [
            name
            for name, value in vars(module).items()
            if inspect.isroutine(value) and hasattr(value, f"{GROUP}_impl")
        ]
        for name in marked:
            if name not in known:
                raise PluginError(f"unknown hook '{name}'{did_you_mean(name, known)}")
        if not marked:
            raise PluginError(f"no hook implementation; known hooks: {', '.join(sorted(known))}")

    def _mark_clashes(self) -> None:
        """Two plugins of one kind and name: neither is used, and both say so."""
        owners: dict[tuple[str, str], list[str]] = {}
        for row in self.rows:
            owners.setdefault((row.plugin.kind, row.plugin.name), []).append(row.distribution)
        self.rows = [
            row
            if len(both := owners[row.plugin.kind, row.plugin.name]) == 1
            else Row(
                row.plugin,
                row.distribution,
                f"name clash between {' and '.join(both)}; uninstall one, or rename it",
            )
            for row in self.rows
        ]

    def names(self, kind: Kind) -> list[str]:
        """Names that can be used, in order of discovery."""
        return [r.plugin.name for r in self.rows if r.plugin.kind == kind and not r.problem]

    def component(self, kind: Kind, name: str) -> type[Component]:
        """Import the class of a plugin. Raises `UsageError` or `PluginError` that name it."""
        row = next((r for r in self.rows if r.plugin.kind == kind and r.plugin.name == name), None)
        if row is None:
            raise UsageError(f"unknown {kind} '{name}'{did_you_mean(name, self.names(kind))}")
        whose = f"{kind} '{name}' from {row.distribution}"
        if row.problem:
            raise PluginError(f"{whose}: {row.problem}")
        target, base = row.plugin.target, BASES[kind]
        try:
            cls = load_target(target, base)
        except (Exception, SystemExit) as error:  # a plugin's module may do anything
            raise PluginError(f"{whose} does not load: {one_line(error)}") from error
        return check_class(cls, base, f"{whose}: {target}")

    def settings(
        self, kind: Kind, name: str, profile: str, given: dict[str, Any]
    ) -> tuple[type[Component], Settings]:
        """Return the class and its settings: the profile's, overridden by what was given.

        Raises `UsageError` that names the setting, or `PluginError`.
        """
        cls = self.component(kind, name)
        known = cls.Settings.model_fields
        given = _named(kind, name, cls, given)
        for setting in given:
            if setting not in known:
                hint = did_you_mean(setting, known) or "; it has no settings"
                raise UsageError(f"{kind} '{name}' has no setting '{setting}'{hint}")
        preset = cls.profiles.get(profile, {})
        try:
            chosen = cls.Settings.model_validate({**preset, **given})
        except pydantic.ValidationError as error:
            where, what, _ = first_fault(error)
            if where in preset and where not in given:
                fault = f"its profile '{profile}' sets {where}={preset[where]!r}: {what}"
                raise PluginError(f"{kind} '{name}': {fault}") from error
            at = f"{where}={given[where]!r}: " if where in given else f"{where}: " if where else ""
            raise UsageError(f"{kind} '{name}': {at}{what}") from error
        return cls, check_settings(chosen, f"{kind} '{name}'")

    def tell(self, hook: str, told: Mapping[str, Any]) -> list[str]:
        """Call a hook of all plugins that listen; return what went wrong in them, a line each.

        `told` holds the hook's arguments; an implementation gets those it names.
        """
        warnings = []
        for listener in getattr(self.hooks.hook, hook).get_hookimpls():
            try:
                listener.function(**{name: told[name] for name in listener.argnames})
            except Exception as error:  # a listener must not end the run
                warnings.append(f"{listener.plugin_name}: {hook}: {one_line(error)}")
        return warnings


def _named(kind: str, name: str, cls: type[Component], given: dict[str, Any]) -> dict[str, Any]:
    """Give the value that was typed without a name its name. Raises `UsageError`."""
    if "" not in given:
        return given
    if not cls.argument:
        setting = given[""] if given[""] in cls.Settings.model_fields else "setting"
        raise UsageError(
            f"{kind} '{name}': cannot read '{given['']}'; write {name}:{setting}=value"
        )
    if cls.argument in given:
        raise UsageError(f"{kind} '{name}' sets '{cls.argument}' twice")
    return {key or cls.argument: value for key, value in given.items()}


@functools.cache
def installed() -> Registry:
    """Return the registry of this environment."""
    return Registry(entry_points(group=GROUP))


def _check_row(row: object) -> None:
    """Raise `PluginError` for what is no row at all."""
    if not isinstance(row, Plugin):
        raise PluginError(f"gvr_plugins() yielded {row!r}, not a Plugin")
    for field in ("kind", "name", "target", "summary"):
        if not isinstance(getattr(row, field), str):
            raise PluginError(f"gvr_plugins() yielded {row!r}, whose {field} is not text")
    needs = row.needs
    if not (isinstance(needs, tuple) and all(isinstance(need, str) for need in needs)):
        raise PluginError(
            f"gvr_plugins() yielded {row!r}, whose needs is not a tuple of module names, "
            "e.g. ('captum',)"
        )


def _problem(row: Plugin) -> str:
    """Return what is wrong with a row, or an empty text."""
    if row.api != API_VERSION:
        return f"written for plugin API {row.api}; this is {API_VERSION}"
    if row.kind not in KINDS:
        return f"unknown kind '{row.kind}'{did_you_mean(row.kind, KINDS)}"
    missing = [need for need in row.needs if not _importable(need)]
    return f"needs {' '.join(missing)}: pip install {' '.join(missing)}" if missing else ""


def _importable(module: str) -> bool:
    """Whether a module can be found; its parents are imported to know."""
    try:
        return importlib.util.find_spec(module) is not None
    except Exception:  # a parent may raise anything
        return False


@contextlib.contextmanager
def blaming(whose: str) -> Iterator[None]:
    """Turn what a plugin raises unasked into a `PluginError` that names it."""
    try:
        yield
    except GvrError:
        raise
    except Exception as error:  # a plugin may raise anything
        raise PluginError(f"{whose}: {one_line(error)}") from error
