"""Making a component as a run would, and holding it to the rules of its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import pydantic

from gvr_bench.core.components import Component
from gvr_bench.core.errors import PluginError, first_fault
from gvr_bench.core.types import Kind
from gvr_bench.registry.validation import check_class, check_settings
from gvr_bench.testing.check_report import CheckReport, CheckResult

Made = TypeVar("Made", bound=Component)
PROFILE = "quick"


def component_of(
    component: type[Made] | Made, base: type[Any], whose: str, settings: dict[str, Any]
) -> Made:
    """Return an instance whose class and settings the core can use.

    A class is given the settings of the quick profile and those given. Raises `PluginError`.
    """
    if isinstance(component, base):
        if settings:
            raise TypeError("settings are given to a class; this is an instance")
        check_class(type(component), base, whose)
        check_settings(component.settings, whose)
        return cast(Made, component)
    cls: Any = check_class(component, base, whose)
    try:
        chosen = cls.Settings.model_validate({**cls.profiles.get(PROFILE, {}), **settings})
    except pydantic.ValidationError as error:
        where, what, _ = first_fault(error)
        fault = f"{where}: {what}" if where else what
        raise PluginError(f"{fault}; give the check settings that can be used") from error
    made = cls(check_settings(chosen, whose))
    return cast(Made, made)


@dataclass(frozen=True)
class Check(Generic[Made]):
    """The rules of a kind of component with its base class; see `CheckReport` for `rules` and `stops`.

    `attempt` tries a component in each case and writes what it breaks on the sheet.
    """

    kind: Kind
    base: type[Any]
    rules: Mapping[str, str]
    stops: Set[str]
    attempt: Callable[[Made, CheckReport], None]

    def verdicts(
        self, component: type[Made] | Made, settings: dict[str, Any], whose: str = ""
    ) -> list[CheckResult]:
        """Return a verdict per rule; `whose` is the name that a user knows the component by."""
        cls = component if isinstance(component, type) else type(component)
        sheet = CheckReport(whose or f"{self.kind} {cls.__name__}", self.rules, self.stops)
        with sheet.case("as it is", rule="class"):
            self.attempt(component_of(component, self.base, sheet.whose, settings), sheet)
        return sheet.verdicts()
