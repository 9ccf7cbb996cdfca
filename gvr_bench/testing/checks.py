"""The result of each check of a component, and what the checks of all kinds share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, cast

import pydantic

from gvr_bench.core.components import Component
from gvr_bench.core.errors import GvrError, PluginError, Unsupported, first_fault
from gvr_bench.core.types import Kind
from gvr_bench.registry.explainer_contract import Violation
from gvr_bench.registry.global_rng import seeded, states
from gvr_bench.registry.validation import check_class, check_settings

Status = Literal["passed", "failed", "n/a"]
AnyComponent = TypeVar("AnyComponent", bound=Component)
Result = TypeVar("Result")

PROFILE = "quick"
DRAW_FROM_CONTEXT = "draw from ctx.rng(...), e.g. torch.randn(shape, generator=ctx.rng('noise'))"


@dataclass(frozen=True)
class CheckResult:
    """The result of one check of one component.

    `problem` says what the component did where the check failed, and why it does not apply where it
    is `n/a`; `fix` says what to write instead.
    """

    component: str
    check: str
    status: Status
    problem: str = ""
    fix: str = ""

    def __str__(self) -> str:
        text = "; ".join(filter(None, (self.problem, self.fix)))
        return f"{self.component}, {self.check}: {text or self.status}"


def assert_passes(results: Iterable[CheckResult]) -> None:
    """Raise `AssertionError` with a line for each failed check; for tests."""
    failed = [str(result) for result in results if result.status == "failed"]
    if failed:
        raise AssertionError("\n".join([f"{len(failed)} failed:", *failed]))


class StopCase(Exception):  # noqa: N818 - it ends a case and is no error
    """No further check of this case is possible."""


@dataclass
class CheckReport:
    """Collects violations from several cases and turns them into one result per check.

    `checks` maps the name of each check to its description, in order. A failed one of `blocking`
    makes those after it not applicable.
    """

    component: str
    checks: Mapping[str, str]
    blocking: Set[str]
    cases: int = 0
    unsupported: list[str] = field(default_factory=list)
    violations: dict[str, list[tuple[Violation, str]]] = field(default_factory=dict)

    @contextmanager
    def case(self, label: str, *, check: str = "returns") -> Iterator[None]:
        """Run one case: an exception fails `check`, but `Unsupported` is allowed."""
        self.cases += check != "class"  # which contains all the others
        try:
            yield
        except StopCase:
            return
        except Unsupported as reason:
            self.unsupported.append(f"{label}: {reason}")
            if not str(reason):
                fix = "say why it does not apply: raise gvr.Unsupported('needs colour')"
                self.add(label, Violation(check, "raised Unsupported without a reason", fix))
        except GvrError as error:
            problem, _, fix = str(error).rpartition("; ")
            self.add(label, Violation(check, problem or fix, fix if problem else ""))
        except Exception as error:  # a plugin may raise anything
            lines = str(error).splitlines() or [""]
            problem = f"raised {type(error).__name__}: {lines[0]}".removesuffix(": ")
            fix = "catch it, or raise gvr.Unsupported('why') where the component cannot apply"
            self.add(label, Violation(check, problem, fix))

    def add(self, label: str, *violations: Violation) -> None:
        for violation in violations:
            self.violations.setdefault(violation.check, []).append((violation, label))

    def failed(self, *checks: str) -> bool:
        return not self.violations.keys().isdisjoint(checks)

    def results(self) -> list[CheckResult]:
        """Return one result per check; the first violation stands for all."""
        return [self._result(check) for check in self.checks]

    def _result(self, check: str) -> CheckResult:
        if check in self.violations:
            (first, label), *others = self.violations[check]
            more = f" (and {len(others)} more)" if others else ""
            problem = f"{label}: {first.problem}{more}"
            return CheckResult(self.component, check, "failed", problem, first.fix)
        if self.unsupported and len(self.unsupported) == self.cases:
            return CheckResult(self.component, check, "n/a", self.unsupported[0])
        order = list(self.checks)
        for earlier in order[: order.index(check)]:
            if earlier in self.blocking and earlier in self.violations:
                problem = f"skipped because '{earlier}' failed"
                return CheckResult(self.component, check, "n/a", problem)
        note = f"does not apply to {'; '.join(self.unsupported)}" if self.unsupported else ""
        return CheckResult(self.component, check, "passed", note if check == "returns" else "")


@dataclass(frozen=True)
class CheckSuite(Generic[AnyComponent]):
    """The checks of one kind of component; see `CheckReport` for `checks` and `blocking`.

    `run` tries a component and adds violations to the report.
    """

    kind: Kind
    base: type[Any]
    checks: Mapping[str, str]
    blocking: Set[str]
    run: Callable[[AnyComponent, CheckReport], None]

    def results(
        self,
        component: type[AnyComponent] | AnyComponent,
        settings: Mapping[str, Any],
        label: str = "",
    ) -> list[CheckResult]:
        """Return a result per check; `label` is how the user refers to the component."""
        cls = component if isinstance(component, type) else type(component)
        report = CheckReport(label or f"{self.kind} {cls.__name__}", self.checks, self.blocking)
        with report.case("as it is", check="class"):
            self.run(self._instance(component, settings, report.component), report)
        return report.results()

    def _instance(
        self, component: type[AnyComponent] | AnyComponent, settings: Mapping[str, Any], label: str
    ) -> AnyComponent:
        """Validate a component; a class gets the quick profile and `settings`."""
        if isinstance(component, self.base):
            if settings:
                raise TypeError("settings are for a class, and this is an instance")
            check_class(type(component), self.base, label)
            check_settings(component.settings, label)
            return cast(AnyComponent, component)
        cls: Any = check_class(component, self.base, label)
        try:
            chosen = cls.Settings.model_validate({**cls.profiles.get(PROFILE, {}), **settings})
        except pydantic.ValidationError as error:
            where, what, _ = first_fault(error)
            fault = f"{where}: {what}" if where else what
            raise PluginError(f"{fault}; pass valid settings to the check") from error
        return cast(AnyComponent, cls(check_settings(chosen, label)))


def run_seeded(function: Callable[[], Result], seed: int) -> tuple[Result, list[Violation]]:
    """Call a function with the global random numbers seeded, and check that it draws none."""
    with seeded(seed):
        before = states()
        result = function()
        after = states()
    return result, [
        Violation(
            "global rng", f"seeded or drew global random numbers of {name}", DRAW_FROM_CONTEXT
        )
        for name in before
        if before[name] != after[name]
    ]
