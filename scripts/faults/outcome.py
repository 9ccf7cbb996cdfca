"""What a fault came to."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab import Lab


@dataclass
class Outcome:
    """A fault: how it was injected, how many times, and what came of it.

    `values_lost` counts complete values that were gone or had to be made again though nothing was
    wrong with them; `differing` names records and values that are not those of an undisturbed run;
    `wrong` says what else was not as it should be. `where` counts by kind of stage.
    """

    name: str
    injected: str
    came_of: str
    times: int = 0
    runs: int = 0
    values_lost: int = 0
    differing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    where: Counter[str] = field(default_factory=Counter)
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def fine(self) -> bool:
        """Whether nothing was lost, and nothing is wrong."""
        return not (self.values_lost or self.differing or self.wrong)

    def line(self) -> str:
        """Say it on one line."""
        state = (
            "nothing lost"
            if self.fine
            else f"LOST {self.values_lost} {self.differing} {self.wrong}"
        )
        return f"{self.name}: {self.times} times over {self.runs} runs: {state}"

    def as_json(self) -> dict[str, object]:
        """Return what the page is written from."""
        return {**dataclasses.asdict(self), "where": dict(self.where)}


class NotPossible(Exception):  # noqa: N818 - it is no fault
    """Says why a fault cannot be injected here."""


Scenario = Callable[["Lab", int, random.Random], Outcome]
Once = Callable[["Lab", Outcome, random.Random], None]


def scenario(name: str, injected: str, came_of: str) -> Callable[[Once], Scenario]:
    """Inject a fault again and again, until it came so many times or turns out `NotPossible`."""

    def declare(once: Once) -> Scenario:
        def repeat(lab: Lab, times: int, rng: random.Random) -> Outcome:
            outcome = Outcome(name, injected, came_of)
            try:
                while outcome.times < times:
                    once(lab, outcome, rng)
            except NotPossible as reason:
                outcome.injected = f"not injected: {reason}"
            return outcome

        return repeat

    return declare
