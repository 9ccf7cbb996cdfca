from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_run import (
    SOME,
    explainer_records,
    missing,
    model_records,
    record,
    whole_scoreboard,
    write_whole_run,
)
from rich.cells import cell_len
from rich.console import Console

from gvr_bench.report.data import ReportData, load_report
from gvr_bench.report.html import write_html
from gvr_bench.report.terminal import show

Make = Callable[..., Path]


def shown(
    run: Path, width: int = 80, encoding: str = "utf-8", terminal: bool = False, every: bool = False
) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    console = Console(file=stream, width=width, force_terminal=terminal, _environ={})
    show(load_report([run]), console, every)
    stream.flush()
    return raw.getvalue().decode(encoding)


def shown_shared(runs: list[Path]) -> str:
    stream = io.StringIO()
    show(load_report(runs), Console(file=stream, width=80, _environ={}))
    return stream.getvalue()


@pytest.mark.parametrize("width", [50, 80, 132])
def test_lines_fit_the_terminal(run: Path, width: int) -> None:
    # The last line is a path, which stays whole so that it can be copied.
    *lines, _ = shown(run, width).splitlines()
    assert max(map(cell_len, lines)) <= width


def test_groups_are_blocks_of_rows(run: Path) -> None:
    lines = shown(run, every=True).splitlines()
    titles = [line for line in lines if line.endswith("?")]
    assert titles == [
        "Ground truth: does the map show what is truly there?",
        "Validity: does the counterfactual flip the model?",
        "Cost: how much time and memory does it take?",
    ]
    below = lines[lines.index(titles[0]) :]
    rows = [line.split() for line in below if line.startswith("gvr ")]
    assert rows == [
        ["gvr", "0.92*", "0.88*"], ["gvr", "0.91", "0.97", "38"], ["gvr", "0.081"],
    ]  # fmt: skip
    validity = lines.index(titles[1])
    cost = lines.index(titles[2])
    assert not any(re.match(r"saliency +\d", line) for line in lines[validity:cost])
    left_out = " ".join(" ".join(lines[validity:cost]).split())
    assert "- makes no counterfactual: occlusion, integrated_gradients, layer_gradcam" in left_out


def test_wide_groups_are_cut_up(make_run: Make) -> None:
    records = [record(metric=f"score_number_{i}") for i in range(12)]
    folder = make_run(records=records, n=1, size=8)
    lines = shown(folder, every=True).splitlines()
    assert sum(line.startswith("gvr ") for line in lines) > 1
    assert sum(line.count("0.50") for line in lines) == 12
    assert max(map(cell_len, lines[:-1])) <= 80


def test_all_scores_stay_readable(tmp_path: Path) -> None:
    folder = write_whole_run(tmp_path / "run", whole_scoreboard(n=20))
    assert len(shown(folder).splitlines()) < 140
    lines = shown(folder, every=True, width=160).splitlines()
    assert max(map(cell_len, lines[:-1])) <= 160


def test_ranks_follow_the_numbers(ranked: Path) -> None:
    lines = shown(ranked, every=True).splitlines()
    row = next(line for line in lines if line.startswith("latent-shift"))
    assert row.split()[1:5] == ["0.38", "²", "0.69", "²"]
    assert any(line.startswith("¹: rank, 1 + number of explainers") for line in lines)
    assert any(line.startswith("*: best of its column") for line in lines)  # of the cost


def test_uninformative_columns_are_marked(ranked: Path) -> None:
    text = shown(ranked, 160, every=True)
    assert "mass accuracy ↑ †" in text
    assert "pixel AP ↑ †" not in text
    assert "†: no explainer beats all controls" in text


def test_ranks_have_an_ascii_form(ranked: Path) -> None:
    text = shown(ranked, 160, encoding="ascii", every=True)
    assert "0.69 #2" in text
    assert "mass accuracy ^ !" in text
    assert [line for line in text.splitlines() if "?" in line[:-1]] == []


def test_seeds_of_runs_share_rows(tmp_path: Path) -> None:
    folders = [
        write_whole_run(tmp_path / f"seed-{seed}", whole_scoreboard(seed, metrics=SOME))
        for seed in (0, 1, 2)
    ]
    text = shown_shared(folders)
    verdict, rest = text.split("\n\n", 1)
    # Three seeds leave open whether gvr, with the better mean, beats the controls.
    assert "gvr (0.71) may be better by chance: not clearly above the controls" in " ".join(
        verdict.split()
    )
    assert rest.startswith("seed-0: phantom | ")
    rows = [line.split()[0] for line in rest.splitlines() if line.startswith("gvr")]
    assert rows == ["gvr"]
    intervals = "95 % confidence intervals for other seeds and cases below each value"
    assert f"Means of 3 seeds, with {intervals}" in " ".join(text.split())
    assert "and t with the seed as a random effect" in " ".join(text.split())


NAMES = (
    "gvr", "saliency", "integrated-gradients", "occlusion", "lime", "cam", "counterfactual-cam",
    "latent-shift", "random", "edge", "intensity",
)  # fmt: skip


def test_dashes_in_names_stay(make_run: Make) -> None:
    text = shown(make_run(records=[record(explainer="map - of mine")], n=1, size=8))
    assert "map - of mine" in text


def test_wide_letters_keep_columns_aligned(make_run: Make) -> None:
    records = [record(explainer=name) for name in ("解释器" * 12, "🫁" * 30, "x" * 90)]
    lines = shown(make_run(records=records, n=1, size=8)).splitlines()
    assert max(map(cell_len, lines[:-1])) <= 80


def test_failures_are_cells_and_reasons(run: Path) -> None:
    text = shown(run, every=True)
    assert "- failed: lime: captum is not installed" in text
    assert "- explainer lime failed: captum is not installed: pip install captum" in text
    rows = [line.split() for line in text.splitlines() if line.startswith("lime")]
    assert rows == [["lime", "failed", "failed"]]  # in the first block, which stands for all


def test_directions_and_units_are_shown(run: Path) -> None:
    text = shown(run, 132, every=True)
    assert "AUROC ↑" in text
    assert "MAE (ng/L) ↓" in text


def test_without_unicode_all_is_ascii(run: Path) -> None:
    text = shown(run, encoding="ascii", every=True)
    assert "AUROC ^" in text
    assert "0.84 to 0.92" in text


def test_a_pipe_gets_no_colours(run: Path) -> None:
    assert "\x1b" not in shown(run)
    assert "\x1b[" in shown(run, terminal=True)


def test_reasons_cannot_command_the_terminal(make_run: Make) -> None:
    reason = "\x1b]0;owned\x07 [red]not markup[/red] \u202egnp\nsecond line"
    text = shown(make_run(records=[missing("failed", reason)], n=1, size=8))
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "[red]not markup[/red] gnp second line" in text


@pytest.mark.parametrize("width", [80, 140])
def test_the_verdict_comes_first(run: Path, width: int) -> None:
    first = shown(run, width).partition("\n\n")[0]
    assert " ".join(first.split()) == load_report([run]).verdicts[0].text
    assert first.startswith("gvr leads on ground truth: true-change correlation 0.92, 0.61 better")


def test_verdicts_of_models_are_named(make_run: Make) -> None:
    records = [record(head=head) for head in ("linear", "mlp")]
    parts = shown(make_run(records=records, n=1, size=8), width=140).split("\n\n")
    for part, head in zip(parts, ("linear", "mlp"), strict=False):
        assert part.startswith(f"Explainers of wgan_gp · conv · {head} on phantom: gvr, the only")


def test_the_header_names_the_run(run: Path) -> None:
    head = shown(run).partition("\n\n")[2].splitlines()[0]
    assert head == "phantom | wgan_gp · conv · linear | seed 0 | cpu | 4 min 12 s"


def test_tests_are_passed_in_words(make_run: Make) -> None:
    about = {"metric": "randomised_head", "better": "-"}
    tested = [
        record(explainer="gvr", passed=True, **about),
        record(explainer="edge", passed=False, **about),
    ]
    text = shown(make_run(records=tested, n=1, size=8))
    assert [line.strip() for line in text.splitlines() if "passed" in line][:2] == [
        "passed",
        "not passed",
    ]
    assert "Passed: not more similar than maps of different images are." in text


def test_seeds_are_named_as_means(make_run: Make) -> None:
    records = [r for seed in (0, 1, 2) for r in (*model_records(seed), *explainer_records(seed))]
    text = shown(make_run(records=records, n=1, size=8))
    assert "seeds 0, 1, 2" in text
    assert "Means of 3 seeds" in text


def test_the_last_line_is_a_path(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    assert shown(folder).splitlines()[-1] == f"Records: {folder}/records.jsonl"
    page = write_html(folder)
    assert shown(folder).splitlines()[-1] == f"Report: {page}"


def test_a_run_without_scores(make_run: Make) -> None:
    assert "No scores were recorded." in shown(make_run(records=[], n=1, size=8))


def test_many_warnings_are_cut_short(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [f"warning {number}" for number in range(1, 12)]
    monkeypatch.setattr(ReportData, "warnings", many)
    text = shown(run)
    assert "Warnings\n- warning 1\n" in text
    assert "- warning 5\n6 more in the report" in text


def test_default_is_one_table_of_questions(ranked: Path) -> None:
    text = shown(ranked)
    heads = [line for line in text.splitlines() if line.startswith("explainer")]
    assert len(heads) == 1
    assert "more scores: see the report, or add --all-metrics" in text
    full = shown(ranked, every=True)
    assert "more scores" not in full
    assert "mass accuracy" in " ".join(full.split())
    assert "mass accuracy" not in " ".join(text.split())


def test_other_settings_are_shown_apart(tmp_path: Path) -> None:
    board, other = (whole_scoreboard(n=20, limit=20, metrics=SOME) for _ in "ab")
    other[2]["stages"]["20"]["dataset.size"] = 32
    renamed = {f"other-{name}": facts for name, facts in other[2]["protocols"].items()}
    records = [dataclasses.replace(r, protocol=f"other-{r.protocol}") for r in other[0]]
    folders = [
        write_whole_run(tmp_path / "a", board),
        write_whole_run(tmp_path / "b", (records, other[1], other[2] | {"protocols": renamed})),
    ]
    text = shown_shared(folders)
    assert "Not comparable with protocol 2: dataset.size: 64 here, 32 there." in text
