"""How long stages take, from what like ones took in the same cache on the same kind of device."""

from __future__ import annotations

import contextlib
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.gc import stage_folders
from gvr_bench.cache.integrity import read_meta
from gvr_bench.core.errors import CacheError
from gvr_bench.core.stage import canonical
from gvr_bench.pipeline.plan import Plan

UNITS = ((48 * 3600, 86400, "days"), (2 * 3600, 3600, "h"), (120, 60, "min"))
MAX_CASES = "max_cases"  # of the settings of the stage `cases`
FEW_CASES = 20  # of a run that is to be over soon

Content = Mapping[str, Any]


@dataclass(frozen=True)
class Likeness:
    """What a stage shares with those that take as long: component and size of the images.

    `cases` is the number of cases of which it explains or scores each; 0 where it needs none.
    """

    text: str
    cases: int


class ExpectedTime:
    """What the stages of a plan take, by key; `seconds` has those of which one was measured."""

    def __init__(self, plan: Plan, cache: ArtifactCache, device: str) -> None:
        self.plan = plan
        measured = measured_seconds(cache, device)
        kinds = likenesses({stage.key: stage.key_content() for stage in plan.stages})
        self.cases = {key: like.cases for key, like in kinds.items()}
        self.seconds = {
            key: statistics.median(measured[like.text]) * max(1, like.cases)
            for key, like in kinds.items()
            if like.text in measured
        }

    def share(self, workers: int, keys_alone: Collection[str]) -> None:
        """Let so many workers compute at once, but for some stages."""
        for key in self.seconds.keys() - set(keys_alone):
            self.seconds[key] /= workers

    def of(self, keys: Set[str], cases: int | None = None) -> float | None:
        """Return the seconds that stages take together, None where some of them are not known.

        `cases` is a number of cases, where there are to be fewer.
        """
        return self.at_least(keys, cases) if keys <= self.seconds.keys() else None

    def at_least(self, keys: Set[str], cases: int | None = None) -> float:
        total = 0.0
        for key in keys & self.seconds.keys():
            share = min(1.0, cases / self.cases[key]) if cases and self.cases[key] else 1.0
            total += self.seconds[key] * share
        return total

    def sentence(self, keys: Set[str]) -> str:
        """Say how long stages take, as far as known, and what would take less."""
        unknown = len(keys - self.seconds.keys())
        parts = [f"{len(keys)} stages to compute"]
        if unknown < len(keys):
            about = "at least" if unknown else "about"
            parts.append(f"{about} {rough_duration(self.at_least(keys))}")
        if unknown:
            of = f" of {unknown}" if unknown < len(keys) else ""
            parts.append(f"the time{of} unknown to this cache")
        return "; ".join([", ".join(parts), *self.alternatives(keys)])

    def alternatives(self, keys: Set[str]) -> Iterator[str]:
        """Yield what makes a run shorter."""
        if self.plan.spec.profile != "quick":
            yield "less with --profile quick"
        if any(self.cases[key] > FEW_CASES for key in keys):
            seconds = self.of(keys, FEW_CASES)
            takes = "less" if seconds is None else f"about {rough_duration(seconds)}"
            yield f"{takes} with --max-cases {FEW_CASES}"


def measured_seconds(cache: ArtifactCache, device: str) -> Mapping[str, list[float]]:
    """Return what the values of a cache took on a device, by `Likeness`, per case if it has any."""
    contents: dict[str, Content] = {}
    own: set[str] = set()
    for root in (cache.pretrained, cache.root):
        for folder in stage_folders(root):
            with contextlib.suppress(CacheError):
                meta, content = read_meta(folder)
                contents[meta.key] = content
                if root == cache.root:
                    own.add(meta.key)
    seconds: dict[str, list[float]] = defaultdict(list)
    for key, like in likenesses(contents).items():
        if key in own and contents[key]["device"] == device:
            seconds[like.text].append(contents[key]["seconds"] / max(1, like.cases))
    return seconds


def likenesses(contents: Mapping[str, Content]) -> dict[str, Likeness]:
    """Return the likeness of each stage whose inputs are among these contents, by key."""
    known: dict[str, dict[str, Any]] = {}

    def settings_above(key: str) -> dict[str, Any]:
        """The settings of a stage and of all that it depends on, by kind."""
        if key not in known:
            above: dict[str, Any] = {}
            for text in reversed(contents[key]["inputs"]):
                above |= settings_above(text.split()[-1])
            known[key] = above | {contents[key]["kind"]: contents[key]["settings"]}
        return known[key]

    likeness = {}
    for key, content in contents.items():
        with contextlib.suppress(KeyError):  # an input is gone from the cache
            above = settings_above(key)
            settings = {k: v for k, v in content["settings"].items() if k != MAX_CASES}
            component = [content["kind"], content["name"], content["version"], settings]
            text = canonical([*component, above.get("data", {}).get("size")])
            cases = above.get("cases", {}).get(MAX_CASES, 0)
            likeness[key] = Likeness(text, 0 if content["kind"] == "cases" else cases)
    return likeness


def rough_duration(seconds: float) -> str:
    """Return a time in two digits."""
    for least, unit, name in UNITS:
        if seconds >= least:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{max(seconds, 0.1):.1f} s"
