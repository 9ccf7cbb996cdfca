"""Stages that work on cases do so part by part: what is kept of them is taken up, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_up_stages import BINARY, Bank, Squares
from tiny import Packages, command, records_of
from typer.testing import CliRunner

import gvr_bench.api as gvr
from gvr_bench.cache.checkpoints import FileCheckpoints
from gvr_bench.cache.integrity import WORK
from gvr_bench.cli.main import app
from gvr_bench.core.stage import Stage
from gvr_bench.metrics import METRICS
from gvr_bench.pipeline.stage_context import StageContext
from gvr_bench.pipeline.steps import shards as parts
from gvr_bench.pipeline.steps.perturbed_explanations import DRAWS, Noise
from gvr_bench.pipeline.steps.scores import case_values
from gvr_bench.pipeline.steps.shards import Arrays, Work, compute_free_parts, cut, in_parts

IN_PARTS = ("--max-cases", "10", "--batch-size", "1")  # parts of four cases
CLOCKS = {"seconds_per_image", "peak_memory_mb"}


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bank:
    monkeypatch.setattr(parts, "MIN_SECONDS", 0.0)
    return Bank(tmp_path / "cache")


@pytest.fixture
def cases(bank: Bank) -> Stage:
    """Eight cases."""
    return bank.cases(bank.data(Squares(BINARY)))


def at_work(bank: Bank, cases: Stage, batch_size: int = 1) -> StageContext:
    """A stage that works on the cases, and may keep parts."""
    stage = bank.stage("explanations", cases)
    work = bank.stage_ctx(stage).cache.write_dir(stage) / WORK
    work.mkdir(parents=True, exist_ok=True)
    return bank.stage_ctx(stage, batch_size=batch_size, checkpoints=FileCheckpoints(work, 0))


class Counting:
    """Work whose rows are their own numbers; `done` are the parts that were computed."""

    def __init__(self, last: int | None = None) -> None:
        self.done: list[tuple[int, int]] = []
        self.last = last

    def prepare(self, stage_ctx: StageContext) -> Work:
        return self.work

    def work(self, rows: slice) -> Arrays:
        if rows.start == self.last:
            raise KeyboardInterrupt
        self.done.append((rows.start, rows.stop))
        index = np.arange(rows.start, rows.stop)
        return {"row": index, "word": np.array([f"é{row}" for row in index]), "nan": index * np.nan}


def rows_of(stage_ctx: StageContext, counting: Counting) -> list[int]:
    actual = [(rows, arrays) for rows, arrays in in_parts(stage_ctx, counting.prepare)]
    assert all(arrays.keys() == {"row", "word", "nan"} for _, arrays in actual)
    assert [text for _, a in actual for text in a["word"]] == [f"é{i}" for i in range(8)]
    return [int(row) for _, arrays in actual for row in arrays["row"]]


def stored(stage_ctx: StageContext) -> list[Path]:
    return sorted((stage_ctx.cache.write_dir(stage_ctx.stage) / WORK).glob("checkpoint-*"))


def test_killed_stage_resumes_from_parts(bank: Bank, cases: Stage) -> None:
    killed, again = Counting(last=4), Counting()
    with pytest.raises(KeyboardInterrupt):
        rows_of(at_work(bank, cases), killed)
    assert killed.done == [(0, 4)]
    stage_ctx = at_work(bank, cases)
    assert rows_of(stage_ctx, again) == list(range(8))
    assert again.done == [(4, 8)]
    assert stage_ctx.earlier > 0


def test_a_damaged_part_is_computed_again(bank: Bank, cases: Stage) -> None:
    first, again = Counting(), Counting()
    rows_of(at_work(bank, cases), first)
    single, _ = stored(at_work(bank, cases))
    content = bytearray(single.read_bytes())
    content[len(content) // 2] ^= 1
    single.write_bytes(content)
    assert rows_of(at_work(bank, cases), again) == list(range(8))
    assert again.done == [(0, 4)]


def test_parts_of_other_inputs_are_ignored(
    bank: Bank, cases: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows_of(at_work(bank, cases), Counting())
    stage_ctx, again = at_work(bank, cases), Counting()
    monkeypatch.setattr(stage_ctx.cache, "digests", lambda stages: {"cases": "made again"})
    rows_of(stage_ctx, again)
    assert again.done == [(0, 4), (4, 8)]


def test_parts_of_another_size_are_ignored(bank: Bank, cases: Stage) -> None:
    rows_of(at_work(bank, cases), Counting())
    again = Counting()
    rows_of(at_work(bank, cases, batch_size=2), again)
    assert again.done == [(0, 8)]


def test_fast_parts_are_not_stored(
    bank: Bank, cases: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "MIN_SECONDS", 60.0)
    stage_ctx = at_work(bank, cases)
    rows_of(stage_ctx, Counting())
    assert not stored(stage_ctx)


def test_single_part_is_not_stored(bank: Bank, cases: Stage) -> None:
    stage_ctx = at_work(bank, cases, batch_size=8)
    rows_of(stage_ctx, Counting())
    assert not stored(stage_ctx)


def test_helper_computes_the_last_parts(bank: Bank, cases: Stage) -> None:
    owner, helper = Counting(), Counting()
    parts_of_owner = in_parts(at_work(bank, cases), owner.prepare)
    next(parts_of_owner)
    assert compute_free_parts(at_work(bank, cases), helper.prepare)
    assert not compute_free_parts(at_work(bank, cases), helper.prepare)
    assert [rows.start for rows, _ in parts_of_owner] == [4]
    assert (owner.done, helper.done) == ([(0, 4)], [(4, 8)])


def test_part_a_helper_fails_at_is_the_owners(bank: Bank, cases: Stage) -> None:
    dying, second, owner = Counting(last=4), Counting(), Counting()
    with pytest.raises(KeyboardInterrupt):
        compute_free_parts(at_work(bank, cases), dying.prepare)
    assert compute_free_parts(at_work(bank, cases), second.prepare)
    assert second.done == [(0, 4)]
    assert rows_of(at_work(bank, cases), owner) == list(range(8))
    assert owner.done == [(4, 8)]


def test_single_part_has_no_helper(bank: Bank, cases: Stage) -> None:
    assert not compute_free_parts(at_work(bank, cases, batch_size=8), Counting().prepare)


@pytest.mark.parametrize(("count", "last"), [(1, (0, 1)), (8, (0, 8)), (9, (8, 9))])
def test_parts_cover_all_cases(count: int, last: tuple[int, int]) -> None:
    rows = cut(slice(0, count), 2)
    assert [i for part in rows for i in range(count)[part]] == list(range(count))
    assert (rows[-1].start, rows[-1].stop) == last


def test_noise_does_not_depend_on_parts() -> None:
    ctx = gvr.Context(torch.device("cpu"), seed=3, batch_size=3)
    shape = (1, 5, 5)
    complete = list(Noise(ctx).of(slice(0, 10), shape))
    assert len(complete) == DRAWS
    assert complete[0].unique().numel() > 200
    assert not torch.equal(complete[0], complete[1])
    noise = Noise(ctx)
    for rows in (slice(0, 4), slice(4, 10), slice(7, 9), slice(0, 1), slice(3, 10)):
        for drawn, all_of_it in zip(noise.of(rows, shape), complete, strict=True):
            assert torch.equal(drawn, all_of_it[rows])


SOURCE: Any = None  # read by metrics that compare cases alone


def test_metric_failing_once_has_no_score() -> None:
    parts: list[Any] = [
        (slice(0, 2), {}),
        (slice(2, 4), {"failed:pixel_ap": np.array(["pixel_ap: no mask"])}),
    ]
    assert case_values(metric("pixel_ap"), SOURCE, parts) == (None, "pixel_ap: no mask")
    assert case_values(metric("pointing_hit"), SOURCE, parts) == (None, "")


def test_parts_without_values_are_nan() -> None:
    parts = [(slice(0, 2), {"values:pixel_ap": np.array([0.5, 1.0])}), (slice(2, 5), {})]
    values, _ = case_values(metric("pixel_ap"), SOURCE, parts)
    assert values is not None
    np.testing.assert_array_equal(values, [0.5, 1.0, np.nan, np.nan, np.nan])
    assert case_values(metric("pointing_hit"), SOURCE, parts)[0] is None


def metric(name: str) -> Any:
    return next(single for single in METRICS if single.name == name)


def run(home: Path, *more: str, explainer: list[str], groups: tuple[str, ...]) -> Path:
    """Run a tiny spec in parts."""
    typed = command(
        "--cache-dir", f"{home}/cache", "--out", f"{home}/run", *IN_PARTS, *more,
        explainer=explainer, metrics=groups,
    )  # fmt: skip
    done = CliRunner().invoke(app, typed, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return home / "run"


def told_by(folder: Path) -> list[dict[str, Any]]:
    """Records without what a clock says."""
    return [
        {name: value for name, value in record.items() if name != "seconds"}
        for record in records_of(folder)
        if record["metric"] not in CLOCKS
    ]


def test_run_killed_between_parts_resumes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    packages: Packages,
    use_packages: Callable[[], None],
) -> None:
    monkeypatch.setattr(parts, "MIN_SECONDS", 0.0)
    packages.explainer("dropping", "dropping", DROPPING)
    use_packages()
    expected = {"explainer": ["dropping", "gvr:steps=3"], "groups": ("truth", "validity", "sanity")}
    fuse = tmp_path / "fuse"
    monkeypatch.setenv("FUSE", str(fuse))
    complete = told_by(run(tmp_path / "whole", **expected))
    fuse.write_text("")
    typed = command(
        "--cache-dir", f"{tmp_path}/killed/cache", "--out", f"{tmp_path}/killed/run", *IN_PARTS,
        explainer=expected["explainer"], metrics=expected["groups"],
    )  # fmt: skip
    with pytest.raises(KilledError):
        CliRunner().invoke(app, typed, catch_exceptions=False)
    assert list((tmp_path / "killed/cache/explanations").glob("dropping-*/work/checkpoint-0-4-*"))
    fuse.unlink()
    assert told_by(run(tmp_path / "killed", **expected)) == complete


def test_comparing_cases_ignores_their_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "MIN_SECONDS", 0.0)
    expected = {"explainer": ["edge", "random"], "groups": ("truth",)}
    in_parts = told_by(run(tmp_path / "parts", **expected))
    whole = told_by(run(tmp_path / "whole", "--batch-size", "10", **expected))
    compared = [m.name for m in METRICS if (m.group, m.over) == ("truth", "comparison")]
    for one, other in zip(in_parts, whole, strict=True):
        if one["metric"] in compared:
            assert one["value"] == pytest.approx(other["value"], abs=1e-9)
            assert one["n"] == other["n"] > 1
    assert {record["metric"] for record in whole} >= set(compared)


class KilledError(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


DROPPING = (
    "import os, test_parts; n = getattr(ctx, 'asked', 0); ctx.asked = n + len(x)\n"
    "        if n >= 7 and os.path.exists(os.environ['FUSE']): raise test_parts.KilledError\n"
    "        return gvr.Explanation(attribution=x.mean(1))"
)
