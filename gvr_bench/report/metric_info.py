"""What the columns are called and mean, as the metrics themselves declare it."""

from __future__ import annotations

from gvr_bench.config.metric_choice import declaration_of, plugin_group
from gvr_bench.metrics import GROUPS, Declaration, Group

OTHER = Group("", "Other scores", "")
_LEADING = (
    "case_specific_correlation",
    "true_change_correlation",
    "pixel_ap",
    "truth",
    "oracle_validity",
    "reencoded_validity",
    "oracle",
    "validity",
)
_CHECKS = frozenset({"prediction", "decoding", "sanity", "cascade", "contamination"})
_UNREADABLE = frozenset({"optimizer_steps"})  # a cost, neither good nor bad


def entry(metric: str) -> Declaration:
    """The declaration of `metric`; an undeclared one gets its name as the title."""
    known = declaration_of(metric)
    if known is not None:
        return known
    title = metric.replace("_", " ")
    return Declaration(
        metric, OTHER.name, title, "", better="-", formula="", fooled_by="", source=""
    )


def is_cost(metric: str) -> bool:
    """Whether it says nothing about quality."""
    return entry(metric).group == "cost" or metric in _UNREADABLE


def per_case(metric: str) -> bool:
    """Whether its values are one of each case, so that a paired test may compare them.

    Time and memory are measured once per batch, so its cases share one value.
    """
    return entry(metric).group != "cost"


def standing(metric: str) -> int | None:
    """The rank of a score as evidence, 0 the best: ground truth, then an oracle, then the model
    itself.

    None where it must not lead a scoreboard.
    """
    names = {metric, entry(metric).group}
    return next((i for i, n in enumerate(_LEADING) if n in names and not is_cost(metric)), None)


def is_question(group: Group) -> bool:
    """Whether explainers compete in a group: not on cost, nor on a check that a map may fail."""
    return group not in (OTHER, group_of("cost")) and group.name not in _CHECKS


def group_of(name: str) -> Group:
    """The group of that name, which a plugin's metric is by itself, else `OTHER`."""
    known = next((group for group in GROUPS if group.name == name), None)
    return known or plugin_group(name) or OTHER


def in_order(groups: set[str], leading: str = "") -> list[Group]:
    """Groups as a scoreboard shows them: the `leading` one, then as declared, then the rest."""
    ours = [group.name for group in GROUPS]
    of_plugins = [group_of(name) for name in sorted(groups.difference(ours, {OTHER.name}))]
    order = [group for group in (*GROUPS, *of_plugins, OTHER) if group.name in groups]
    return sorted(order, key=lambda group: group.name != leading)
