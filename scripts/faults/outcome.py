"""What a fault came to."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass, field


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
