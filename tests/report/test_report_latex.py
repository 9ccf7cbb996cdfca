from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_run import missing, record, whole_scoreboard, write_whole_run

from gvr_bench.report.table_formats import MAX_COLUMNS, export, tex

Make = Callable[..., Path]

HOSTILE = (
    "\\input{/etc/passwd}", "50 % & $x_1$ #2 ~ ^ {", "[4pt] [x]*", "a--b---c 'q' \"r\"",
    "naïve Ångström ö", "x" * 200, "\\end{document}",
)  # fmt: skip
NUMBERS = re.compile(r"\d\.\d+")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("hostile", [True, False])
def test_an_article_of_tables_compiles(make_run: Make, tmp_path: Path, hostile: bool) -> None:
    records = [record(explainer=name, head=name, metric=name) for name in HOSTILE]
    run = (
        make_run(records=records, n=1, size=8)
        if hostile
        else write_whole_run(tmp_path / "run", whole_scoreboard())
    )
    article = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n%s\\end{document}\n"
    (tmp_path / "a.tex").write_text(article % export([run], "latex"), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    log = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, log[-2000:]
    assert "Output written" in log


def test_hostile_names_stay_text(make_run: Make) -> None:
    records = [record(explainer=name, head=name, metric=name) for name in HOSTILE]
    records.append(missing("failed", "\\end{document}\n\\undefined", explainer=HOSTILE[0]))
    latex = export([make_run(records=records, n=1, size=8)], "latex")
    commands = {"input", "undefined", "end{document"}
    assert not any(f"\\{command}" in latex for command in commands)
    assert "% failed" in latex
    body = latex.replace("\\%", "")
    assert all(line.startswith("% ") for line in body.splitlines() if "%" in line)


def test_wide_groups_are_cut_without_loss(tmp_path: Path) -> None:
    run = write_whole_run(tmp_path / "run", whole_scoreboard())
    latex = export([run], "latex").replace("$-$", "-")
    widths = [len(columns) for columns in re.findall(r"begin{tabular}{l+(r+)}", latex)]
    assert max(widths) == MAX_COLUMNS
    assert "(2 of " in latex
    for row in export([run], "markdown").splitlines():
        if row.startswith("| gvr "):
            assert all(number in latex for number in NUMBERS.findall(row))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a\n\nb\\par", r"a b\textbackslash{}par"), ("50 %", r"50 \%"), ("a_b", r"a\_b"),
        ("{x}^2~", r"\{x\}\textasciicircum{}2\textasciitilde{}"), ("é", "é"), ("a\u202eb", "ab"),
        ("up ↑ †", r"up $\uparrow$ $\dagger$"), ("[1pt]", "{[}1pt{]}"),
    ],
)  # fmt: skip
def test_tex_escapes_special_characters(line: str, expected: str) -> None:
    assert tex(line) == expected
