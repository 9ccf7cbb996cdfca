from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_run import missing, record
from rich.console import Console

from gvr_bench.core.errors import DataError
from gvr_bench.report.exports.tables import export
from gvr_bench.report.folder import load
from gvr_bench.report.html import render
from gvr_bench.report.scores.published import published_tables
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

ONE = """
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
    ("text", "said"),
    [
        ("title = ", "cannot read .*experiment.toml: "),
        ('name = "bnp"', "experiment.toml: the key 'title' is missing"),
        ('titel = "x"' + HEAD, "unknown key 'titel'; did you mean 'title'"),
        (HEAD + "published = 3", "published = 3: "),
        (HEAD + ONE.replace("0.5", '"0.5"'), r"published\[1\].value = '0.5': "),
        (HEAD + ONE.replace("0.5", "nan"), r"published\[1\].value = nan: "),
        (HEAD + ONE + "factor = 0", r"published\[1\].factor = 0: "),
        (HEAD + ONE + "explainers = 'gvr'", r"unknown key 'published\[1\].explainers'; did you"),
        (HEAD + ONE + "[[published]]\nrow = 'b'", r"the key 'published\[2\].column' is missing"),
        (HEAD + ONE + ONE, r"published\[2\] repeats published\[1\], 'AUC' of 'us'"),
    ],
)
def test_a_malformed_experiment_is_one_line_with_file_and_key(
    make_run: Make, text: str, said: str
) -> None:
    path = make_run(n=1, size=8)
    (path / "experiment.toml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=said) as caught:
        load(path)
    assert str(path / "experiment.toml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_one_line_too(make_run: Make) -> None:
    path = make_run(n=1, size=8)
    (path / "experiment.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"cannot read .*experiment\.toml"):
        load(path)


def test_a_run_of_no_experiment_has_no_such_table(run: Path) -> None:
    assert published_tables([load(run)]) == []
    assert "Beside the published numbers" not in render(run)


def test_an_experiment_without_numbers_has_a_masthead_only(make_run: Make) -> None:
    path = make_run(n=1, size=8)
    (path / "experiment.toml").write_text(HEAD, encoding="utf-8")
    page = render(path)
    assert "Heart failure &lt;b&gt;" in page
    assert "Beside the published numbers" not in page


def test_rows_keep_the_order_of_the_file_and_ours_is_scaled(folder: Path) -> None:
    (table,) = published_tables([load(folder)])
    assert table.kind == "published"
    assert [c.metric for c in table.columns] == [
        "this run", "n", "Seah et al. 2017", "Seah et al. 2019",
    ]  # fmt: skip
    assert {row.names[0]: [cell.value for cell in row.cells] for row in table.rows} == {
        "AUC": [0.95, 100, 0.8375, 0.9],
        "1000 rationales (s)": [5.0, 93, None, 74],
        "Readers": [None, None, 0.6, None],
    }
    ours = table.rows[1].cells[0]
    assert (ours.low, ours.high) == (4.0, 6.0)


def test_markdown_shows_published_numbers_as_they_were_printed(folder: Path) -> None:
    text = export([folder], "md")
    assert text.startswith(
        "### Heart failure &lt;b&gt;: wgan\\_gp · conv · linear on phantom\n"
        "\n"
        "| result | this run | n | Seah et al. 2017 | Seah et al. 2019 |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| AUC | 0.9500 (0.9000 to 0.9700) | 100 | 0.8375 | 0.9 |\n"
        "| 1000 rationales (s) | 5.00 (4.00 to 6.00) | 93 | – | 74 |\n"
        "| Readers | – | – | 0.6 | – |\n"
        "\n"
        "95 % intervals in brackets.\n"
    )


def test_csv_says_whose_number_it_is_and_of_what(folder: Path) -> None:
    rows = [
        (r["row"], r["source"], r["metric"], r["explainer"], r["unit"], r["value"], r["n"])
        for r in csv.DictReader(io.StringIO(export([folder], "csv")))
        if r["kind"] == "published"
    ]
    assert rows == [
        ("AUC", "this run", "auroc", "", "", "0.95", "100"),
        ("AUC", "Seah et al. 2017", "auroc", "", "", "0.8375", "0"),
        ("AUC", "Seah et al. 2019", "auroc", "", "", "0.9", "0"),
        ("1000 rationales (s)", "this run", "seconds_per_image", "gvr", "s", "5.0", "93"),
        ("1000 rationales (s)", "Seah et al. 2019", "seconds_per_image", "gvr", "s", "74.0", "0"),
        ("Readers", "Seah et al. 2017", "agreement", "", "", "0.6", "0"),
    ]


def test_json_and_latex_hold_the_same_table(folder: Path) -> None:
    table = json.loads(export([folder], "json"))["tables"][0]
    assert table["kind"] == "published"
    assert table["rows"][1]["explainer"] == "gvr"
    latex = export([folder], "latex")
    assert "AUC & 0.9500 & 100 & 0.8375 & 0.9" in latex
    assert " & {\\scriptsize [0.9000, 0.9700]} &  &  & " in latex


def test_the_terminal_shows_the_same_table(folder: Path) -> None:
    stream = io.StringIO()
    show(folder, Console(file=stream, width=80, _environ={}))
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert "Heart failure <b>: wgan_gp · conv · linear on phantom" in lines
    row = next(i for i, line in enumerate(lines) if line.startswith("AUC "))
    assert lines[row].split() == ["AUC", "0.9500", "100", "0.8375", "0.9"]
    assert lines[row + 1].split() == ["0.9000–0.9700"]


def test_more_sources_than_fit_a_terminal_go_into_a_second_block(make_run: Make) -> None:
    path = make_run(
        records=[record(explainer=None, metric="auroc", value=0.95, low=0.9, high=0.97)],
        n=1,
        size=8,
    )
    many = "".join(
        ONE.replace("us", f"Somebody-or-other-{i}").replace("0.5", f"0.{5000 + i}")
        for i in range(1, 9)
    )
    (path / "experiment.toml").write_text(HEAD + many, encoding="utf-8")
    stream = io.StringIO()
    show(path, Console(file=stream, width=80, _environ={}))
    lines = stream.getvalue().splitlines()
    rows = [line.split() for line in lines if line.startswith("AUC ")]
    assert len(rows) > 1
    numbers = [number for row in rows for number in row[1:]]
    assert numbers == ["0.9500", "100", *(f"0.{5000 + i}" for i in range(1, 9))]


def test_the_page_says_what_is_repeated_and_shows_numbers_before_the_spec(folder: Path) -> None:
    page = render(folder)
    assert "<title>Heart failure &lt;b&gt; – gvr-bench</title>" in page
    assert "<h1><bdi>Heart failure &lt;b&gt;</bdi></h1>" in page
    assert "From one &amp; a few." in page
    at = [page.index(f'<section id="{name}"') for name in ("models", "published", "provenance")]
    assert at == sorted(at)
    section = page[at[1] : at[2]]
    assert "0.8375" in section
    assert "What the columns mean" not in section


def test_a_score_of_ours_that_failed_says_so(make_run: Make) -> None:
    path = make_run(
        records=[missing("failed", "out of memory", explainer=None, metric="auroc")], n=1, size=8
    )
    (path / "experiment.toml").write_text(HEAD + ONE, encoding="utf-8")
    text = export([path], "md")
    assert "| AUC | failed | – | 0.5 |" in text
    assert "- failed: AUC: out of memory" in text


def test_a_cost_taken_once_has_no_interval_beside_the_published_one(make_run: Make) -> None:
    path = make_run(
        records=[record(metric="seconds_per_image", value=0.2, low=0.2, high=0.2)], n=1, size=8
    )
    one = ONE.replace("auroc", "seconds_per_image") + 'explainer = "gvr"'
    (path / "experiment.toml").write_text(HEAD + one, encoding="utf-8")
    assert "| AUC | 0.200 | 100 | 0.5 |" in export([path], "md")


def test_each_model_of_a_run_has_a_table_and_seeds_are_averaged(make_run: Make) -> None:
    records = [
        record(explainer=None, metric="auroc", head=head, seed=seed, value=0.6 + seed / 10)
        for head in ("linear", "mlp")
        for seed in (0, 1)
    ]
    path = make_run(records=records, n=1, size=8)
    (path / "experiment.toml").write_text(HEAD + ONE, encoding="utf-8")
    tables = published_tables([load(path)])
    assert [table.model for table in tables] == [
        "wgan_gp · conv · linear", "wgan_gp · conv · mlp",
    ]  # fmt: skip
    assert [table.rows[0].cells[0].value for table in tables] == pytest.approx([0.65, 0.65])
    assert "mean of 2 seeds" in export([path], "md")


def test_runs_of_one_experiment_are_told_apart_unless_they_are_the_same(make_run: Make) -> None:
    folders = []
    for name, value in (("a", 0.6), ("b", 0.7)):
        records = [record(explainer=None, metric="auroc", value=value)]
        folders.append(load(make_run(name, records=records, n=1, size=8)))
        (folders[-1].path / "experiment.toml").write_text(HEAD + ONE, encoding="utf-8")
    a, b = (load(run.path) for run in folders)
    assert [table.title[-4:] for table in published_tables([a, b, a])] == [" [a]", " [b]"]
    assert len(published_tables([a, a])) == 1
