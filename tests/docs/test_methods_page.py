"""The page of methods is that of the code, and the passes it names are those that are made."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from networks_of_images import context_of, model_of, pictures, target_of

from gvr_bench.pipeline.steps.cost import measuring
from gvr_bench.registry.description import describe
from gvr_bench.registry.registry import installed

DOCS = Path(__file__).parents[2] / "scripts" / "docs"
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "methods.md"
FAMILIES = ("gradient", "propagation", "perturbation", "cam")
COUNT = re.compile(r"(\d+) (?:forward|backward)")
BY_IMAGE = {"occlusion": 1 + 7 * 7, "score-cam": 1 + 16}  # windows at 32 px; channels of the layer


def rows() -> list:
    return [r for r in installed().rows if r.plugin.passes and r.plugin.family in FAMILIES]


def test_page_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    sys.modules.pop("gen_methods_page", None)
    import gen_methods_page

    text = PAGE.read_text(encoding="utf-8")
    assert text.startswith(gen_methods_page.INTRODUCTION), "python scripts/docs/gen_methods_page.py"
    sections = gen_methods_page.sections()
    for family in FAMILIES:
        assert sections[family] in text, "run python scripts/docs/gen_methods_page.py"


def test_page_of_metrics_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    from gen_metrics_page import PAGE, page

    assert PAGE.read_text("utf-8") == page(), "run python scripts/docs/gen_metrics_page.py"


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.plugin.name)
def test_passes_are_those_that_are_made(row) -> None:
    model, x, name = model_of("latents"), pictures(2), row.plugin.name
    cls, settings = installed().settings("explainer", name, "quick", {})
    with measuring(model, x.device) as cost:
        cls(settings).explain(model, x, target_of(len(x)), context_of(model))
    info = describe(installed(), "explainer", name)
    said = next(iter(info.passes.values()))
    expected = BY_IMAGE.get(name, sum(map(int, COUNT.findall(said))))
    if name == "feature-ablation":
        assert 1 + 20 <= cost.evaluations / len(x) <= 1 + settings.segments
    else:
        assert cost.evaluations / len(x) == expected
