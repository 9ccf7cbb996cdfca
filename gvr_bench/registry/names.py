"""Names as users type them: aliases, any case, and collective names of explainers."""

from __future__ import annotations

from collections.abc import Iterable

from gvr_bench.core.components import Plugin
from gvr_bench.core.errors import UsageError
from gvr_bench.core.explainer import Role
from gvr_bench.core.types import Kind

ALL = "all"  # every explainer
DEFAULT = "default"  # those of a run that names none
ROLES: dict[Role, str] = {
    "attribution": "every explainer that returns a map only",
    "counterfactual": "every explainer that returns changed images",
    "control": "every control",
}


def option_of(kind: Kind) -> str:
    """Return the option of `gvr-bench run` that takes components of a kind."""
    return "--metrics" if kind == "metric" else f"--{kind}"


def plain(name: str) -> str:
    """Return a name without what never matters: case, hyphens, underscores and spaces."""
    return name.lower().replace("+", "plus").translate(str.maketrans("", "", "-_ "))


def canonical(typed: str, plugins: Iterable[Plugin]) -> str:
    """Return the name of the plugin that a user means; unchanged where there is none.

    An exact name comes before one in another spelling, and that before an alias. Raises
    `UsageError` where two plugins of equal claim are meant.
    """
    rows = list(plugins)
    if any(row.name == typed for row in rows):
        return typed
    target = plain(typed)
    spelt = [row.name for row in rows if plain(row.name) == target]
    meant = spelt or [row.name for row in rows if target in map(plain, row.aliases)]
    names = list(dict.fromkeys(meant))
    if len(names) > 1:
        raise UsageError(f"'{typed}' may be {' or '.join(names)}; type one of them")
    return names[0] if names else typed


def collectives(plugins: Iterable[Plugin]) -> dict[str, str]:
    families = sorted({row.family for row in plugins if row.family} - ROLES.keys())
    return {
        DEFAULT: "those of a run that names none",
        ALL: "every explainer",
        **ROLES,
        **{family: f"every explainer of the family {family}" for family in families},
    }


def collective(typed: str, plugins: Iterable[Plugin]) -> str:
    """Return the word for several explainers that a user means; empty where it is none."""
    rows = list(plugins)
    if any(row.name == typed for row in rows):
        return ""
    return next((known for known in collectives(rows) if plain(known) == plain(typed)), "")


def stands_for(chosen: str, plugin: Plugin, role: Role | None) -> bool:
    """Whether a word stands for an explainer of that role; None where its class does not load."""
    if plugin.selection == "name":
        return False
    if chosen in (ALL, DEFAULT):
        return chosen == ALL or plugin.selection == DEFAULT
    return chosen in (plugin.family, role)
