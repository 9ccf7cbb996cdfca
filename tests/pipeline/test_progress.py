"""What a long task says of itself where there is no terminal, and how stages end there."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from tiny import plan_of

from gvr_bench.pipeline import progress
from gvr_bench.pipeline.collect import Outcome
from gvr_bench.pipeline.plan import Plan, explainer_titles
from gvr_bench.pipeline.progress import Display, TaskProgress


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def lines_of(now: list[float], *, even: bool) -> list[str]:
    """Lines for 2, 10 and 50 steps of 100, of which each takes five seconds."""
    text = io.StringIO()
    with TaskProgress(Console(file=text, width=80), "steps", even=even) as shown:
        shown(0, 100)
        for done in (2, 10, 50):
            now[0] = 5.0 * done
            shown(done, 100)
    return text.getvalue().splitlines()


def test_time_left_is_said_of_even_steps(passing: list[float]) -> None:
    lines = [line.split("ETA ")[-1] for line in lines_of(passing, even=True)]
    assert lines == ["0:08:10", "0:07:30", "0:04:10"]


def test_time_left_of_uneven_steps_is_not_guessed_early(passing: list[float]) -> None:
    first, *rest = lines_of(passing, even=False)
    assert first == "steps  2/100"
    assert [line.split("ETA ")[-1] for line in rest] == ["0:07:30", "0:04:10"]


def shown_of(plan: Plan, outcomes: dict[str, Outcome], *, quiet: bool = False) -> list[str]:
    """Lines for stages that end so, by the name of the component, or else well in a second."""
    text = io.StringIO()
    console = Console(file=text, width=80)
    display = Display(console, len(plan.stages), explainer_titles(plan), quiet=quiet)
    for stage in plan.stages:
        display.ended(stage, outcomes.get(stage.name, Outcome("done", 1.0)))
    display.warn("it is hot")
    return text.getvalue().splitlines()


def test_an_explainer_is_one_line(registry) -> None:
    plan = plan_of(registry, explainer=["saliency", "random"])
    lines = shown_of(plan, {})
    parts = [line for line in lines if "saliency" in line or "random" in line]
    stages = [sum(stage.name == name for stage in plan.stages) for name in ("saliency", "random")]
    assert parts == [
        f"done    {count:7.1f} s  explainer {name}"
        for count, name in zip(stages, ("saliency", "random"), strict=True)
    ]
    assert "done        1.0 s  generator wgan-gp" in lines


def test_models_are_named_where_there_are_several(registry) -> None:
    plan = plan_of(registry, {"seeds": [0, 1]}, head=["linear:steps=20", "mlp:steps=20"])
    names = [line.split("explainer ")[1] for line in shown_of(plan, {}) if "explainer" in line]
    assert names == [
        f"saliency, wgan-gp · conv · {head}, seed {seed}"
        for seed in (0, 1)
        for head in ("linear", "mlp")
    ]


@pytest.mark.parametrize("quiet", [False, True])
def test_failures_and_warnings_are_always_shown(registry, quiet: bool) -> None:
    plan = plan_of(registry)
    lines = shown_of(plan, {"saliency": Outcome("failed", 0.0, "no gradient")}, quiet=quiet)
    shown = [line for line in lines if not line.startswith("done")]
    *failed, folded, warning = shown
    assert {line.split(None, 1)[1].split(",")[0] for line in failed} >= {
        "explanations saliency: no gradient"
    }
    assert folded == "failed             explainer saliency: no gradient"
    assert warning == "warning: it is hot"
    assert (lines == shown) == quiet


def test_cached_stages_are_no_lines(registry) -> None:
    plan = plan_of(registry)
    cached = {stage.name: Outcome("cached", 1.0) for stage in plan.stages}
    assert shown_of(plan, cached) == ["warning: it is hot"]


def test_what_does_not_apply_has_its_reason(registry) -> None:
    left_out = Outcome("skipped", 0.0, "it needs a GPU", not_applicable=True)
    lines = shown_of(plan_of(registry), {"saliency": left_out})
    assert "n/a                explainer saliency: it needs a GPU" in lines
