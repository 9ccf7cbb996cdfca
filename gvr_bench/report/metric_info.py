"""What the columns are called and mean, as the metrics themselves declare it."""

from __future__ import annotations

from gvr_bench.metrics import DECLARED, GROUPS, Declaration, Group

CONTROLS = ("random", "edge", "intensity")
OTHER = Group("", "Other scores", "")
_LEADING = (
    "pixel_ap",
    "true_change_correlation",
    "truth",
    "oracle_validity",
    "reencoded_validity",
    "oracle",
    "validity",
)
_UNREADABLE = frozenset({"optimizer_steps"})  # cheap or dear, but neither good nor bad


def entry(metric: str) -> Declaration:
    """What is known of `metric`; one that is declared nowhere goes by its name."""
    known = DECLARED.get(metric)
    if known is not None:
        return known
    title = metric.replace("_", " ")
    return Declaration(
        metric, OTHER.name, title, "", better="-", formula="", fooled_by="", source=""
    )


def is_control(explainer: str) -> bool:
    """Whether a name, with settings after a colon or not, is that of a control."""
    return explainer.split(":")[0] in CONTROLS


def is_truth(metric: str) -> bool:
    """Whether it is a score against ground truth."""
    return entry(metric).group == "truth"


def is_cost(metric: str) -> bool:
    """Whether it says nothing about quality."""
    return entry(metric).group == "cost" or metric in _UNREADABLE


def per_case(metric: str) -> bool:
    """Whether its values are one of each case, so that a paired test may compare them.

    Time and memory are taken for a batch at once: its cases tell nothing beyond the first.
    """
    return entry(metric).group != "cost"


def standing(metric: str) -> int | None:
    """How much a score tells, 0 the most: ground truth, then an oracle, then the model itself.

    None where it is not to lead a scoreboard.
    """
    names = {metric, entry(metric).group}
    return next((i for i, n in enumerate(_LEADING) if n in names and not is_cost(metric)), None)


def group_of(name: str) -> Group:
    """The group of a name; one that is not known holds the metrics of nobody."""
    return next((group for group in GROUPS if group.name == name), OTHER)


def in_order(groups: set[str], leading: str = "") -> list[Group]:
    """Groups as a scoreboard shows them: the `leading` one, then as declared, then the rest."""
    order = [group for group in (*GROUPS, OTHER) if group.name in groups]
    return sorted(order, key=lambda group: group.name != leading)
