"""How a component fared under each rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from gvr_bench.core.errors import GvrError, Unsupported
from gvr_bench.registry.explainer_contract import Violation

Status = Literal["kept", "broken", "n/a"]


@dataclass(frozen=True)
class CheckResult:
    """What became of one rule.

    `what` says what `whose` did where the rule is `broken`, and why it does not apply where it is
    `n/a`; `mend` says what to write instead.
    """

    whose: str
    rule: str
    status: Status
    what: str = ""
    mend: str = ""

    def __str__(self) -> str:
        """Return one line."""
        said = "; ".join(filter(None, (self.what, self.mend)))
        return f"{self.whose}, {self.rule}: {said or self.status}"


def assert_passes(verdicts: Iterable[CheckResult]) -> None:
    """Raise `AssertionError` with a line for each rule that is broken; for tests."""
    broken = [str(verdict) for verdict in verdicts if verdict.status == "broken"]
    if broken:
        raise AssertionError("\n".join([f"{len(broken)} broken:", *broken]))


class NotAsked(Exception):  # noqa: N818 - it ends a case, and is no fault of its own
    """Nothing more can be learnt from this case."""


@dataclass
class CheckReport:
    """Collects what is found in each case, and turns it into one verdict per rule.

    `rules` are all there are, in order, each with what it asks. One of `stops` that is broken
    leaves those after it untried.
    """

    whose: str
    rules: Mapping[str, str]
    stops: Set[str]
    cases: int = 0
    refused: list[str] = field(default_factory=list)
    found: dict[str, list[tuple[Violation, str]]] = field(default_factory=dict)

    @contextmanager
    def case(self, label: str, *, rule: str = "answer") -> Iterator[None]:
        """Judge one case: what is raised in it breaks `rule`, and `Unsupported` is an answer."""
        self.cases += rule != "class"  # which holds all the others
        try:
            yield
        except NotAsked:
            return
        except Unsupported as reason:
            self.refused.append(f"{label}: {reason}")
            if not str(reason):
                mend = "say why it does not apply: raise gvr.Unsupported('needs colour')"
                self.add(label, Violation(rule, "raised Unsupported without a reason", mend))
        except GvrError as error:
            what, _, mend = str(error).rpartition("; ")
            self.add(label, Violation(rule, what or mend, mend if what else ""))
        except Exception as error:  # a plugin may raise anything
            lines = str(error).splitlines() or [""]
            what = f"raised {type(error).__name__}: {lines[0]}".removesuffix(": ")
            mend = "catch it; where it cannot apply, raise gvr.Unsupported('why')"
            self.add(label, Violation(rule, what, mend))

    def add(self, label: str, *breaches: Violation) -> None:
        """Write down what was broken in a case."""
        for breach in breaches:
            self.found.setdefault(breach.rule, []).append((breach, label))

    def verdicts(self) -> list[CheckResult]:
        """Return one verdict per rule."""
        return [self.verdict(rule) for rule in self.rules]

    def verdict(self, rule: str) -> CheckResult:
        """Return the verdict of one rule: the first breach stands for all."""
        if rule in self.found:
            (first, label), *others = self.found[rule]
            more = f" (and {len(others)} more)" if others else ""
            what = f"{label}: {first.what}{more}"
            return CheckResult(self.whose, rule, "broken", what, first.fix)
        if self.refused and len(self.refused) == self.cases:
            return CheckResult(self.whose, rule, "n/a", self.refused[0])
        order = list(self.rules)
        for stop in order[: order.index(rule)]:
            if stop in self.stops and stop in self.found:
                return CheckResult(self.whose, rule, "n/a", f"not tried, for '{stop}' is broken")
        refused = f"does not apply to {'; '.join(self.refused)}" if self.refused else ""
        return CheckResult(self.whose, rule, "kept", refused if rule == "answer" else "")
