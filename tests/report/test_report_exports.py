from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_run import missing, record

from gvr_bench.report.exports.tables import export

Make = Callable[..., Path]


@pytest.fixture
def small(make_run: Make) -> Path:
    """Two explainers and a control, one of the cells failed."""
    steps = {"metric": "steps", "better": "down"}
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
    assert export([small], "md") == (
        "### Explainers of wgan\\_gp · conv · linear on phantom\n"
        "\n"
        "#### Ground truth\n"
        "\n"
        "| explainer | pixel AP ↑ |\n"
        "| --- | ---: |\n"
        "| gvr | **0.884** (0.844 to 0.924) |\n"
        "| my\\_map | 0.300 (0.200 to 0.400) |\n"
        "| edge (control) | 0.250 |\n"
        "\n"
        "95 % intervals in brackets; n = 100; best of a column in bold.\n"
        "\n"
        "#### Validity\n"
        "\n"
        "| explainer | steps ↓ |\n"
        "| --- | ---: |\n"
        "| gvr | 38.2 (36.0 to 40.0) |\n"
        "| my\\_map | failed |\n"
        "\n"
        "95 % intervals in brackets; n = 100.\n"
        "\n"
        "- failed: my\\_map: 50 % \\| &lt;b&gt; &amp; \\$x\\_1\\$\n"
    )


def test_latex_of_a_small_run(small: Path) -> None:
    caption = "\\caption{Explainers of wgan\\_gp $\\cdot$ conv $\\cdot$ linear on phantom: "
    begin = "\\begin{table}\n\\centering\n\\setlength{\\belowcaptionskip}{6pt}\n"
    sizes = "\\footnotesize\n\\setlength{\\tabcolsep}{3pt}\n"
    assert export([small], "latex") == (
        f"{begin}"
        f"{caption}Ground truth. "
        "95 \\% intervals in brackets; n = 100; best of a column in bold.}\n"
        "\\label{tab:scoreboard-truth}\n"
        f"{sizes}"
        "\\begin{tabular}{lr}\n"
        "\\toprule\n"
        "explainer & pixel AP $\\uparrow$ \\\\\n"
        "\\midrule\n"
        "gvr & \\textbf{0.884} \\\\\n"
        " & {\\scriptsize [0.844, 0.924]} \\\\\n"
        "\\addlinespace\n"
        "my\\_map & 0.300 \\\\\n"
        " & {\\scriptsize [0.200, 0.400]} \\\\\n"
        "\\midrule\n"
        "edge (control) & 0.250 \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "\\end{table}\n"
        f"{begin}"
        f"{caption}Validity. 95 \\% intervals in brackets; n = 100.}}\n"
        "\\label{tab:scoreboard-validity}\n"
        f"{sizes}"
        "\\begin{tabular}{lr}\n"
        "\\toprule\n"
        "explainer & steps $\\downarrow$ \\\\\n"
        "\\midrule\n"
        "gvr & 38.2 \\\\\n"
        " & {\\scriptsize [36.0, 40.0]} \\\\\n"
        "\\addlinespace\n"
        "my\\_map & failed \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "\\end{table}\n"
        "% failed: my\\_map: "
        "50 \\% \\textbar{} \\textless{}b\\textgreater{} \\& \\$x\\_1\\$\n"
    )


def test_csv_of_a_small_run_has_unrounded_numbers(small: Path) -> None:
    about = "Explainers of wgan_gp · conv · linear on phantom,scoreboard,phantom"
    about += ",wgan_gp · conv · linear,all"
    assert export([small], "csv").splitlines() == [
        "table,kind,dataset,model,finding,explainer,control,group,metric,better,unit,"
        "value,low,high,n,seeds,rank,clear,separated,best,status,reason,row,source",
        f"{about},gvr,False,truth,pixel_ap,up,,0.8841,0.844,0.924,100,0,,,,True,ok,,,",
        f"{about},gvr,False,validity,steps,down,,38.2,36.0,40.0,100,0,,,,False,ok,,,",
        f"{about},my_map,False,truth,pixel_ap,up,,0.3,0.2,0.4,100,0,,,,False,ok,,,",
        f"{about},my_map,False,validity,steps,down,,,,,0,,,,,False,failed,50 % | <b> & $x_1$,,",
        f"{about},edge,True,truth,pixel_ap,up,,0.25,,,100,0,,,,False,ok,,,",
    ]


def test_json_holds_every_cell(small: Path) -> None:
    (table,) = json.loads(export([small], "json"))["tables"]
    assert [(c["metric"], c["group"]) for c in table["columns"]] == [
        ("pixel_ap", "truth"), ("steps", "validity"),
    ]  # fmt: skip
    assert table["rows"][0]["cells"][0] == {
        "value": 0.8841, "low": 0.844, "high": 0.924, "n": 100, "seeds": [0], "status": "ok",
        "reason": "", "best": True, "rank": None, "clear": None,
    }  # fmt: skip
    assert table["rows"][1]["cells"][1]["status"] == "failed"


def test_ranks_and_what_they_are_worth_are_in_every_format(ranked: Path) -> None:
    markdown = export([ranked], "md")
    assert "| gvr | **0.853** #1 (0.831 to 0.876) |" in markdown
    assert "| rank accuracy ↑ † |" in markdown
    assert "† no explainer does better than every control" in markdown
    latex = export([ranked], "latex")
    assert "\\textbf{0.853}\\textsuperscript{1}" in latex
    assert "{\\scriptsize [0.831, 0.876]}" in latex
    rows = list(csv.DictReader(io.StringIO(export([ranked], "csv"))))
    found = {(r["explainer"], r["metric"]): r for r in rows}
    told = found["gvr", "pixel_ap"]
    assert (told["rank"], told["clear"], told["separated"]) == ("1", "True", "True")
    assert found["edge", "pixel_ap"]["clear"] == ""
    table = json.loads(export([ranked], "json"))["tables"][1]
    assert table["rows"][0]["cells"][0]["rank"] == 1


@pytest.mark.parametrize("format_", ["md", "csv", "json", "latex"])
def test_the_same_run_gives_the_same_bytes(run: Path, format_: str) -> None:
    assert export([run], format_) == export([run, run], format_)  # type: ignore[arg-type]


def test_a_column_that_applies_to_nobody_is_in_csv_and_json_only(make_run: Make) -> None:
    missed = missing("n/a", "no masks are known", metric="iou_otsu")
    folder = make_run(records=[record(), missed], n=1, size=8)
    for format_, heading in (("md", "| explainer | pixel AP ↑ |"), ("latex", "explainer & pixel")):
        text = export([folder], format_)  # type: ignore[arg-type]
        assert heading in text
        assert text.count("IoU, Otsu") == 1
        assert "not shown: IoU, Otsu (no masks are known)" in text
    (table,) = json.loads(export([folder], "json"))["tables"]
    assert [column["metric"] for column in table["columns"]] == ["pixel_ap", "iou_otsu"]
    assert ",iou_otsu,up,,,,,0,,,,,False,n/a,no masks are known,," in export([folder], "csv")


def test_a_time_that_was_taken_once_keeps_its_interval_in_csv_only(make_run: Make) -> None:
    once = record(metric="seconds_per_image", better="down", value=0.25, low=0.25, high=0.25)
    folder = make_run(records=[once], n=1, size=8)
    assert "| gvr | 0.25 |" in export([folder], "md")
    assert ",0.25,0.25,0.25," in export([folder], "csv")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "=cmd|' /C calc'!A0"])
def test_no_spreadsheet_takes_a_name_for_a_formula(make_run: Make, name: str) -> None:
    folder = make_run(records=[record(explainer=name, value=-0.5, better="-")], n=1, size=8)
    (row,) = csv.DictReader(io.StringIO(export([folder], "csv")))
    assert row["explainer"] == f"'{name}"
    assert (row["value"], row["better"]) == ("-0.5", "-")
