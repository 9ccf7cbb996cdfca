from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_run import missing, record, whole_scoreboard, write_whole_run

from gvr_bench.report.exports.tables import export
from gvr_bench.report.exports.tex import tex

Make = Callable[..., Path]

HOSTILE = (
    "\\input{/etc/passwd}", "50 % & $x_1$ #2 ~ ^ {", "[4pt] [x]*", "שלום עולם", "مرحبا", "😀👩‍🔬",
    "中文模型", "a--b---c ``q'' \"r\"", "naïve Łódź Ångström ế ɔ", "x" * 200, "ρ ≥ 0.5 → 10⁻³ µm²",
)  # fmt: skip
NUMBERS = re.compile(r"\d\.\d+")


def compiled(latex: str, folder: Path) -> str:
    """Compile an article whose only package is booktabs; return what was said of it."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    article = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n%s\\end{document}\n"
    (folder / "a.tex").write_text(article % latex, encoding="ascii")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)
    told = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, told[-2000:]
    assert "Output written" in told
    return told


def fits(told: str) -> bool:
    return not re.search(r"Overfull|Float too large", told)


def test_hostile_names_compile_and_stay_text(make_run: Make, tmp_path: Path) -> None:
    records = [
        record(explainer=name, head=name, metric=metric, value=0.1 * n / len(HOSTILE))
        for n, name in enumerate(HOSTILE)
        for metric in ("pixel_ap", "[odd] 50 % 😀 שלום_" + "long" * 30)
    ]
    records.append(missing("failed", "\\end{document} 😀\n\\undefined", explainer=HOSTILE[0]))
    latex = export([make_run(records=records, n=1, size=8)], "latex")
    assert "\\input{" not in latex
    assert "{[}U+05E9{]}" in latex  # a name in Hebrew can still be told from another
    assert fits(compiled(latex, tmp_path))


def test_every_metric_of_a_dozen_explainers_fits_the_page(tmp_path: Path) -> None:
    run = write_whole_run(tmp_path / "run", whole_scoreboard())
    latex = export([run], "latex")
    assert latex.count("\\begin{tabular}") > 14
    assert fits(compiled(latex, tmp_path))


def test_a_table_of_more_rows_than_a_page_is_cut(make_run: Make, tmp_path: Path) -> None:
    names = [f"explainer-{n:03d}" for n in range(70)]
    run = make_run(records=[record(explainer=name) for name in names], n=1, size=8)
    latex = export([run], "latex")
    assert [latex.count(name) for name in names] == [1] * 70
    assert "(1 of 4)" in latex
    assert "(4 of 4)" in latex
    assert fits(compiled(latex, tmp_path))


def test_more_tables_than_latex_holds_back_compile(make_run: Make, tmp_path: Path) -> None:
    many = [record(metric=f"odd metric number {n} of all {'x' * 40}") for n in range(300)]
    latex = export([make_run(records=many, n=1, size=8)], "latex")
    assert latex.count("\\begin{table}") > 52
    compiled(latex, tmp_path)


def test_cutting_a_table_loses_no_number(tmp_path: Path) -> None:
    run = write_whole_run(tmp_path / "run", whole_scoreboard())
    in_latex = export([run], "latex").replace("$-$", "-")
    for row in export([run], "md").splitlines():
        cells = row.split("|")[2:-1]
        for cell in cells if row.startswith("| gvr ") else ():
            for number in NUMBERS.findall(cell):
                assert number in in_latex


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("é", r"\'{e}"), ("e\u0301", r"\'{e}"), ("Łódź", r"\L{}\'{o}d\'{z}"), ("ę", "e"),
        ("ρ", r"$\rho$"), ("Λ", r"$\Lambda$"), ("λ", r"$\lambda$"), ("10⁻³", "10$^{-}$$^{3}$"),
        ("😀", "{[}U+1F600{]}"), ("a\u200fb\u202e", "ab"), ("a--b", "a-{}-b"),
        ("☺\ufe0f", "{[}U+263A{]}"),
        ("a\n\nb\\par", r"a b\textbackslash{}par"), ("50 %", r"50 \%"), ("\ud800", "{[}U+D800{]}"),
    ],
)  # fmt: skip
def test_words_become_ascii_that_is_text(words: str, expected: str) -> None:
    assert tex(words) == expected
