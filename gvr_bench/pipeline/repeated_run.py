"""A run that would only repeat another is shown from that one's folder, without loading torch.

`repeat.json` in the folder of a run says what the run depends on, and what it printed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic
from pydantic import Field

from gvr_bench.cache.artifacts import lock_file
from gvr_bench.cache.serialization import replacing
from gvr_bench.core.dependencies import States, recording, state_of, unchanged
from gvr_bench.core.digests import code_digest
from gvr_bench.core.errors import CacheError, GvrError
from gvr_bench.core.process_group import are_several
from gvr_bench.core.stage import canonical
from gvr_bench.results.records import CASES, DATA, FILES, PROTOCOLS, RECORDS, VALUES

if TYPE_CHECKING:
    from gvr_bench.pipeline.run import RunRequest, RunResult

FILE = "repeat.json"
OF_RUN = (*FILES, CASES, DATA, PROTOCOLS, VALUES, "experiment.toml", "index.html")


class FinishedRun(pydantic.BaseModel):
    """A run of which no stage failed.

    `key` is that of the request. `states` are those of what planning reads, of the values of the
    stages, and of the files of the run. `stages` are the arguments of `gvr_stage_finished`, and
    `shown` what was printed, by the look of the terminal.
    """

    folder: Path = Field(exclude=True)
    key: str
    states: States
    stages: list[dict[str, Any]]
    shown: dict[str, str] = {}

    def show(self, look: str, text: str) -> None:
        """Remember what is printed."""
        self.shown[look] = text
        with contextlib.suppress(CacheError), replacing(self.folder / FILE) as partial:
            partial.write_text(self.model_dump_json(), encoding="utf-8")

    def use(self, cache: Path) -> Iterator[str]:
        """Note that the values are in use, and tell plugins of the run; yield warnings."""
        from gvr_bench.registry.registry import installed

        registry, stages = installed(), []
        for stage in self.stages:
            folder = stage["folder"] and Path(stage["folder"])
            stages.append({**stage, "folder": folder})
            if folder and folder.is_relative_to(cache):
                with contextlib.suppress(OSError):  # the cache may be read-only
                    lock_file(cache, stage["key"]).touch()
            yield from registry.notify("gvr_stage_finished", stages[-1])
        lines = (self.folder / RECORDS).read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        details = {"folder": self.folder, "records": records, "stages": stages}
        yield from registry.notify("gvr_run_finished", details)


def request_key(request: RunRequest) -> str:
    """Return a digest of a request, and of all code that it may use."""
    content = {
        "spec": request.spec.model_dump(mode="json"),
        "experiment": request.experiment and request.experiment.name,
        "paths": [str(p) for p in (Path.cwd(), request.out, request.cache_root)],
        "device": request.device,
        "code": code_digest(),
    }
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def find_finished(request: RunRequest, key: str) -> FinishedRun | None:
    """Return the run that a request repeats; None where there is none, or anything has changed."""
    if request.recompute or are_several():
        return None
    for folder in [request.out] if request.out else Path("reports").glob(f"{request.name}-*"):
        with contextlib.suppress(OSError, ValueError):
            content = json.loads((folder / FILE).read_text(encoding="utf-8"))
            run = FinishedRun.model_validate({**content, "folder": folder})
            if run.key == key and unchanged(run.states):
                return run
    return None


def finished_run(result: RunResult, request: RunRequest, key: str) -> FinishedRun | None:
    """Describe a run that has ended; None where it may not be shown again instead of repeated."""
    from gvr_bench.pipeline.plan import make_plan
    from gvr_bench.registry.registry import installed

    runner = result.runner
    try:
        with recording() as states:
            plan = make_plan(request.spec, installed())
    except GvrError:
        return None
    if result.failed or plan.key != runner.plan.key or key != request_key(request):
        return None  # code or data were edited while it ran
    stages = [runner.describe_stage(stage) for stage in plan.stages]
    for stage in stages:
        if folder := stage["folder"]:
            stage |= {"folder": str(folder.resolve()), "status": "cached"}
    names = [f"{stage['folder']}/" for stage in stages if stage["folder"]]
    names += [str(result.folder.resolve() / name) for name in OF_RUN]
    states |= {name: state_of(name) for name in names}
    return FinishedRun(folder=result.folder, key=key, states=states, stages=stages)
