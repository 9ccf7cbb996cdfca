from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_run import missing, record
from rich.console import Console

from gvr_bench.core.errors import DataError
from gvr_bench.report.data import load_report
from gvr_bench.report.html import render
from gvr_bench.report.published_numbers import published_tables
from gvr_bench.report.run import load
from gvr_bench.report.table_formats import export
from gvr_bench.report.terminal import show

Make = Callable[..., Path]

HEAD = """
name = "bnp"
title = "Heart failure <b>"
figures = "2017: Table 1"
text = "From one & a few."
"""

NUMBERS = """
[[published]]
row = "AUC"
column = "Seah et al. 2017"
value = 0.8375
metric = "auroc"
[[published]]
row = "1000 rationales"
column = "Seah et al. 2019"
value = 74
unit = "s"
metric = "seconds_per_image"
explainer = "gvr"
factor = 1000.0
[[published]]
row = "AUC"
column = "Seah et al. 2019"
value = 0.9
metric = "auroc"
[[published]]
row = "Readers"
column = "Seah et al. 2017"
value = 0.6
metric = "agreement"
"""

AUC = """
[[published]]
row = "AUC"
column = "us"
value = 0.5
metric = "auroc"
"""


@pytest.fixture
def folder(make_run: Make) -> Path:
    """A run with published numbers: two that it can be held against and one that it cannot."""
    path = make_run(
        records=[
            record(explainer=None, metric="auroc", value=0.95, low=0.9, high=0.97),
            record(explainer=None, metric="auroc", output="BNP", value=0.1),
            record(metric="seconds_per_image", value=0.005, low=0.004, high=0.006, n=93),
            record(metric="seconds_per_image", explainer="edge", value=9.0),
        ],
        n=1,
        size=8,
    )
    (path / "experiment.toml").write_text(HEAD + NUMBERS, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "cannot read .*experiment.toml: "),
        ('name = "bnp"', "experiment.toml: title = .*required"),
        ('titel = "x"' + HEAD, "titel = 'x': .*not permitted"),
        (HEAD + "published = 3", "published = 3: "),
        (HEAD + AUC.replace("0.5", '"0.5"'), r"published\.0\.value = '0.5': "),
        (HEAD + AUC.replace("0.5", "nan"), r"published\.0\.value = nan: "),
        (HEAD + AUC + "factor = 0", r"published\.0\.factor = 0: "),
        (HEAD + AUC + "[[published]]\nrow = 'b'", r"published\.1\.column = .*required"),
    ],
)
def test_malformed_experiments_are_one_line(make_run: Make, text: str, message: str) -> None:
    path = make_run(n=1, size=8)
    (path / "experiment.toml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert str(path / "experiment.toml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_binary_experiments_are_one_line(make_run: Make) -> None:
    path = make_run(n=1, size=8)
    (path / "experiment.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"cannot read .*experiment\.toml"):
        load(path)


def test_ordinary_runs_have_no_table(run: Path) -> None:
    assert published_tables([load(run)]) == []
    assert "Published numbers" not in render(run)


def test_without_numbers_only_a_masthead(make_run: Make) -> None:
    path = make_run(n=1, size=8)
    (path / "experiment.toml").write_text(HEAD, encoding="utf-8")
    page = render(path)
    assert "Heart failure &lt;b&gt;" in page
    assert 'id="published"' not in page


def test_rows_keep_order_and_scale(folder: Path) -> None:
    (table,) = published_tables([load(folder)])
    assert table.kind == "published"
    assert [c.metric for c in table.columns] == [
        "this run", "Seah et al. 2017", "Seah et al. 2019",
    ]  # fmt: skip
    assert {row.names[0]: [cell.value for cell in row.cells] for row in table.rows} == {
        "AUC": [0.95, 0.8375, 0.9],
        "1000 rationales (s)": [5.0, None, 74],
        "Readers": [None, 0.6, None],
    }
    ours = table.rows[1].cells[0]
    assert (ours.low, ours.high) == (4.0, 6.0)


def test_markdown_keeps_published_decimals(folder: Path) -> None:
    rows = [
        re.sub(" +", " ", line)
        for line in export([folder], "markdown").splitlines()
        if line.startswith("| ")
    ]
    assert rows[:4] == [
        "| result | this run | Seah et al. 2017 | Seah et al. 2019 |",
        "| AUC | 0.9500 (0.9000 to 0.9700) | 0.8375 | 0.9 |",
        "| 1000 rationales (s) | 5.00 (4.00 to 6.00) | – | 74 |",
        "| Readers | – | 0.6 | – |",
    ]


def test_csv_names_source_and_score(folder: Path) -> None:
    rows = [
        (r["row"], r["source"], r["metric"], r["explainer"], r["unit"], r["value"], r["n"])
        for r in csv.DictReader(io.StringIO(export([folder], "csv")))
        if r["kind"] == "published"
    ]
    assert rows == [
        ("AUC", "this run", "auroc", "", "", "0.95", "100"),
        ("AUC", "Seah et al. 2017", "auroc", "", "", "0.8375", "0"),
        ("AUC", "Seah et al. 2019", "auroc", "", "", "0.9", "0"),
        ("1000 rationales", "this run", "seconds_per_image", "gvr", "s", "5.0", "93"),
        ("1000 rationales", "Seah et al. 2019", "seconds_per_image", "gvr", "s", "74.0", "0"),
        ("Readers", "Seah et al. 2017", "agreement", "", "", "0.6", "0"),
    ]


def test_json_and_latex_agree(folder: Path) -> None:
    table = json.loads(export([folder], "json"))["tables"][0]
    assert table["kind"] == "published"
    assert ["explainer", "gvr"] in table["rows"][1]["facts"]
    latex = export([folder], "latex")
    assert "0.9500 {\\scriptsize [0.9000, 0.9700]} & 0.8375 & 0.9" in latex


def test_the_terminal_shows_the_table(folder: Path) -> None:
    stream = io.StringIO()
    show(load_report([folder]), Console(file=stream, width=80, _environ={}))
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert "Heart failure <b>: wgan_gp · conv · linear on phantom" in lines
    row = next(i for i, line in enumerate(lines) if line.startswith("AUC "))
    assert lines[row].split() == ["AUC", "0.9500", "0.8375", "0.9"]
    assert lines[row + 1].split() == ["0.9000", "to", "0.9700"]


def test_many_sources_make_two_pieces(make_run: Make) -> None:
    path = make_run(
        records=[record(explainer=None, metric="auroc", value=0.95, low=0.9, high=0.97)],
        n=1,
        size=8,
    )
    many = "".join(
        AUC.replace("us", f"Somebody-or-other-{i}").replace("0.5", f"0.{5000 + i}")
        for i in range(1, 9)
    )
    (path / "experiment.toml").write_text(HEAD + many, encoding="utf-8")
    stream = io.StringIO()
    show(load_report([path]), Console(file=stream, width=80, _environ={}))
    lines = stream.getvalue().splitlines()
    rows = [line.split() for line in lines if line.startswith("AUC ")]
    assert len(rows) > 1
    numbers = [number for row in rows for number in row[1:]]
    assert numbers == ["0.9500", *(f"0.{5000 + i}" for i in range(1, 9))]


def test_the_page_shows_published_numbers(folder: Path) -> None:
    page = render(folder)
    assert "<title>Heart failure &lt;b&gt; – gvr-bench</title>" in page
    assert "<h1><bdi>Heart failure &lt;b&gt;</bdi></h1>" in page
    assert "From one &amp; a few." in page
    at = [page.index(f' id="{name}"') for name in ("published", "maps", "provenance")]
    assert at == sorted(at)
    assert "0.8375" in page[at[0] : at[1]]


def test_our_failed_score_says_so(make_run: Make) -> None:
    path = make_run(
        records=[missing("failed", "out of memory", explainer=None, metric="auroc")], n=1, size=8
    )
    (path / "experiment.toml").write_text(HEAD + AUC, encoding="utf-8")
    text = export([path], "markdown")
    assert re.search(r"\| AUC +\| +failed \| +0.5 \|", text)
    assert "- failed: AUC: out of memory" in text


def test_our_single_cost_has_no_interval(make_run: Make) -> None:
    path = make_run(
        records=[record(metric="seconds_per_image", value=0.2, low=0.2, high=0.2)], n=1, size=8
    )
    number = AUC.replace("auroc", "seconds_per_image") + 'explainer = "gvr"'
    (path / "experiment.toml").write_text(HEAD + number, encoding="utf-8")
    assert re.search(r"\| AUC +\| +0.200 \| +0.5 \|", export([path], "markdown"))


def test_each_model_has_a_table(make_run: Make) -> None:
    records = [
        record(explainer=None, metric="auroc", head=head, seed=seed, value=0.6 + seed / 10)
        for head in ("linear", "mlp")
        for seed in (0, 1)
    ]
    path = make_run(records=records, n=1, size=8)
    (path / "experiment.toml").write_text(HEAD + AUC, encoding="utf-8")
    tables = published_tables([load(path)])
    assert [table.model for table in tables] == [
        "wgan_gp · conv · linear", "wgan_gp · conv · mlp",
    ]  # fmt: skip
    assert [table.rows[0].cells[0].value for table in tables] == pytest.approx([0.65, 0.65])
    assert "Means of 2 seeds" in export([path], "markdown")


def test_equal_runs_share_a_table(make_run: Make) -> None:
    folders = []
    for name, value in (("a", 0.6), ("b", 0.7)):
        records = [record(explainer=None, metric="auroc", value=value)]
        folders.append(load(make_run(name, records=records, n=1, size=8)))
        (folders[-1].path / "experiment.toml").write_text(HEAD + AUC, encoding="utf-8")
    a, b = (load(run.path) for run in folders)
    assert [table.title[-4:] for table in published_tables([a, b, a])] == [" [a]", " [b]"]
    assert len(published_tables([a, a])) == 1
