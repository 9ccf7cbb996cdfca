"""What `--metrics` stands for: groups of metrics, single ones, and those of plugins."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from gvr_bench.config.spec import ComponentSpec, labelled, parse_choice
from gvr_bench.core.errors import GvrError, UsageError
from gvr_bench.core.metric import Metric
from gvr_bench.core.near_names import did_you_mean
from gvr_bench.metrics import DECLARED, GROUPS, Declaration, Group
from gvr_bench.registry.metric_plugins import group_of
from gvr_bench.registry.names import ALL, DEFAULT, plain
from gvr_bench.registry.registry import Registry

ALWAYS = "prediction"  # the group of metrics that no run goes without


@dataclass(frozen=True)
class MetricChoice:
    """The metrics of a run: groups to compute, and what is shown of them.

    A metric is computed with its group, so that a run with more of them finds it in the cache.
    `single` are the metrics shown of groups that are not in `complete`; `plugins` are those of
    plugins, with their labels.
    """

    complete: frozenset[str]
    single: frozenset[str]
    plugins: tuple[tuple[ComponentSpec, str], ...]

    @property
    def groups(self) -> tuple[str, ...]:
        computed = self.complete | {DECLARED[name].group for name in self.single}
        return tuple(group.name for group in GROUPS if group.name in computed)

    def shows(self, metric: str) -> bool:
        known = DECLARED.get(metric)
        return known is None or known.group in self.complete or metric in self.single


def choose_metrics(typed: Sequence[str], registry: Registry) -> MetricChoice:
    """Tell what each text stands for. Raises `UsageError` where it is nothing."""
    groups = {plain(group.name): group.name for group in GROUPS}
    metrics = {plain(name): name for name in DECLARED}
    complete, single = {ALWAYS}, set()
    plugins: list[ComponentSpec] = []
    for text in typed:
        name = plain(text)
        if name in (ALL, DEFAULT):
            complete |= {group.name for group in GROUPS if group.default or name == ALL}
        elif name in groups:
            complete.add(groups[name])
        elif name in metrics:
            single.add(metrics[name])
        elif (choice := _of_plugin(text, registry)) not in plugins:
            plugins.append(choice)
    return MetricChoice(frozenset(complete), frozenset(single), tuple(labelled(plugins)))


def _of_plugin(text: str, registry: Registry) -> ComponentSpec:
    choice = parse_choice(text)
    name = registry.canonical("metric", choice.name)
    plugins = [row.name for row in registry.plugins("metric")]
    if name not in plugins:
        groups = [group.name for group in GROUPS]
        hint = did_you_mean(name, [DEFAULT, ALL, *groups, *DECLARED, *plugins])
        if "did you mean" not in hint:
            hint = f"; groups: {', '.join([DEFAULT, ALL, *groups, *plugins])}"
        raise UsageError(f"--metrics {text}: no metric or group of this name{hint}")
    return ComponentSpec(name=name, settings=choice.settings)


def declaration_of(metric: str) -> Declaration | None:
    """Return what is known of a metric by its name in records; None where it is nothing.

    That of a plugin is known where the plugin is installed.
    """
    group = None if metric in DECLARED else plugin_group(metric)
    return group.metrics[0] if group else DECLARED.get(metric)


def plugin_group(label: str) -> Group | None:
    """Return the group of an installed plugin's metric by its label in records."""
    from gvr_bench.registry.registry import installed

    return _plugin_group(installed(), label)


@functools.cache
def _plugin_group(registry: Registry, label: str) -> Group | None:
    try:
        choice = parse_choice(label)
        if choice.name not in registry.names("metric"):
            return None
        cls, settings = registry.settings("metric", choice.name, "quick", choice.settings)
        return group_of(label, cast(Metric, cls(settings)))
    except GvrError:
        return None
