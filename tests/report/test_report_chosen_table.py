"""One table of chosen scores and explainers."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_run import SOME, record, whole_scoreboard, write_whole_run
from typer.testing import CliRunner

from gvr_bench.cli.main import app
from gvr_bench.results.case_scores import RunValues

CHOICE = ("--columns", "oracle_validity,pixel_ap", "--explainer", "saliency,gvr")


def typed(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["report", *map(str, words)])
    return done.exit_code, done.stdout, done.stderr


def test_choice_keeps_the_order_of_names(ranked: Path) -> None:
    code, text, _ = typed(ranked, *CHOICE, "--format", "markdown")
    assert code == 0
    head, _, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in head.split("|")[1:-1]] == [
        "explainer", "oracle validity ↑", "pixel AP ↑",
    ]  # fmt: skip
    assert [row.split("|")[1].strip() for row in rows] == ["saliency", "gvr"]
    assert rows[0].split("|")[2].strip() == "n/a"


def test_latex_is_one_booktabs_table(ranked: Path) -> None:
    code, text, _ = typed(ranked, *CHOICE, "--format", "latex")
    assert code == 0
    assert text.count("\\begin{table}") == text.count("\\toprule") == 1
    assert "\\textbf{0.853}\\textsuperscript{1} {\\scriptsize [0.831, 0.876]}" in text


def test_plus_minus_is_half_the_interval(ranked: Path) -> None:
    _, text, _ = typed(ranked, *CHOICE, "--format", "latex", "--interval", "pm")
    assert "\\textbf{0.853}\\textsuperscript{1} $\\pm$ 0.023" in text


def test_csv_has_a_line_per_explainer(ranked: Path) -> None:
    _, text, _ = typed(ranked, *CHOICE, "--format", "csv")
    saliency, gvr = csv.DictReader(io.StringIO(text))
    assert (saliency["explainer"], saliency["oracle_validity"]) == ("saliency", "")
    ends = float(gvr["pixel_ap_low"]), float(gvr["pixel_ap"]), float(gvr["pixel_ap_high"])
    assert ends == pytest.approx((0.831, 0.853, 0.876), abs=5e-4)
    assert gvr["pixel_ap_n"] == "100"


def test_several_models_share_the_table(ranked: Path, tmp_path: Path) -> None:
    records, values, protocols = whole_scoreboard(n=30, limit=30, metrics=SOME)
    mlp = {(w._replace(head="mlp"), m): v for (w, m), v in values.values.items()}
    records = [dataclasses.replace(r, head="mlp") for r in records]
    other = write_whole_run(tmp_path / "b", (records, RunValues(mlp), protocols))
    _, text, _ = typed(ranked, other, *CHOICE, "--format", "csv")
    rows = [(row["model"][-6:], row["explainer"]) for row in csv.DictReader(io.StringIO(text))]
    assert rows == [
        ("linear", "saliency"), ("linear", "gvr"), (" · mlp", "saliency"), (" · mlp", "gvr"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--columns", "pixel_app", "--format", "csv"), "no score 'pixel_app'; did you mean"),
        (("--explainer", "salency", "--format", "csv"), "no explainer 'salency'; did you mean"),
        (("--columns", "pixel_ap"), "need --format latex, markdown, csv or json"),
    ],
)
def test_unknown_names_are_one_line(ranked: Path, words: tuple[str, ...], message: str) -> None:
    code, out, error = typed(ranked, *words)
    assert (code, out) == (2, "")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["=1+1", "@SUM(A1)"])
def test_chosen_csv_has_no_formulas(make_run: Callable[..., Path], name: str) -> None:
    folder = make_run(records=[record(explainer=name)], n=1, size=8)
    _, text, _ = typed(folder, "--columns", "pixel_ap", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["explainer"] == f"'{name}"
