"""Signals at random moments: SIGKILL, and those that ask to stop."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

from lab import TRAINED, Lab, Planned, Started, drafts, until, whole_values
from outcome import Outcome

AHEAD = 8  # stages from which the next one to be hit is drawn
LONGEST = 2.0  # seconds into a stage, at most
START_UP, WRITING, BETWEEN = "start-up", "writing the run's folder", "between stages"
GOES_ON = "; the same command goes on from here"


def kills(lab: Lab, times: int, rng: random.Random) -> Outcome:
    """Kill runs so many times, and let the last one come to its end."""
    outcome = Outcome(
        "The process is killed",
        "SIGKILL at a random moment of a random stage, again and again until the run ends",
        "The same command goes on from the last complete stage, and within a training from its "
        "last checkpoint.",
    )
    while outcome.times < times:
        Strikes(lab, signal.SIGKILL, outcome, rng, times).one_run("0.5")
    return outcome


def stops(lab: Lab, number: signal.Signals, times: int, rng: random.Random) -> Outcome:
    """Ask runs to stop so many times, and let the last one come to its end."""
    outcome = Outcome(
        "Ctrl-C" if number == signal.SIGINT else "The system asks the process to end",
        f"{number.name} at a random moment of a random stage, with checkpoints by the clock off",
        "A training saves the step it is at, all else stops at once. One line says how to go on; "
        f"the exit code is {128 + number}.",
    )
    while outcome.times < times:
        Strikes(lab, number, outcome, rng, times).one_run("1e6")
    return outcome


class Strikes:
    """Disturbs runs with one signal, so many times."""

    def __init__(
        self, lab: Lab, number: signal.Signals, outcome: Outcome, rng: random.Random, times: int
    ) -> None:
        self.lab = lab
        self.number = number
        self.outcome = outcome
        self.rng = rng
        self.times = times
        self.kinds = {stage.key[:16]: stage.kind for stage in lab.plan}

    def one_run(self, every: str) -> None:
        """Disturb a run again and again until it ends, and compare what it came to."""
        cache, out = self.lab.fresh("cache"), self.lab.fresh("run")
        self.outcome.runs += 1
        while True:
            before = whole_values(cache)
            started = self.lab.start(cache, out, "--checkpoint-every", every)
            where, seconds = self.strike(started, cache)
            code = started.wait()
            after = whole_values(cache)
            self.outcome.values_lost += sum(after.get(k) != when for k, when in before.items())
            if not where or code == 0 or self.ended(started):
                code = 0
                break
            self.outcome.times += 1
            self.outcome.where[where] += 1
            if self.number != signal.SIGKILL:
                self.check(started, code, time.monotonic() - seconds)
        if code:
            self.outcome.wrong.append(f"exit {code}: {started.said[-1:]}")
            return
        self.outcome.differing += self.lab.differences(cache, out)

    def ended(self, started: Started) -> bool:
        """Whether a run had said all it had to say when the signal came."""
        last = started.said[-1:]
        return bool(last) and last[0].startswith("Report: ")

    def strike(self, started: Started, cache: Path) -> tuple[str, float]:
        """Send the signal at a random moment; say where and when, nowhere if the run ended."""
        old = drafts(cache)
        if not self.wait(started, cache):
            return "", 0.0
        done = whole_values(cache)
        where = self.here(cache, old, done)
        started.process.send_signal(self.number)
        now = time.monotonic()
        saves = self.number != signal.SIGKILL and where in TRAINED
        if saves:
            started.wait()
            self.outcome.figures["in trainings"] = self.outcome.figures.get("in trainings", 0) + 1
            if any(cache.glob(f"{where}/*/work/checkpoint-*.safetensors")):
                self.outcome.figures["saved"] = self.outcome.figures.get("saved", 0) + 1
        return where, now

    def wait(self, started: Started, cache: Path) -> bool:
        """Wait for the random moment; false if the run ended before."""
        if self.outcome.times >= self.times:
            return False
        process, plan = started.process, self.lab.plan
        done = whole_values(cache)
        left = [stage for stage in plan if stage.key[:16] not in done]
        aims: list[Planned | str | None] = [*left[:AHEAD], START_UP] if left else [WRITING, None]
        aim = self.rng.choice(aims)
        if aim is None:
            return False
        if isinstance(aim, Planned):
            key = aim.key[:16]
            old = drafts(cache)
            if not until(lambda: working(cache, key, old) or key in whole_values(cache), process):
                return False
            pause = self.rng.uniform(0, min(1.2 * aim.seconds + 0.01, LONGEST))
        elif aim == START_UP:
            if self.number != signal.SIGKILL and not until(started.listens, process):
                return False
            pause = self.rng.uniform(0, 2.5)
        else:
            if self.number != signal.SIGKILL and not until(started.listens, process):
                return False
            pause = self.rng.uniform(0, 6.0)
        time.sleep(pause)
        return process.poll() is None

    def here(self, cache: Path, old: set[str], done: dict[str, int]) -> str:
        """Say where a run is: the kind of the stage whose draft there is, or what else."""
        for name in drafts(cache) - old:
            if name[:16] not in done:
                return self.kinds[name[:16]]
        if len(done) >= len(self.lab.plan):
            return WRITING
        return BETWEEN if done else START_UP

    def check(self, started: Started, code: int, seconds: float) -> None:
        """Hold a stop to what is promised of it."""
        said = started.said
        self.outcome.figures["slowest"] = max(self.outcome.figures.get("slowest", 0.0), seconds)
        if code != 128 + self.number:
            self.outcome.wrong.append(f"exit {code}: {said[-1:]}")
        if sum(line.endswith(GOES_ON) for line in said) != 1 or not said[-1].endswith(GOES_ON):
            self.outcome.wrong.append(f"said {said[-1:]}")
        if any("Traceback" in line for line in said):
            self.outcome.wrong.append("a traceback")


def working(cache: Path, key: str, old: set[str]) -> bool:
    """Whether a process has begun to write a stage."""
    return any(name.startswith(key) for name in drafts(cache) - old)
