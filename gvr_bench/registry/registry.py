"""Discovery of plugins by name; a class is imported when it is first used."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TextIO, cast

import pluggy
import pydantic

from gvr_bench.core.components import Component, Dataset, Encoder, Generator, Head, Plugin, Settings
from gvr_bench.core.errors import (
    GvrError,
    PluginError,
    UsageError,
    first_fault,
    one_line,
)
from gvr_bench.core.explainer import Explainer
from gvr_bench.core.metric import Metric
from gvr_bench.core.near_names import did_you_mean
from gvr_bench.core.types import Kind
from gvr_bench.registry import hookspecs
from gvr_bench.registry.names import canonical
from gvr_bench.registry.validation import (
    check_class,
    check_row,
    check_settings,
    load_target,
    problem_of,
)

GROUP = "gvr_bench"
PROFILES = ("quick", "standard", "paper")
BASES: dict[Kind, type[Component]] = {
    "dataset": Dataset,
    "generator": Generator,
    "encoder": Encoder,
    "head": Head,
    "explainer": Explainer,
    "metric": Metric,
}


@dataclass(frozen=True)
class PluginRow:
    """A plugin, its distribution, and why it cannot be used, if so."""

    plugin: Plugin
    distribution: str
    problem: str = ""


@dataclass(frozen=True)
class BrokenEntryPoint:
    """An entry point without usable plugins, and why."""

    entry_point: str
    distribution: str
    problem: str


class Registry:
    """All installed plugins. A broken one does not affect the others."""

    def __init__(self, points: Iterable[EntryPoint]) -> None:
        self.rows: list[PluginRow] = []
        self.broken: list[BrokenEntryPoint] = []
        self.hooks = pluggy.PluginManager(GROUP)
        self.hooks.add_hookspecs(hookspecs)
        for point in sorted(points, key=lambda p: (p.dist.name if p.dist else "", p.name)):
            distribution = f"{point.dist.name} {point.dist.version}" if point.dist else "?"
            try:
                with output_to_stderr():
                    plugins = self._load(point)
            except (Exception, SystemExit) as error:  # a plugin may raise anything
                self.broken.append(BrokenEntryPoint(point.name, distribution, one_line(error)))
                continue
            self.rows += [PluginRow(plugin, distribution, problem_of(plugin)) for plugin in plugins]
        self._mark_clashes()

    def _load(self, point: EntryPoint) -> list[Plugin]:
        module = point.load()
        self._refuse_unknown_hooks(module)
        name = f"{point.dist.name if point.dist else '?'}:{point.name}"
        self.hooks.register(module, name=name)
        try:
            implementation = getattr(module, "gvr_plugins", None)
            rows = list(implementation()) if implementation else []
            for row in rows:
                check_row(row)
        except BaseException:
            self.hooks.unregister(name=name)
            raise
        return rows

    def _refuse_unknown_hooks(self, module: Any) -> None:
        """Refuse misspelt hooks, which pluggy ignores."""
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
        """Mark plugins of the same kind and name; none of them is used."""
        owners: dict[tuple[str, str], list[str]] = {}
        for row in self.rows:
            owners.setdefault((row.plugin.kind, row.plugin.name), []).append(row.distribution)
        self.rows = [
            row
            if len(both := owners[row.plugin.kind, row.plugin.name]) == 1
            else PluginRow(
                row.plugin,
                row.distribution,
                f"name clash between {' and '.join(both)}; uninstall one, or rename it",
            )
            for row in self.rows
        ]

    def names(self, kind: Kind) -> list[str]:
        return [r.plugin.name for r in self.rows if r.plugin.kind == kind and not r.problem]

    def plugins(self, kind: Kind) -> list[Plugin]:
        return [row.plugin for row in self.rows if row.plugin.kind == kind]

    def canonical(self, kind: Kind, typed: str) -> str:
        """Return the name that a user means. Raises `UsageError` where several are meant."""
        return canonical(typed, self.plugins(kind))

    def component(self, kind: Kind, name: str) -> type[Component]:
        """Import the class of a plugin. Raises `UsageError` or `PluginError` that name it."""
        name = self.canonical(kind, name)
        row = next((r for r in self.rows if r.plugin.kind == kind and r.plugin.name == name), None)
        if row is None:
            raise UsageError(f"unknown {kind} '{name}'{did_you_mean(name, self.names(kind))}")
        whose = f"{kind} '{name}' from {row.distribution}"
        if row.problem:
            raise PluginError(f"{whose}: {row.problem}")
        target, base = row.plugin.target, BASES[kind]
        try:
            with output_to_stderr():
                cls = load_target(target, base)
        except (Exception, SystemExit) as error:  # a plugin's module may do anything
            raise PluginError(f"{whose} does not load: {one_line(error)}") from error
        return check_class(cls, base, f"{whose}: {target}")

    def settings(
        self, kind: Kind, name: str, profile: str, overrides: dict[str, Any]
    ) -> tuple[type[Component], Settings]:
        """Return the class and its settings: the profile's, and `overrides`. Raises `GvrError`."""
        cls = self.component(kind, name)
        known = cls.Settings.model_fields
        overrides = _with_argument_name(kind, name, cls, overrides)
        any_name = cls.Settings.model_config.get("extra") == "allow"
        for setting in overrides:
            if setting not in known and not any_name:
                hint = did_you_mean(setting, known) or "; it has no settings"
                raise UsageError(f"{kind} '{name}' has no setting '{setting}'{hint}")
        preset = cls.profiles.get(profile, {})
        try:
            chosen = cls.Settings.model_validate({**preset, **overrides})
        except pydantic.ValidationError as error:
            where, what, _ = first_fault(error)
            if where in preset and where not in overrides:
                fault = f"its profile '{profile}' sets {where}={preset[where]!r}: {what}"
                raise PluginError(f"{kind} '{name}': {fault}") from error
            value = f"={overrides[where]!r}" if where in overrides else ""
            at = f"{where}{value}: " if where else ""
            raise UsageError(f"{kind} '{name}': {at}{what}") from error
        return cls, check_settings(chosen, f"{kind} '{name}'")

    def open_dataset(
        self, name: str, settings: dict[str, Any], profile: str, root: Path | None
    ) -> Dataset:
        """Open a data set with the settings of a profile, and others that replace these.

        `root` is the folder from `--data-root`. Raises `UsageError` or `PluginError`.
        """
        cls, chosen = self.settings("dataset", name, profile, settings)
        with blaming(f"dataset '{name}'"):
            return cast(type[Dataset], cls)(chosen, root.expanduser() if root else None)

    def notify(self, hook: str, arguments: Mapping[str, Any]) -> list[str]:
        """Call a hook of all plugins; return a warning for each that raises."""
        warnings = []
        for listener in getattr(self.hooks.hook, hook).get_hookimpls():
            try:
                listener.function(**{name: arguments[name] for name in listener.argnames})
            except Exception as error:  # a listener must not end the run
                warnings.append(f"{listener.plugin_name}: {hook}: {one_line(error)}")
        return warnings


def _with_argument_name(
    kind: str, name: str, cls: type[Component], settings: dict[str, Any]
) -> dict[str, Any]:
    """Name the value that was typed without a name. Raises `UsageError`."""
    if "" not in settings:
        return settings
    if not cls.argument:
        value = settings[""]
        setting = value if value in cls.Settings.model_fields else "setting"
        raise UsageError(f"{kind} '{name}': cannot read '{value}'; write {name}:{setting}=value")
    if cls.argument in settings:
        raise UsageError(f"{kind} '{name}' sets '{cls.argument}' twice")
    return {key or cls.argument: value for key, value in settings.items()}


@functools.cache
def installed() -> Registry:
    return Registry(entry_points(group=GROUP))


def open_dataset(
    name: str, settings: dict[str, Any], profile: str, root: Path | None = None
) -> Dataset:
    """Open an installed data set, for one that changes the images of another.

    `settings` replace those of the profile `quick`, `standard` or `paper`; `root` is the folder
    from `--data-root`. Raises `UsageError` or `PluginError`.
    """
    return installed().open_dataset(name, settings, profile, root)


def open_explainer(name: str, settings: dict[str, Any], profile: str) -> Explainer:
    """Open an installed explainer, for one that works on the explanations of another.

    `settings` replace those of the profile. Raises `UsageError` or `PluginError`.
    """
    cls, chosen = installed().settings("explainer", name, profile, settings)
    return cast(type[Explainer], cls)(chosen)


def output_to_stderr() -> contextlib.redirect_stdout[TextIO]:
    """Let code of others print to stderr in this block: stdout has our results, maybe as JSON."""
    return contextlib.redirect_stdout(sys.stderr)


@contextlib.contextmanager
def blaming(whose: str) -> Iterator[None]:
    """Turn unexpected errors of a plugin into a `PluginError`; its output goes to stderr."""
    try:
        with output_to_stderr():
            yield
    except GvrError:
        raise
    except Exception as error:  # a plugin may raise anything
        raise PluginError(f"{whose}: {one_line(error)}") from error
