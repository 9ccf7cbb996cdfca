"""The components' own names in a spec, whatever the spelling that a user typed."""

from __future__ import annotations

from typing import cast

from gvr_bench.config.spec import CHOICES, ComponentSpec, Spec
from gvr_bench.core.types import Kind
from gvr_bench.registry.names import word
from gvr_bench.registry.registry import Registry


def canonical_spec(spec: Spec, registry: Registry) -> Spec:
    """Return the spec with the components' own names instead of aliases and other spellings.

    Raises `UsageError` where a name may mean several.
    """
    explainers = registry.plugins("explainer")

    def own(kind: Kind, choice: ComponentSpec) -> ComponentSpec:
        several = word(choice.name, explainers) if kind == "explainer" else ""
        name = several or registry.canonical(kind, choice.name)
        return ComponentSpec(name=name, settings=choice.settings)

    kinds = {field: "dataset" if field == "pretraining_dataset" else field for field in CHOICES}
    return spec.model_copy(
        update={
            field: tuple(own(cast(Kind, kind), choice) for choice in getattr(spec, field))
            for field, kind in kinds.items()
        }
    )
