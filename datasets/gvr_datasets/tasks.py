"""Tasks that several data sets share: BNP, and classes with a source and a target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

import gvr_bench.api as gvr

MAX_NAMES = 12  # in one error
THRESHOLD = 100.0  # ng/L
BNP = gvr.Task(
    kind="regression",
    outputs=("BNP",),
    unit="ng/L",
    threshold=THRESHOLD,
    scale=gvr.Scale(log=True, divisor=10.0),
)


def _cut(value: Any) -> Any:
    return tuple(part for part in value.split("+") if part) if isinstance(value, str) else value


# Several names, on a command line with a plus between them: `a+b`; in TOML a list.
Names = Annotated[tuple[str, ...], BeforeValidator(_cut)]


class ClassSettings(gvr.Settings):
    """The source and target class of rationales, by name or by number from 0."""

    source: str = Field(default="", coerce_numbers_to_str=True)
    target: str = Field(default="", coerce_numbers_to_str=True)


def two_classes(
    names: Sequence[str], settings: ClassSettings, order: Sequence[int]
) -> tuple[int, int]:
    """Return source and target, by default the first classes of `order`.

    Raises `UsageError` that says which classes there are.
    """
    source = _find(names, settings.source, "source") if settings.source else None
    target = _find(names, settings.target, "target") if settings.target else None
    if source is None:
        source = next(k for k in order if k != target)
    if target is None:
        target = next(k for k in order if k != source)
    if source == target:
        raise gvr.UsageError(
            f"source and target are both {names[source]!r}: a rationale goes from one class to "
            f"another; known: {_list(names)}"
        )
    return source, target


def refuse_classes(settings: ClassSettings, kind: str) -> None:
    """Raise `UsageError` if source or target are set for a task without classes."""
    if settings.source or settings.target:
        raise gvr.UsageError(
            f"source and target are for multiclass tasks, and this one is {kind}; leave them out"
        )


def _find(names: Sequence[str], name: str, setting: str) -> int:
    if name in names:
        return names.index(name)
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    raise gvr.UsageError(f"{setting}={name} is no class; known: {_list(names)}")


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more
