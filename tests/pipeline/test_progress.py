"""What a long task says of itself where there is no terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gvr_bench.pipeline import progress
from gvr_bench.pipeline.progress import TaskProgress


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
    assert first == "steps  2/100  0.2/s"
    assert [line.split("ETA ")[-1] for line in rest] == ["0:07:30", "0:04:10"]
