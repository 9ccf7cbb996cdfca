"""Making a component as a run would."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import pydantic

from gvr_bench.api import Component
from gvr_bench.components import check_class, check_settings
from gvr_bench.errors import PluginError, first_fault

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


def named(component: type[Component] | Component) -> str:
    """Return the name of a class, or of an instance's."""
    return component.__name__ if isinstance(component, type) else type(component).__name__
