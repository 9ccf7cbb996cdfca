"""Whole runs, tiny ones: what is computed, what is reused, what is said of what failed."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from tiny import FAST, Packages, command, outcomes_of, records_of
from typer.testing import CliRunner

from gvr_bench.cli.main import app
from gvr_bench.config.spec import build_spec
from gvr_bench.core.interrupts import Stop
from gvr_bench.metrics import GROUPS
from gvr_bench.metrics import METRICS as EVERY
from gvr_bench.pipeline.run import RunRequest, run_request
from gvr_bench.registry.registry import installed
from gvr_bench.results.records import Record

DEFAULT = {p.name for p in installed().plugins("explainer") if p.selection == "default"}
METRICS = [metric for metric in EVERY if metric.group in FAST]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run of the default explainers, `first`, and its cache."""
    home = tmp_path_factory.mktemp("home")
    arguments = command(
        "--cache-dir", f"{home}/cache", "--out", f"{home}/first", explainer="default"
    )
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return home


@pytest.fixture
def again(home: Path, cli) -> Callable[..., Path]:
    """Run in the cache of `home`; return the run's folder."""

    def run(*more: str, code: int = 0, **choices: str | list[str]) -> Path:
        out = Path("run").resolve()
        done = cli(*command("--cache-dir", f"{home}/cache", "--out", str(out), *more, **choices))
        assert done.code == code, done
        return out

    return run


def times(cache: Path) -> dict[Path, int]:
    """When each value was written."""
    files = (p for p in cache.rglob("*") if p.is_file() and p.parent.name != "locks")
    return {file: file.stat().st_mtime_ns for file in files}


def test_run_folder_is_complete(home: Path) -> None:
    files = {path.name for path in (home / "first").iterdir()}
    assert files >= {"records.jsonl", "spec.toml", "environment.json", "cases.h5", "index.html"}
    assert set(outcomes_of(home / "first")) == {"done"}


def test_cells_have_value_or_reason(home: Path) -> None:
    records = records_of(home / "first")
    assert {r["explainer"] for r in records} == {None, *DEFAULT}
    for r in records:
        assert r.keys() == {field.name for field in dataclasses.fields(Record)}
        assert r["status"] in ("ok", "n/a"), r
        assert (r["value"] is None) == (r["status"] == "n/a") == bool(r["reason"]), r
        if r["status"] == "ok":
            assert r["low"] <= r["value"] <= r["high"]
            assert 1 <= r["n"] <= (32 if r["explainer"] is None else 4)


def test_seconds_are_of_the_scoring_stage(home: Path) -> None:
    stages = json.loads((home / "first" / "environment.json").read_text())["stages"]
    seconds = {stage["key"]: round(stage["seconds"], 3) for stage in stages}
    records = records_of(home / "first")
    assert [r["seconds"] for r in records] == [seconds[r["keys"][0]] for r in records]


def test_records_carry_the_explainer_role(home: Path) -> None:
    roles = {r["explainer"]: r["role"] for r in records_of(home / "first")}
    assert roles.pop(None) is None
    groups = {role: {e for e in roles if roles[e] == role} for role in roles.values()}
    assert groups["control"] == {"random", "edge", "intensity", "template", "adversarial",
                                 "nearest-unlike", "class-shift"}  # fmt: skip
    assert groups["counterfactual"] == {"gvr", "gvr-robust", "latent-shift"}
    assert groups.keys() == {"control", "counterfactual", "attribution"}


def test_every_explainer_has_every_metric(home: Path) -> None:
    actual: dict[str, set[str]] = {}
    for r in records_of(home / "first"):
        if r["explainer"]:
            actual.setdefault(r["explainer"], set()).add(r["metric"])
    assert list(actual.values()) == [{metric.name for metric in METRICS}] * len(actual)


def test_values_lie_where_their_metric_says(home: Path) -> None:
    limits = {metric.name: (metric.lowest, metric.highest) for metric in METRICS}
    for r in records_of(home / "first"):
        if r["value"] is not None:
            low, high = limits.get(r["metric"], (0, math.inf))
            assert low <= r["value"] <= high, r


def test_request_gives_folder_without_page(home: Path, tmp_path: Path) -> None:
    spec = build_spec(home / "first" / "spec.toml", {}, {})
    request = RunRequest(spec, tmp_path / "run", home / "cache", device="cpu")
    result = run_request(request, Stop(), Console(quiet=True))
    assert result is not None
    assert (result.folder, result.failed) == (tmp_path / "run", False)
    assert {outcome.status for outcome in result.outcomes.values()} == {"cached"}
    assert (result.folder / "records.jsonl").exists()
    assert not (result.folder / "index.html").exists()


def test_second_run_computes_nothing(home: Path, again) -> None:
    before = times(home / "cache")
    run = again(explainer="default")
    assert set(outcomes_of(run)) == {"cached"}
    assert times(home / "cache") == before
    assert (run / "records.jsonl").read_text() == (home / "first" / "records.jsonl").read_text()


def test_spec_of_a_run_repeats_it(home: Path, cli) -> None:
    spec = home / "first" / "spec.toml"
    done = cli("run", spec, "--cache-dir", home / "cache", "--out", "run", "--cached-only")
    assert done.code == 0, done
    assert records_of(Path("run")) == records_of(home / "first")


def test_recompute_one_explainer_only(home: Path, again) -> None:
    before = times(home / "cache")
    run = again("--recompute", "saliency", explainer=["saliency", "edge"])
    assert outcomes_of(run)["done"] == ["explanations saliency", *["scores saliency"] * len(FAST)]
    moved = {path.parent.name.split("-")[0] for path, t in times(home / "cache").items()
             if before.get(path) != t}  # fmt: skip
    assert moved == {"saliency"}


def test_recompute_kind_with_its_dependents(again) -> None:
    run = again("--recompute", "head")
    assert outcomes_of(run)["done"] == [
        "head linear", "prediction linear", "explanations saliency",
        *["scores saliency"] * len(FAST),
    ]  # fmt: skip


def test_recomputed_value_is_the_same(home: Path, again) -> None:
    def maps() -> list[bytes]:
        folder = next((home / "cache" / "explanations").glob("saliency-*"))
        import h5py

        with h5py.File(folder / "explanations.h5") as file:
            return [file["attribution"][()].tobytes(), file["prediction"][()].tobytes()]

    before = maps()
    again("--recompute", "generator")
    assert maps() == before


def test_batch_size_changes_only_rounding(home: Path, again) -> None:
    run = again(
        "--batch-size", "1", "--recompute", "explanations", explainer=["saliency", "random"]
    )
    old = {(r["explainer"], r["metric"]): r for r in records_of(home / "first")}
    for r in records_of(run):
        if r["status"] == "ok" and r["metric"] not in {"seconds_per_image", "peak_memory_mb"}:
            expected = old[r["explainer"], r["metric"]]["value"]
            assert r["value"] == pytest.approx(expected, rel=1e-5, abs=1e-5), r["metric"]


def test_json_is_one_document_on_stdout(home: Path, cli) -> None:
    done = cli(*command("--cache-dir", f"{home}/cache", "--out", "run", "--json"))
    assert done.code == 0
    assert json.loads(done.out)["tables"]


def test_seeds_and_heads_multiply_out(home: Path, again) -> None:
    heads = ["linear:steps=20", "mlp:steps=20"]
    run = again("--seed", "0", "--seed", "1", head=heads, explainer="edge")
    records = records_of(run)
    actual = {(r["head"], r["seed"]) for r in records}
    assert actual == {(head, seed) for head in ("linear", "mlp") for seed in (0, 1)}
    assert len(outcomes_of(run)["cached"]) == 8 + len(FAST)  # seed 0 with the linear head was there
    auroc = {(r["head"], r["seed"]): r["value"] for r in records if r["metric"] == "auroc"}
    assert len(set(auroc.values())) > 2


def test_two_seeds_share_one_table(home: Path, cli) -> None:
    for seed in ("0", "1"):
        out = command("--cache-dir", f"{home}/cache", "--out", f"run-{seed}", "--seed", seed)
        assert cli(*out).code == 0
    done = cli("report", "run-0", "run-1", "--all-metrics", "--out", "both.html")
    assert done.code == 0
    assert "eans of 2 seeds" in done.out
    assert "protocol 1" not in done.out
    assert "eans of 2 seeds" in Path("both.html").read_text(encoding="utf-8")


def test_nested_cases_share_a_table(home: Path, cli) -> None:
    for limit in ("4", "3"):
        typed = command("--cache-dir", f"{home}/cache", "--out", f"run-{limit}")
        typed[typed.index("--max-cases") + 1] = limit
        assert cli(*typed).code == 0
    done = cli("report", "run-4", "run-3")
    assert "Not comparable" not in done.out
    (cases,) = re.findall(r"; \d cases?\.", cli("report", "run-3").out)  # that the model predicts
    assert cases in done.out
    assert Path("comparison.html").is_file()


def test_every_score_is_printed_on_demand(home: Path, cli) -> None:
    brief = cli("report", home / "first").out
    complete = cli("report", home / "first", "--all-metrics").out
    assert len(complete) > len(brief)
    assert "steps" in complete


def test_two_settings_are_two_rows(again) -> None:
    run = again(explainer=["saliency", "saliency:absolute=false"])
    named = {r["explainer"] for r in records_of(run)} - {None}
    assert named == {"saliency", "saliency:absolute=false"}


FAILURES = {
    "raises": ("raise ValueError('no\\nway')", "failed", "ValueError: no (traceback in "),
    "unsupported": ("raise gvr.Unsupported('needs colour')", "n/a", "needs colour"),
    "usage": ("raise gvr.UsageError('window is too large')", "failed", "window is too large"),
    "nothing": ("return None", "failed", "explainer 'made': returned NoneType, not an Exp"),
    "shape": (
        "return gvr.Explanation(attribution=x)",
        "failed",
        "explainer 'made': attribution has shape (2, 1, 32, 32), not (2, 32, 32)",
    ),
    "nan": (
        "return gvr.Explanation(attribution=x[:, 0] * float('nan'))",
        "failed",
        "explainer 'made': attribution contains NaN or infinity",
    ),
}


@pytest.mark.parametrize(("body", "status", "reason"), FAILURES.values(), ids=FAILURES.keys())
def test_failing_explainer_leaves_others_scored(
    again, packages: Packages, use_packages, body: str, status: str, reason: str
) -> None:
    packages.explainer("made-up", "made", body)
    use_packages()
    run = again(explainer=["made", "saliency"], code=1 if status == "failed" else 0)
    rows = [r for r in records_of(run) if r["explainer"] == "made"]
    assert {r["metric"] for r in rows} == {metric.name for metric in METRICS}
    assert {r["status"] for r in rows} == {status}
    assert all(r["reason"].startswith(reason) and "\n" not in r["reason"] for r in rows)
    other = [r for r in records_of(run) if r["explainer"] == "saliency"]
    assert "ok" in {r["status"] for r in other}


def broken(data: object) -> None:
    raise RuntimeError("no idea")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (broken, "pixel_ap: RuntimeError: no idea"),
        (
            lambda data: data.attribution,
            "pixel_ap: ValueError: returned shape (1, 32, 32), not",
        ),
        (lambda data: "0.9", "pixel_ap: AttributeError"),
    ],
)
def test_failing_metric_is_one_cell(
    again, monkeypatch: pytest.MonkeyPatch, function, reason: str
) -> None:
    groups = [
        dataclasses.replace(
            group,
            metrics=[
                dataclasses.replace(m, function=function) if m.name == "pixel_ap" else m
                for m in group.metrics
            ],
        )
        for group in GROUPS
    ]
    before = {r["metric"]: r["value"] for r in records_of(again()) if r["explainer"]}
    with monkeypatch.context() as patch:
        patch.setattr("gvr_bench.pipeline.steps.metric_inputs.GROUPS", groups)
        rows = {
            r["metric"]: r for r in records_of(again("--recompute", "scores")) if r["explainer"]
        }
    (cell,) = (rows.pop("pixel_ap"),)
    assert (cell["status"], cell["value"]) == ("n/a", None)
    assert cell["reason"].startswith(reason)
    assert {metric: row["value"] for metric, row in rows.items()} == {
        metric: before[metric] for metric in rows
    }
    again("--recompute", "scores")  # the cache is shared with other tests


def test_failure_is_retried_next_time(again, packages: Packages, use_packages) -> None:
    packages.explainer("made-up", "made", "import os; return [][not os.environ.get('X')]")
    use_packages()
    again(explainer="made", code=1)
    run = again(explainer="made", code=1)
    assert outcomes_of(run)["failed"] == ["explanations made"]


def test_explainer_without_library_is_a_row(again, packages: Packages, use_packages) -> None:
    packages.explainer("needy", "needs", "pass", needs="('no_such_library',)")
    use_packages()
    run = again(explainer="default", code=1)
    rows = [r for r in records_of(run) if r["explainer"] == "needs"]
    assert {r["status"] for r in rows} == {"failed"}
    assert "needs no_such_library: pip install no_such_library" in rows[0]["reason"]
    assert outcomes_of(run)["failed"] == ["explanations needs"]


def test_raising_listener_is_a_warning(home: Path, cli, packages: Packages, use_packages):
    packages.add(
        "noisy",
        "import gvr_bench.api as gvr\n\n@gvr.hookimpl\ndef gvr_stage_finished(kind):\n"
        "    raise RuntimeError(f'I do not like [{kind}]')\n",
    )
    use_packages()
    done = cli(*command("--cache-dir", f"{home}/cache", "--out", "run"))
    assert done.code == 0
    assert "RuntimeError: I do not like [head]" in done.err


def test_diverging_training_fails_with_its_step(again) -> None:
    run = again(encoder="conv:steps=3,width=4,learning_rate=1e38", code=1)
    outcomes = outcomes_of(run)
    assert outcomes["failed"] == ["encoder conv"]
    assert "head linear" in outcomes["skipped"]
    reasons = {r["reason"] for r in records_of(run)}
    assert len(reasons) == 1
    assert " at step " in reasons.pop()


def test_damaged_value_is_computed_again(cli, tmp_path: Path) -> None:
    assert cli(*command("--out", "run")).code == 0
    (weights,) = (tmp_path / "cache" / "head").glob("*/weights.safetensors")
    complete = weights.read_bytes()
    weights.write_bytes(b"damaged")
    done = cli(*command("--out", "run", explainer="edge"))
    assert done.code == 0
    (warning,) = (line for line in done.err.splitlines() if line.startswith("warning"))
    assert "head linear is damaged" in warning
    assert weights.read_bytes() == complete


@pytest.mark.usefixtures("drawn_figures")
@pytest.mark.parametrize(
    ("dataset", "head"),
    [
        ("digits:size=16", "linear:steps=20"),
        ("phantom:task=findings,size=32,train=64,validation=16,test=32", "residual:steps=20"),
    ],
)
def test_other_tasks_run_through_all_stages(again, dataset: str, head: str) -> None:
    run = again(dataset=dataset, head=head, explainer=["gvr:steps=3", "saliency"])
    assert set(outcomes_of(run)) == {"done"}
    auroc = [r for r in records_of(run) if r["metric"] == "auroc"]
    assert {r["output"] for r in auroc} > {"all"}
