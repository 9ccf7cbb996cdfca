"""Metrics of plugins in a run: scored, tested and shown like ours."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import h5py
import pytest
from tiny import Packages, command, outcomes_of, records_of

from gvr_bench.registry.registry import Registry
from gvr_bench.results.case_scores import read_values

BRIGHTEST = "return data.attribution.abs().flatten(1).amax(1).double() * 0.1"
ANY = "fooled_by = formula = source = 'made up'; better, highest = 'down', float('inf')"
HEADINGS = ("made", "pixel AP")


def of_metric(run: str | Path, metric: str) -> list[dict]:
    return [row for row in records_of(Path(run)) if row["metric"] == metric]


@pytest.fixture
def made(packages: Packages, use_packages) -> Packages:
    packages.metric("gvr-made", "made", BRIGHTEST, ANY)
    use_packages()
    return packages


def test_metric_is_scored_and_shown_like_ours(cli, made: Packages) -> None:
    words = command("--out", "run", metrics=["pixel-ap", "made"], explainer=["saliency", "random"])
    done = cli(*words)
    assert done.code == 0, done
    assert all(heading in done.out for heading in HEADINGS)
    shown = {row["metric"] for row in records_of(Path("run")) if row["explainer"]}
    assert shown == {"pixel_ap", "made"}
    for row in of_metric("run", "made"):
        assert row["status"] == "ok"
        assert row["better"] == "down"
        assert row["low"] <= row["value"] <= row["high"]
    assert {metric for _, metric in read_values(Path("run/values.h5")).values} == shown
    page = Path("run/index.html").read_text(encoding="utf-8")
    assert 'id="metric-made"' in page
    assert "Fooled by: Made up." in page
    assert cli("export", "run", "--only", "tables").code == 0
    for suffix in ("csv", "tex", "json"):
        files = list(Path("run/export").rglob(f"*.{suffix}"))
        assert any("made" in file.read_text(encoding="utf-8") for file in files), suffix


def test_edited_metric_alone_is_computed_again(
    cli, made: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = command(metrics=["truth", "made"])
    assert cli(*words, "--out", "first").code == 0
    source = made.folder / "gvr_made_metric.py"
    source.write_text(source.read_text().replace("* 0.1", "* 0.2"))
    monkeypatch.delitem(sys.modules, "gvr_made_metric")  # as in another process
    assert cli(*words, "--out", "second").code == 0
    before, after = (of_metric(run, "made")[0]["value"] for run in ("first", "second"))
    assert after == pytest.approx(2 * before)
    stages = json.loads(Path("second/environment.json").read_text())["stages"]
    computed = [stage["part"] for stage in stages if stage["status"] == "done"]
    assert computed == ["made"]


FAULTS = {
    "raise gvr.Unsupported('needs colour')": "needs colour",
    "raise ValueError('no idea')": "made-1: ValueError: no idea",
    "return [0.5] * len(data)": "made-2: returned list, not a tensor",
    "return data.attribution": "made-3: returned shape (1, 32, 32), not (1,); return one",
    "return torch.full((len(data),), torch.inf)": "made-4: returned infinity",
    "return torch.full((len(data),), 2.0)": "made-5: returned 2, outside of 0 to 1; declare",
    "data.image.mul_(0); return torch.zeros(len(data))": "made-6: changed x in place",
}


def test_faulty_metrics_are_one_cell_each(cli, packages: Packages, use_packages) -> None:
    names = [f"made-{number}" for number in range(len(FAULTS))]
    for name, body in zip(names, FAULTS, strict=True):
        packages.metric(f"gvr-{name}", name, body)
    use_packages()
    done = cli(*command("--out", "run", metrics=["truth", *names]))
    assert done.code == 0, done
    for name, reason in zip(names, FAULTS.values(), strict=True):
        (row,) = of_metric("run", name)
        assert (row["status"], row["value"]) == ("n/a", None)
        assert row["reason"].startswith(reason)
    assert of_metric("run", "pixel_ap")[0]["status"] == "ok"


def test_metric_sees_truth_and_explains_other_images(cli, packages: Packages, use_packages) -> None:
    body = (
        "assert data.mask.dtype == torch.bool and data.true_counterfactual is not None; "
        "again = data.explain(data.image, torch.arange(len(data))); "
        "return 1 - (again - data.attribution).abs().amax((1, 2)).double()"
    )
    packages.metric("gvr-made", "made", body)
    use_packages()
    assert cli(*command("--out", "run", metrics=["made"], explainer="smoothgrad")).code == 0
    (row,) = of_metric("run", "made")
    assert row["value"] == pytest.approx(1)


def test_unknown_metric_gets_suggestion(cli, made: Packages) -> None:
    for typed, meant in (("pixel_app", "pixel_ap"), ("thruth", "truth"), ("madde", "made")):
        assert cli(*command(metrics=[typed])).fault == (
            f"error: --metrics {typed}: no metric or group of this name; did you mean '{meant}'?"
        )


def test_unusable_declaration_is_one_line(cli, packages: Packages, use_packages) -> None:
    packages.metric("gvr-made", "made", BRIGHTEST, "better = 'higher'")
    use_packages()
    assert cli(*command(metrics=["made"])).fault == (
        "error: metric 'made': better is 'higher'; use one of up, down, -"
    )


def test_report_outlives_its_plugin(cli, made: Packages, monkeypatch) -> None:
    assert cli(*command("--out", "run", metrics=["made"])).code == 0
    monkeypatch.setattr("gvr_bench.registry.registry.installed", lambda: Registry([]))
    assert "made" in cli("report", "run").out


def test_single_metrics_come_from_their_group(cli) -> None:
    assert cli(*command("--out", "group", metrics=["truth"])).code == 0
    assert cli(*command("--out", "single", metrics=["pixel_ap"])).code == 0
    assert "done" not in outcomes_of(Path("single"))
    rows = [row for row in records_of(Path("single")) if row["explainer"]]
    assert rows == of_metric("group", "pixel_ap")


def test_metrics_see_predicted_cases_alone(cli, packages: Packages, use_packages) -> None:
    body = "return torch.full((len(data),), len(data) / 10)"
    packages.metric("gvr-made", "made", body)
    use_packages()
    assert cli(*command("--out", "run", metrics=["truth", "made"])).code == 0
    with h5py.File("run/cases.h5") as file:
        predicted = int(file["0/predicts_source"][:].sum())
        assert 0 < predicted < len(file["0/predicts_source"])
    (row,) = of_metric("run", "made")
    assert (row["n"], row["value"]) == (predicted, pytest.approx(predicted / 10))
