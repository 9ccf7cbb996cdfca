"""Write the page of all explainers: `python scripts/docs/gen_methods_page.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gen_reference_docs import OURS, table

from gvr_bench.registry.description import ComponentInfo, describe
from gvr_bench.registry.registry import installed

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "methods.md"
INTRODUCTION = """\
# Methods

<!-- Written by scripts/docs/gen_methods_page.py from the code; edit that. -->

Every explainer by family. `--explainer NAME` runs one, whatever the spelling: `grad_cam` and
`GradCAM` are `grad-cam`. `--explainer FAMILY` runs all of a family, `attribution`, `counterfactual`
and `control` all of a role, `all` every one; settings behind such a word go to all it names. A run
without `--explainer` takes those marked with a star.

Passes are those of one image through the model, forward or backward, with the settings of the
profile `quick`; behind a semicolon with those of `paper`. `gvr-bench plugins info NAME` shows
settings and a description.

`captum:CLASS,ARGUMENT=VALUE` runs any class of `captum.attr` that needs no layer, such as
`captum:ShapleyValueSampling,n_samples=10`. Where captum would return the plain gradient under
another name, for activations that its hooks do not know, the cell is n/a with that reason.
"""
TITLES = {
    "gradient": "Gradients",
    "propagation": "Rules for layers",
    "perturbation": "Hiding parts of the image",
    "cam": "Maps of a layer",
    "counterfactual": "Counterfactuals",
    "control": "Controls",
}


def page() -> str:
    """Return the page: an introduction and a table for each family."""
    return INTRODUCTION + "\n" + "\n".join(sections().values())


def sections() -> dict[str, str]:
    """Return the section of each family, and of each role without families."""
    families: dict[str, list[ComponentInfo]] = {family: [] for family in TITLES}
    for info in explainers():
        families.setdefault(info.family or info.role, []).append(info)
    return {family: section(family, rows) for family, rows in families.items() if rows}


def explainers() -> Iterator[ComponentInfo]:
    """Yield what is known of each explainer of the package."""
    registry = installed()
    for row in registry.rows:
        if row.plugin.kind == "explainer" and row.distribution.startswith(OURS):
            info = describe(registry, "explainer", row.plugin.name)
            if info.selection != "name":
                yield info


def section(family: str, rows: list[ComponentInfo]) -> str:
    """Return a heading and a table."""
    head = ("explainer", "", "also called", "needs", "passes per image", "source")
    lines = [
        (
            f"`{info.name}`{' *' if info.selection == 'default' else ''}",
            info.summary,
            ", ".join(f"`{alias}`" for alias in info.aliases),
            info.access,
            passes(info),
            info.source,
        )
        for info in rows
    ]
    used = [i for i, _ in enumerate(head) if any(line[i] for line in lines)]
    chosen = [tuple(line[i] for i in used) for line in lines]
    body = table(tuple(head[i] for i in used), chosen)
    return "\n".join([f"## {TITLES.get(family, family)}: `{family}`", *body, ""])


def passes(info: ComponentInfo) -> str:
    """Return the cost in the quick profile, and in the paper profile where it differs."""
    costs = list(info.passes.values())
    return "; ".join(dict.fromkeys([*costs[:1], *costs[-1:]]))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
