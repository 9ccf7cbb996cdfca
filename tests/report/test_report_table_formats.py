from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_run import missing, record

from gvr_bench.report.table_formats import export

Make = Callable[..., Path]


@pytest.fixture
def small(make_run: Make) -> Path:
    """Two explainers and a control, one of the cells failed."""
    steps = {"metric": "optimizer_steps", "better": "down"}
    return make_run(
        records=[
            record(explainer="gvr", value=0.8841, low=0.844, high=0.924),
            record(explainer="my_map", value=0.3, low=0.2, high=0.4),
            record(explainer="edge", value=0.25, low=None, high=None),
            record(explainer="gvr", value=38.2, low=36.0, high=40.0, **steps),
            missing("failed", "50 % | <b> & $x_1$", explainer="my_map", **steps),
        ],
        n=1,
        size=8,
    )


def test_markdown_of_a_small_run(small: Path) -> None:
    assert export([small], "markdown") == (
        "### Explainers of wgan\\_gp · conv · linear on phantom\n"
        "\n"
        "#### Ground truth\n"
        "\n"
        "| explainer      |                 pixel AP ↑ |\n"
        "|:---------------|---------------------------:|\n"
        "| gvr            | **0.884** (0.844 to 0.924) |\n"
        "| my\\_map        |     0.300 (0.200 to 0.400) |\n"
        "| edge (control) |                      0.250 |\n"
        "\n"
        "95 % confidence intervals in brackets; 100 cases. Bold: best of its column.\n"
        "\n"
        "#### Validity\n"
        "\n"
        "| explainer   |   optimizer steps ↓ |\n"
        "|:------------|--------------------:|\n"
        "| gvr         | 38.2 (36.0 to 40.0) |\n"
        "| my\\_map     |              failed |\n"
        "\n"
        "95 % confidence intervals in brackets; 100 cases.\n"
        "\n"
        "- failed: my\\_map: 50 % \\| &lt;b&gt; &amp; \\$x\\_1\\$\n"
    )


def test_latex_of_a_small_run(small: Path) -> None:
    latex = export([small], "latex")
    assert latex.startswith(
        "\\begin{table}\n"
        "\\centering\n"
        "\\caption{Explainers of wgan\\_gp $\\cdot$ conv $\\cdot$ linear on phantom: Ground truth. "
        "95 \\% confidence intervals in brackets; 100 cases. Bold: best of its column.}\n"
        "\\label{tab:scoreboard-truth}\n"
        "\\footnotesize\n"
        "\\begin{tabular}{lr}\n"
        "\\toprule\n"
        "explainer & pixel AP $\\uparrow$ \\\\\n"
        "\\midrule\n"
        "gvr & \\textbf{0.884} {\\scriptsize [0.844, 0.924]} \\\\\n"
        "my\\_map & 0.300 {\\scriptsize [0.200, 0.400]} \\\\\n"
        "edge (control) & 0.250 \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "\\end{table}\n"
    )
    assert latex.endswith(
        "% failed: my\\_map: 50 \\% \\textbar{} \\textless{}b\\textgreater{} \\& \\$x\\_1\\$\n"
    )


def test_csv_of_a_small_run(small: Path) -> None:
    about = "Explainers of wgan_gp · conv · linear on phantom,scoreboard,phantom"
    about += ",wgan_gp · conv · linear,all"
    reason = "50 % | <b> & $x_1$"
    steps = "validity,optimizer_steps,down,"
    assert export([small], "csv").splitlines() == [
        "table,kind,dataset,model,output,explainer,role,group,metric,better,unit,"
        "value,low,high,n,seeds,rank,clear,separated,best,passed,status,reason,row,source",
        f"{about},gvr,counterfactual,truth,pixel_ap,up,,0.8841,0.844,0.924,100,0,,,,True,,ok,,,",
        f"{about},gvr,counterfactual,{steps},38.2,36.0,40.0,100,0,,,,False,,ok,,,",
        f"{about},my_map,attribution,truth,pixel_ap,up,,0.3,0.2,0.4,100,0,,,,False,,ok,,,",
        f"{about},my_map,attribution,{steps},,,,0,,,,,False,,failed,{reason},,",
        f"{about},edge,control,truth,pixel_ap,up,,0.25,,,100,0,,,,False,,ok,,,",
    ]


@pytest.mark.parametrize("format_", ["markdown", "latex", "csv"])
def test_tests_are_words_in_every_format(make_run: Make, format_: str) -> None:
    about = {"metric": "randomised_head", "better": "-"}
    tested = [
        record(explainer="gvr", value=0.1, passed=True, **about),
        record(explainer="edge", value=1.0, passed=False, **about),
    ]
    text = export([make_run(records=tested, n=1, size=8)], format_)
    words = ("True,", "False,") if format_ == "csv" else ("not passed", "than maps of different")
    assert all(word in text for word in words)
    assert text.count("not passed") == (0 if format_ == "csv" else 1)


def test_json_holds_every_cell(small: Path) -> None:
    (table,) = json.loads(export([small], "json"))["tables"]
    assert [(c["metric"], c["group"]) for c in table["columns"]] == [
        ("pixel_ap", "truth"), ("optimizer_steps", "validity"),
    ]  # fmt: skip
    assert table["rows"][0]["cells"][0] == {
        "value": 0.8841, "low": 0.844, "high": 0.924, "n": 100, "seeds": [0], "status": "ok",
        "reason": "", "best": True, "rank": None, "clear": None, "decimals": None,
        "passed": None, "spans": "cases",
    }  # fmt: skip
    assert table["rows"][1]["cells"][1]["status"] == "failed"


def test_ranks_are_in_every_format(ranked: Path) -> None:
    markdown = export([ranked], "markdown")
    assert "**0.853** #1 (0.831 to 0.876) |" in markdown
    assert "mass accuracy ↑ † |" in markdown
    assert "†: no explainer beats all controls" in markdown
    latex = export([ranked], "latex")
    assert "\\textbf{0.853}\\textsuperscript{1}" in latex
    assert "{\\scriptsize [0.831, 0.876]}" in latex
    rows = list(csv.DictReader(io.StringIO(export([ranked], "csv"))))
    by_metric = {(r["explainer"], r["metric"]): r for r in rows}
    gvr = by_metric["gvr", "pixel_ap"]
    assert (gvr["rank"], gvr["clear"], gvr["separated"]) == ("1", "True", "True")
    assert by_metric["edge", "pixel_ap"]["clear"] == ""
    table = json.loads(export([ranked], "json"))["tables"][1]
    assert table["rows"][0]["cells"][0]["rank"] == 1


@pytest.mark.parametrize("format_", ["markdown", "csv", "json", "latex"])
def test_the_same_run_same_bytes(run: Path, format_: str) -> None:
    assert export([run], format_) == export([run, run], format_)  # type: ignore[arg-type]


def test_inapplicable_columns_are_data_only(make_run: Make) -> None:
    missed = missing("n/a", "no masks are known", metric="iou_otsu")
    folder = make_run(records=[record(), missed], n=1, size=8)
    for format_, heading in (
        ("markdown", "pixel AP ↑ |\n"),
        ("latex", "explainer & pixel AP $\\uparrow$ \\\\"),
    ):
        text = export([folder], format_)  # type: ignore[arg-type]
        assert heading in text
        assert text.count("IoU, Otsu") == 1
        assert "Not shown: IoU, Otsu (no masks are known)" in text
    (table,) = json.loads(export([folder], "json"))["tables"]
    assert [column["metric"] for column in table["columns"]] == ["pixel_ap", "iou_otsu"]
    assert ",iou_otsu,up,,,,,0,,,,,False,,n/a,no masks are known,," in export([folder], "csv")


def test_times_measured_once_have_no_interval(make_run: Make) -> None:
    once = record(metric="seconds_per_image", better="down", value=0.25, low=0.25, high=0.25)
    folder = make_run(records=[once], n=1, size=8)
    assert "0.25 (" not in export([folder], "markdown")
    assert ",0.25,,,100," in export([folder], "csv")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "=cmd|' /C calc'!A0"])
def test_csv_names_are_no_formulas(make_run: Make, name: str) -> None:
    folder = make_run(records=[record(explainer=name, value=-0.5, better="-")], n=1, size=8)
    (row,) = csv.DictReader(io.StringIO(export([folder], "csv")))
    assert row["explainer"] == f"'{name}"
    assert (row["value"], row["better"]) == ("-0.5", "-")
